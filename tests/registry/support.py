"""Stand-ins for modules, made of real code: LLVM compiles them with line tables, the loader puts them into code memory.

Every function is a binary operation on i32. The places of its parts in the imaginary wasm binary follow from its entry:
`entry + 5` is the operation, `entry + 7` a load behind it (only of functions named "load").
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import llvmlite.binding as llvm

from wasmark.core.model import Export, Function, Import, ModuleModel
from wasmark.core.types import FuncType, SubType
from wasmark.errors import TrapCode
from wasmark.registry import CodeModule, CodeObject
from wasmark.runtime.elf import link
from wasmark.runtime.image import LoadedImage

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()

SEED_FUNCTIONS = ("add", "sub", "mul", "div_s", "div_u", "rem_s", "rem_u")
OPERATION = 5
LOAD = 7
ENTRY = 0x40
STEP = 0x20

_INSTRUCTIONS = {"div_s": "sdiv", "div_u": "udiv", "rem_s": "srem", "rem_u": "urem"}
_FOOTER = """
declare void @llvm.ubsantrap(i8 immarg) #1
attributes #0 = { "frame-pointer"="all" nounwind }
attributes #1 = { nomerge noreturn cold nounwind }
!llvm.dbg.cu = !{!0}
!llvm.module.flags = !{!2, !3}
!0 = distinct !DICompileUnit(language: DW_LANG_C, file: !1, isOptimized: true, emissionKind: LineTablesOnly)
!1 = !DIFile(filename: "m", directory: "")
!2 = !{i32 2, !"Debug Info Version", i32 3}
!3 = !{i32 7, !"Dwarf Version", i32 5}
"""


def compile_ir(source: str, *, reloc: str = "pic", opt: int = 1) -> bytes:
    """An object file from LLVM assembly."""
    machine = llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(
        opt=opt, reloc=reloc, codemodel="small"
    )
    module = llvm.parse_assembly('target triple = "x86_64-unknown-linux-gnu"\n' + source)
    module.verify()
    return machine.emit_object(module)


class IrWriter:
    """Collects functions and their debug locations."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.metadata: list[str] = []
        self._next = 10

    def _node(self, text: str) -> int:
        self._next += 1
        self.metadata.append(f"!{self._next} = {text}")
        return self._next

    def function(self, symbol: str, kind: str, entry: int) -> None:
        """A function `i32 (ptr memory, i32 x, i32 y)` that does what `kind` says and traps as wasm does."""
        scope = self._node(f'distinct !DISubprogram(name: "{symbol}", file: !1, unit: !0, spFlags: DISPFlagDefinition)')

        def at(offset: int, column: int = 0) -> str:
            return f"!dbg !{self._node(f'!DILocation(line: {entry + offset}, column: {column}, scope: !{scope})')}"

        here = at(OPERATION)
        out = [f"define i32 @{symbol}(ptr %memory, i32 %x, i32 %y) #0 !dbg !{scope} {{"]
        traps = []
        if kind in _INSTRUCTIONS:
            out += [
                f"%zero = icmp eq i32 %y, 0, {here}",
                f"br i1 %zero, label %by_zero, label %divide, {here}",
                "divide:",
            ]
            traps.append(("by_zero", TrapCode.INTEGER_DIVISION_BY_ZERO))
            if kind == "div_s":
                out += [
                    f"%least = icmp eq i32 %x, -2147483648, {here}",
                    f"%minus = icmp eq i32 %y, -1, {here}",
                    f"%both = and i1 %least, %minus, {here}",
                    f"br i1 %both, label %overflow, label %go, {here}",
                    "go:",
                ]
                traps.append(("overflow", TrapCode.INTEGER_OVERFLOW))
            out.append(f"%r = {_INSTRUCTIONS[kind]} i32 %x, %y, {here}")
        elif kind == "load":
            out += [
                f"%e = zext i32 %x to i64, {here}",
                f"%p = getelementptr i8, ptr %memory, i64 %e, {here}",
                f"%r = load volatile i32, ptr %p, align 1, {at(LOAD, 64)}",
            ]
        elif kind == "unreachable":
            out += [f"br label %never, {here}"]
            traps.append(("never", TrapCode.UNREACHABLE))
        else:
            out.append(f"%r = {kind} i32 %x, %y, {here}")
        if kind != "unreachable":
            out.append(f"ret i32 %r, {here}")
        for label, code in traps:
            there = at(OPERATION, code)
            out += [f"{label}:", f"call void @llvm.ubsantrap(i8 {int(code)}) #1, {there}", f"unreachable, {there}"]
        self.lines += [*out, "}"]

    def source(self) -> str:
        """The whole as LLVM assembly."""
        return "\n".join([*self.lines, _FOOTER, *self.metadata])


