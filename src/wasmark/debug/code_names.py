"""The names and source lines of a piece of code, as perf and debuggers want them: all at once, by address range."""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmark.jit.stubs import runtime_symbols, stub_symbols
from wasmark.registry.code_object import FIRST_TIER, OPTIMISED, THUNKS
from wasmark.registry.frames import FrameInfo
from wasmark.registry.names import demangled
from wasmark.registry.table import function_names

if TYPE_CHECKING:
    from wasmark.registry.code_object import CodeModule, CodeObject, RegisteredModule

STUB: Final = "stub"
_KINDS: Final = {OPTIMISED: "", FIRST_TIER: "first tier", THUNKS: "thunk"}


class NativeFunction(NamedTuple):
    """The code [start, end) of one function. kind: which code of that name it is, "" for optimised code."""

    start: int
    end: int
    name: str
    kind: str

    @property
    def title(self) -> str:
        """The name, and which code of that name it is."""
        return f"{self.name} [{self.kind}]" if self.kind else self.name


class SourceLine(NamedTuple):
    """From `address` on, the code is that of a line of a file."""

    address: int
    file: str
    line: int


def native_functions(code: CodeObject) -> list[NativeFunction]:
    """All functions in a code object, by address."""
    found = [function for part in code.modules for function in _functions(part)]
    stubs = stub_symbols(code.id)
    found += [NativeFunction(start, start + size, name, STUB) for name, (start, size) in stubs.items()]
    if not stubs:
        found += _trampolines(code, [function.start for function in found])
    return sorted(found)


_names: Final[weakref.WeakKeyDictionary[RegisteredModule, dict[int, str]]] = weakref.WeakKeyDictionary()


def _names_of(module: RegisteredModule) -> dict[int, str]:
    """The names of its functions, found out once: a lazy module comes in many pieces."""
    names = _names.get(module)
    if names is None:
        names = _names[module] = {index: demangled(name) for index, name in function_names(module.model).items()}
    return names


def _functions(part: CodeModule) -> list[NativeFunction]:
    module = part.module
    names = _names_of(module) if module is not None else {}
    label = (module.name or "<module>") + "!" if module is not None else ""
    kind = _KINDS[part.tier]
    return [
        NativeFunction(start, end, label + names.get(func_index, f"func[{func_index}]"), kind)
        for func_index, start, end in part.functions
    ]


def _trampolines(code: CodeObject, other_starts: list[int]) -> list[NativeFunction]:
    """Of a trampoline only the start is known: it ends at the latest where the next function starts."""
    starts = sorted({*other_starts, *code.trampolines.values(), code.text_end})
    ends = dict(itertools.pairwise(starts))
    return [
        NativeFunction(start, ends[start], f"trampoline {signature}", STUB)
        for signature, start in code.trampolines.items()
        if start < code.text_end
    ]


def runtime_functions() -> list[NativeFunction]:
    """The functions of the runtime image, which is no code object, by address; entries in the middle of one are its."""
    found: list[NativeFunction] = []
    for start, size, name in sorted((start, size, name) for name, (start, size) in runtime_symbols().items()):
        if not found or start >= found[-1].end:
            found.append(NativeFunction(start, start + size, name, STUB))
    return found


def source_lines(code: CodeObject) -> list[SourceLine]:
    """The lines of all code that belongs to an instruction, by address.

    Where a module has debug information, and its engine wants that to be used, they are those of its source; else the
    file is the module, and the line the offset of the instruction in it.
    """
    found: list[SourceLine] = []
    rows = iter([row for table in code.line_tables() for row in table.rows()])
    address, line, _ = next(rows, (code.text_end, 0, 0))
    for part in code.modules:
        module = part.module
        if module is None:
            continue
        for func_index, start, end in part.functions:
            # What comes before the first instruction counts as the function's first byte.
            last = _source_line(FrameInfo(module, func_index, 0, start))
            found.append(SourceLine(start, *last))
            while address < end:
                if address >= start and line:
                    frame = FrameInfo(module, func_index, line, address)
                    here = _source_line(frame)
                    if here != last:
                        found.append(SourceLine(address, *here))
                        last = here
                address, line, _ = next(rows, (code.text_end, 0, 0))
    return found


def _source_line(frame: FrameInfo) -> tuple[str, int]:
    for symbol in frame.symbols if frame.module.wants_debug_info else ():
        if symbol.file is not None and symbol.line:
            return symbol.file, symbol.line
    return f"{frame.module_name or '<module>'}.wasm", frame.module_offset
