"""Valid modules -> one artefact: translation in batches, object code, linking.

A batch is a group of functions small enough for LLVM to digest at once; calls between batches are resolved by our
loader. Several modules can share a code object (the case of a component); their symbols differ by a prefix.
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Final

from wasmark.binary import decode_body
from wasmark.compile.abi import trampoline_symbol
from wasmark.compile.check import type_signature
from wasmark.compile.function import FunctionTranslator, ModuleContext
from wasmark.compile.images import stubs_image
from wasmark.compile.parallel import Task, compile_all
from wasmark.compile.stubs import ATTRIBUTES, trampoline
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
    key: bytes,
    models: Sequence[ModuleModel],
    layouts: Sequence[VMLayout],
    processes: int | None = None,
    progress: Progress | None = None,
) -> Artefact:
    """Compile valid modules into one artefact, as `jit.modules` describes it.

    Its trampolines cover the functions that can become references. `processes` are used for large modules (see
    `parallel`). `progress` is called with (bytes of wasm done, bytes in all).
    """
    contexts = [
        ModuleContext(model, layout, f"m{number}.")
        for number, (model, layout) in enumerate(zip(models, layouts, strict=True))
    ]
    wanted = list(dict.fromkeys(s for context in contexts for s in _escaping_signatures(context)))
    batches = [(context, batch) for context in contexts for batch in _batches(context.model)]
    tasks = [
        Task(partial(batch_ir, context, batch, wanted if not number else ()), _size(context.model, batch))
        for number, (context, batch) in enumerate(batches)
    ]
    images: dict[str, Image] = {}
    blobs: dict[str, Buffer] = {}
    symbols: dict[str, tuple[int, int]] = {}
    if tasks:
        image = images["code"] = make_image(compile_all(tasks, processes, progress))
        symbols = image.symbols
        names = map(trampoline_symbol, wanted)
        image.symbols = {name: symbols[name] for name in names}
    border = list(dict.fromkeys(s for context in contexts for s in _border_signatures(context.model)))
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
        "name": models[0].names.module,
        "modules": len(models),
        "first functions": [context.imported_functions for context in contexts],
    }
    return Artefact(key, info, images, blobs)


def _escaping_signatures(context: ModuleContext) -> Iterator[str]:
    model = context.model
    return (type_signature(model, model.func_types[func_index]) for func_index in context.layout.escaping)


def _border_signatures(model: ModuleModel) -> Iterator[str]:
    """Of the functions that are imported or exported."""
    yield from (type_signature(model, import_.desc) for import_ in model.imports if isinstance(import_.desc, int))
    yield from (type_signature(model, model.func_types[e.index]) for e in model.exports if e.kind == "func")


def _size(model: ModuleModel, batch: Sequence[int]) -> int:
    return sum(model.functions[index].end - model.functions[index].entry for index in batch)
