"""Valid modules -> one artefact: translation in batches, object code, linking.

A batch is a group of functions small enough for LLVM to digest at once; calls between batches are resolved by our
loader. Several modules can share a code object (the case of a component); their symbols differ by a prefix.
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Final

from wasmark.compile.abi import trampoline_symbol
from wasmark.compile.batch import functions_ir
from wasmark.compile.check import border_signatures, escaping_signatures
from wasmark.compile.function import FunctionTranslator
from wasmark.compile.images import stubs_image
from wasmark.compile.parallel import Task, compile_all
from wasmark.compile.prelude import SCOPE_BASE
from wasmark.compile.writer import ModuleContext
from wasmark.core.flavour import STANDARD, Flavour
from wasmark.jit.artefact import Artefact
from wasmark.runtime.elf import make_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wasmark.core.model import ModuleModel
    from wasmark.runtime.image import Buffer, Image
    from wasmark.runtime.layout import VMLayout

    Progress = Callable[[int, int], None]

_BATCH_BYTES: Final = 48 << 10
"""Bytes of wasm in a batch: large enough that LLVM's fixed costs vanish, small enough that progress shows and memory is
bounded."""


def batches(model: ModuleModel) -> Iterator[list[int]]:
    """Groups of functions, by their number (imported ones not counted)."""
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
    translators = [FunctionTranslator(context, index, scope) for scope, index in enumerate(batch, SCOPE_BASE)]
    here = {context.imported_functions + index for index in batch}
    return functions_ir(context, translators, here, signatures)


def compile_modules(
    key: bytes,
    models: Sequence[ModuleModel],
    layouts: Sequence[VMLayout],
    processes: int | None = None,
    progress: Progress | None = None,
    flavour: Flavour = STANDARD,
) -> Artefact:
    """Compile valid modules into one artefact, as `jit.modules` describes it.

    Its trampolines cover the functions that can become references. `processes` are used for large modules (see
    `parallel`). `progress` is called with (bytes of wasm done, bytes in all).
    """
    contexts = [
        ModuleContext(model, layout, f"m{number}.", flavour=flavour)
        for number, (model, layout) in enumerate(zip(models, layouts, strict=True))
    ]
    wanted = list(dict.fromkeys(s for context in contexts for s in escaping_signatures(context.model, context.layout)))
    batched = [(context, batch) for context in contexts for batch in batches(context.model)]
    tasks = [
        Task(partial(batch_ir, context, batch, wanted if not number else ()), _size(context.model, batch))
        for number, (context, batch) in enumerate(batched)
    ]
    images: dict[str, Image] = {}
    blobs: dict[str, Buffer] = {}
    symbols: dict[str, tuple[int, int]] = {}
    if tasks:
        image = images["code"] = make_image(compile_all(tasks, processes, progress))
        symbols = image.symbols
        names = map(trampoline_symbol, wanted)
        image.symbols = {name: symbols[name] for name in names}
    border = list(dict.fromkeys(s for context in contexts for s in border_signatures(context.model)))
    if border:
        images["stubs"] = stubs_image(border)
    for number, context in enumerate(contexts):
        functions = range(context.imported_functions, len(context.model.func_types))
        ranges = [symbols[context.symbol(index)] for index in functions]
        places = [start for start, _ in ranges] + [start + size for start, size in ranges]
        blobs[f"functions {number}"] = array("I", places).tobytes()
        blobs[f"escaping {number}"] = array("I", context.layout.escaping).tobytes()
    info = {
        "kind": "module",
        "name": models[0].names.module if models else None,
        "modules": len(models),
        "first functions": [context.imported_functions for context in contexts],
    }
    return Artefact(key, info, images, blobs)


def _size(model: ModuleModel, batch: Sequence[int]) -> int:
    return sum(model.functions[index].end - model.functions[index].entry for index in batch)
