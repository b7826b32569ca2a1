"""Validated modules -> one code object: translation in batches, object code, linking, and what the registry needs of
it.

A batch is a group of functions small enough for LLVM to digest at once; calls between batches are resolved by our
loader. Several modules can share a code object (the case of a component); their symbols differ by a prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.binary import decode_body
from wasmark.compile.abi import signature
from wasmark.compile.function import FunctionTranslator, ModuleContext
from wasmark.compile.llvm import compile_ir
from wasmark.compile.stubs import ATTRIBUTES, trampoline, trampoline_symbol
from wasmark.core.types import FuncType
from wasmark.registry.code_object import CodeModule, CodeObject
from wasmark.runtime.elf import link
from wasmark.runtime.symbols import process_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wasmark.core.model import ModuleModel
    from wasmark.runtime.layout import VMLayout

    Progress = Callable[[int, int], None]

_BATCH_BYTES: Final = 48 << 10
"""Bytes of wasm in a batch: large enough that LLVM's fixed costs vanish, small enough that progress shows and memory is
bounded."""


def _intrinsics() -> str:
    lines = [
        "declare void @llvm.ubsantrap(i8 immarg)",
        "declare void @llvm.fake.use(...)",
        "declare ptr @llvm.frameaddress.p0(i32 immarg)",
        "declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1 immarg)",
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1 immarg)",
    ]
    for t in ("i32", "i64"):
        lines += [f"declare {t} @llvm.{name}.{t}({t}, i1 immarg)" for name in ("ctlz", "cttz")]
        lines += [f"declare {t} @llvm.{name}.{t}({t}, {t}, {t})" for name in ("fshl", "fshr")]
        lines.append(f"declare {t} @llvm.ctpop.{t}({t})")
    for t, suffix in (("float", "f32"), ("double", "f64")):
        unary = ("fabs", "ceil", "floor", "trunc", "roundeven", "sqrt", "arithmetic.fence")
        lines += [f"declare {t} @llvm.{name}.{suffix}({t})" for name in unary]
        lines += [f"declare {t} @llvm.{name}.{suffix}({t}, {t})" for name in ("minimum", "maximum", "copysign")]
        lines += [f"declare {i} @llvm.fpto{k}i.sat.{i}.{suffix}({t})" for i in ("i32", "i64") for k in "su"]
    return "\n".join([*lines, ""])


_INTRINSICS: Final = _intrinsics()

# Frame pointers are what backtraces walk. Inline probes make a large frame touch its guard page instead of leaping over
# it.
_ATTRIBUTES: Final = """\
attributes #0 = { nounwind "frame-pointer"="all" "probe-stack"="inline-asm" }
attributes #1 = { nomerge noreturn nounwind cold }
"""

_SCOPE_BASE: Final = 10
_METADATA: Final = """\
!llvm.dbg.cu = !{!5}
!llvm.module.flags = !{!3, !4}
!0 = !{}
!1 = !{!"branch_weights", i32 2000, i32 1}
!2 = !{!"branch_weights", i32 1, i32 2000}
!3 = !{i32 2, !"Debug Info Version", i32 3}
!4 = !{i32 7, !"Dwarf Version", i32 5}
!5 = distinct !DICompileUnit(language: DW_LANG_C, file: !6, isOptimized: true, runtimeVersion: 0, emissionKind:
LineTablesOnly) !6 = !DIFile(filename: "wasm", directory: "") !7 = !DISubroutineType(types: !0)
"""


def _batches(model: ModuleModel) -> Iterator[list[int]]:
    """Groups of defined function indices."""
    batch: list[int] = []
    size = 0
    for index, function in enumerate(model.functions):
        length = function.end - function.entry
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += length
    if batch:
        yield batch


def batch_ir(context: ModuleContext, batch: Sequence[int], signatures: Sequence[str] = ()) -> str:
    """The IR module of a batch of functions, with trampolines for `signatures`."""
    parts = [_INTRINSICS]
    metadata = [_METADATA]
    called: set[int] = set()
    for position, index in enumerate(batch):
        scope = _SCOPE_BASE + position
        function = context.model.functions[index]
        translator = FunctionTranslator(context, index, scope)
        parts.append(translator.translate(decode_body(context.model, function.start, function.end)))
        called |= translator.calls
        metadata.append(
            f'!{scope} = distinct !DISubprogram(name: "f{translator.func_index}", scope: !6, file: !6, '
            "line: 0, type: !7, unit: !5, spFlags: DISPFlagDefinition)\n"
        )
    here = {context.imported_functions + index for index in batch}
    for func_index in sorted(called - here):
        params, _, returns = context.signature(context.model.func_types[func_index])
        declared = "".join(f", {type_}" for type_ in params)
        parts.append(f"declare hidden {returns} @{context.symbol(func_index)}(ptr{declared})\n")
    parts.extend(map(trampoline, signatures))
    return "".join([*parts, _ATTRIBUTES, ATTRIBUTES, *metadata])


def compile_modules(
    modules: Sequence[tuple[ModuleModel, VMLayout]], progress: Progress | None = None
) -> CodeObject | None:
    """Compile validated modules into one code object; None where they have no functions at all.

    Its `modules` are in the given order, and its trampolines cover the functions that can become references.
    `progress` is called with (bytes of wasm done, bytes in all).
    """
    total = sum(f.end - f.entry for model, _ in modules for f in model.functions)
    if not any(model.functions for model, _ in modules):
        return None
    done = 0
    objects: list[bytes] = []
    signatures: dict[str, None] = {}
    for model, layout in modules:
        for func_index in layout.escaping:
            type_ = model.types[model.func_types[func_index]].composite
            assert isinstance(type_, FuncType)
            signatures[signature(type_)] = None
    wanted = list(signatures)
    for number, (model, layout) in enumerate(modules):
        context = ModuleContext(model, layout, f"m{number}.")
        for batch in _batches(model):
            objects.append(compile_ir(batch_ir(context, batch, wanted)))
            wanted = []
            done += sum(model.functions[i].end - model.functions[i].entry for i in batch)
            if progress is not None:
                progress(done, total)
    image = link(objects, process_symbol)
    return CodeObject(
        image.code_memory,
        image.text_start,
        image.text_end,
        [
            CodeModule(_functions(image.symbols, model.imported["func"], len(model.functions), f"m{number}."))
            for number, (model, _) in enumerate(modules)
        ],
        {text: image.symbols[trampoline_symbol(text)][0] for text in signatures},
        image.line_sources,
    )


def _functions(
    symbols: dict[str, tuple[int, int]], first: int, count: int, prefix: str
) -> Iterator[tuple[int, int, int]]:
    for func_index in range(first, first + count):
        start, size = symbols[f"{prefix}f{func_index}"]
        yield func_index, start, start + size