@dataclass(eq=False)
class StandInModule:
    """What the registry sees of a module."""

    model: ModuleModel
    name: str | None = None
    code: CodeObject | None = None
    functions: list[tuple[int, int, int]] = field(default_factory=list)
    wants_debug_info: bool = False

    def code_object(self) -> CodeObject | None:
        return self.code

    def finished_functions(self) -> list[tuple[int, int, int]]:
        return self.functions


@dataclass(eq=False)
class StandInComponent:
    """What the registry sees of a component."""

    code: CodeObject | None
    modules: list[StandInModule] = field(default_factory=list)

    def code_object(self) -> CodeObject | None:
        return self.code


def make_model(kinds: tuple[str, ...], imports: int = 0) -> ModuleModel:
    """A model with `imports` imported functions and one defined and exported function for each kind."""
    model = ModuleModel(types=[SubType(FuncType((), ()))])
    model.imports = [Import("env", f"import{number}", "func", 0) for number in range(imports)]
    for number, kind in enumerate(kinds):
        entry = ENTRY + STEP * number
        model.functions.append(Function(0, [], entry + 1, entry + STEP, entry))
        model.exports.append(Export(kind, "func", imports + number))
    model.index()
    return model


def build_image(modules: list[tuple[str, ...]]) -> LoadedImage:
    """The code of several modules, compiled as one object and linked. Function j of module i is named `mi_fj`."""
    writer = IrWriter()
    for module, kinds in enumerate(modules):
        for number, kind in enumerate(kinds):
            writer.function(f"m{module}_f{number}", kind, ENTRY + STEP * number)
    return link([compile_ir(writer.source())], lambda name: None)


def build_modules(modules: list[tuple[str, ...]], *, imports: int = 0) -> list[StandInModule]:
    """Modules that share one code object. Its trampolines are those of its first function's address."""
    image = build_image(modules)
    parts = []
    for module, kinds in enumerate(modules):
        functions = []
        for number in range(len(kinds)):
            address, size = image.symbols[f"m{module}_f{number}"]
            functions.append((imports + number, address, address + size))
        parts.append(CodeModule(functions))
    code = CodeObject(
        image.code_memory,
        image.text_start,
        image.text_end,
        parts,
        {"ii:i": image.text_start},
        image.line_sources,
    )
    return [
        StandInModule(make_model(kinds, imports), f"module{number}", code, part.functions)
        for number, (kinds, part) in enumerate(zip(modules, parts, strict=True))
    ]


def build_module(kinds: tuple[str, ...] = SEED_FUNCTIONS, *, imports: int = 0) -> StandInModule:
    """One module with a code object of its own."""
    return build_modules([kinds], imports=imports)[0]


def tiny_code(functions: int = 1) -> CodeObject:
    """A code object without line table, made in no time: `functions` times `ret`."""
    from wasmark.runtime.code_memory import CodeMemory

    memory = CodeMemory.allocate(functions)
    memory.write(memory.base, b"\xc3" * functions)
    memory.publish()
    part = CodeModule([(number, memory.base + number, memory.base + number + 1) for number in range(functions)])
    return CodeObject(memory, memory.base, memory.base + functions, [part])


def tiny_module(functions: int = 1) -> StandInModule:
    """A module around `tiny_code`."""
    code = tiny_code(functions)
    return StandInModule(make_model(("nop",) * functions), "tiny", code, code.modules[0].functions)


def call(address: int, x: int, y: int) -> int:
    """Run a stand-in function that does not trap."""
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)(address)
    return function(None, x, y)
