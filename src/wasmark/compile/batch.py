"""Translated functions -> one IR module, for LLVM to digest at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmark.binary import decode_body
from wasmark.compile import stubs
from wasmark.compile.function import FunctionTranslator, ModuleContext
from wasmark.compile.loop_entry import LoopEntryTranslator
from wasmark.compile.prelude import ATTRIBUTES, INTRINSICS, METADATA, SCOPE_BASE
from wasmark.compile.stubs import trampoline
from wasmark.compile.tail_calls import leaves_by_tail_call
from wasmark.core.flavour import STANDARD, Flavour

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wasmark.compile.hot import Hot
    from wasmark.core.model import ModuleModel
    from wasmark.runtime.layout import VMLayout


def functions_ir(
    context: ModuleContext,
    translators: Sequence[FunctionTranslator],
    here: Collection[int],
    signatures: Sequence[str] = (),
) -> str:
    """The IR module of what these translators make, whose scopes have the numbers from SCOPE_BASE on in their order,
    with trampolines for `signatures`. `here` are the functions that it defines, by index."""
    parts = [INTRINSICS]
    metadata = [METADATA]
    called: set[int] = set()
    functions = [translator.function for translator in translators]
    bodies = [decode_body(context.model, function.start, function.end) for function in functions]
    context.wide = frozenset(
        translator.func_index
        for translator, body in zip(translators, bodies, strict=True)
        if translator.func_index in here and leaves_by_tail_call(context.model.data, translator.function, body)
    )
    for scope, (translator, body) in enumerate(zip(translators, bodies, strict=True), SCOPE_BASE):
        parts.append(translator.translate(body))
        called |= translator.calls
        metadata.append(
            f'!{scope} = distinct !DISubprogram(name: "f{translator.func_index}", scope: !6, file: !6, '
            "line: 0, type: !7, unit: !5, spFlags: DISPFlagDefinition)\n"
        )
    for func_index in sorted(called.difference(here)):
        params, _, returns = context.signature(context.model.func_types[func_index])
        declared = "".join(f", {type_}" for type_ in params)
        parts.append(f"declare hidden {returns} @{context.symbol(func_index)}(ptr{declared})\n")
    parts.extend(map(trampoline, signatures))
    return "".join([*parts, ATTRIBUTES, stubs.ATTRIBUTES, *metadata])


def hot_ir(model: ModuleModel, layout: VMLayout, wanted: Sequence[Hot], flavour: Flavour = STANDARD) -> str:
    """The IR module of what is hot in a lazy module; each item is found under its `symbol`. Functions that are not in
    it are called through the table of functions.

    Raises Error where one of them cannot be made.
    """
    first = model.imported["func"]
    whole = frozenset(hot.number for hot in wanted if not hot.loop)
    context = ModuleContext(model, layout, "", whole, flavour)
    translators: list[FunctionTranslator] = []
    for scope, hot in enumerate(wanted, SCOPE_BASE):
        if hot.loop:
            translators.append(LoopEntryTranslator(context, hot, scope))
        else:
            translators.append(FunctionTranslator(context, hot.number, scope))
    return functions_ir(context, translators, {first + number for number in whole})
