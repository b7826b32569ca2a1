"""`FrameInfo`: what a wasm frame looks like to people, and how a list of frames is printed."""

from __future__ import annotations

from wasmark.core.model import ModuleModel, Names
from wasmark.registry.line_table import SAME_ACTIVATION
from wasmark.registry.names import demangled, function_name, printable
from wasmark.registry.process_table import find_code
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NamedTuple

    from wasmark.registry.code_object import CodeObject, RegisteredModule
else:
    from wasmark.core.record import NamedTuple


class _ModuleElsewhere:
    """The module of a frame that came here from another process: only names are known of it."""

    __slots__ = ("__weakref__", "model", "name")
    wants_debug_info = False

    def __init__(self, name: str | None, func_index: int, func_name: str | None) -> None:
        self.name = name
        names = Names(name, {} if func_name is None else {func_index: func_name})
        self.model = ModuleModel(names=names)

    def code_object(self) -> None:
        """None."""

    def finished_functions(self) -> tuple[()]:
        """Nothing."""
        return ()


class Symbol(NamedTuple):
    """A source-level position. A frame has several where the source compiler inlined functions, innermost first."""

    name: str | None
    file: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def position(self) -> str | None:
        """`file:line:column`, without what is not known at its end; None where the file is not."""
        if self.file is None:
            return None
        parts = [self.file, self.line, self.column if self.line is not None else None]
        return printable(":".join(str(part) for part in parts if part is not None))

    def __str__(self) -> str:
        name = "??" if self.name is None else printable(self.name)
        return name if self.file is None else f"{name} at {self.position}"


class FrameInfo:
    """A machine address inside of a wasm function, in wasm's own terms.

    module: the module. func_index: in its function index space. module_offset: byte of the binary of the instruction
    (the function's first byte where the code belongs to none). func_offset: the same, counted from the function's
    first byte. pc: the address that was looked up.
    """

    __slots__ = ("_code", "_entry", "_name", "_offset", "func_index", "module", "pc")

    def __init__(
        self, module: RegisteredModule, func_index: int, line: int | None, pc: int, code: CodeObject | None = None
    ) -> None:
        """`line`: what the line table says, 0 for nothing; None to look into that of `code` when it is asked for."""
        self.module: RegisteredModule = module
        self.func_index = func_index
        self.pc = pc
        self._code = code
        self._entry: int | None = None
        self._name: tuple[str | None] | None = None  # once it was asked for
        self._offset = line

    @property
    def _first(self) -> int:
        """The function's first byte."""
        if self._entry is None:
            model = self.module.model
            self._entry = model.functions[self.func_index - model.imported["func"]].entry
        return self._entry

    @property
    def module_offset(self) -> int:
        """See the class."""
        if self._offset is None:
            assert self._code is not None
            place = self._code.place(self.pc)
            self._offset = place[2] if place is not None else 0
        return self._offset or self._first

    @property
    def func_offset(self) -> int:
        """See the class."""
        return max(0, self.module_offset - self._first)

    def __reduce__(self) -> tuple[Any, ...]:
        """A frame in another process keeps its names and places, but not its module."""
        names = self.module_name, self.func_name
        return _frame_elsewhere, (*names, self.func_index, self.module_offset, self.func_offset, self.pc)

    @property
    def component_name(self) -> str | None:
        """The name of the component that the module is part of; None where it is part of none, or that has no name."""
        name: str | None = getattr(self.module, "component_name", None)
        return name

    @property
    def func_name(self) -> str | None:
        """The function's name as the module has it: from the name section, or else that of an export."""
        if self._name is None:
            self._name = (function_name(self.module.model, self.func_index),)
        return self._name[0]

    @property
    def module_name(self) -> str | None:
        """The module's name: from the name section, or else the one it was given from outside."""
        named = self.module.model.names.module
        return self.module.name if named is None else named

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The source positions, the innermost inlined function's first; without debug information, or where that says
        nothing, the function's name alone. Debug information is read now; that takes the `debug` extra."""
        late_import("wasmark.debug.symbols")
        from wasmark.debug.symbols import symbols_at

        return symbols_at(self.module, self.func_index, self.module_offset)

    @property
    def local_names(self) -> dict[int, str]:
        """The names of the function's parameters and locals by their index, those that the name section knows."""
        return dict(self.module.model.names.locals.get(self.func_index, {}))

    def __str__(self) -> str:
        module, function = self.module_name, self.func_name
        module = "<module>" if module is None else printable(module)
        function = f"func[{self.func_index}]" if function is None else printable(demangled(function))
        component = self.component_name
        if component is not None:
            module = f"{printable(component)}/{module}"
        return f"{module}!{function} @ +{self.func_offset:#x} (wasm offset {self.module_offset:#x})"

    def __repr__(self) -> str:
        return f"<FrameInfo {self}>"


def _frame_elsewhere(
    module_name: str | None, func_name: str | None, func_index: int, module_offset: int, func_offset: int, pc: int
) -> FrameInfo:
    frame = FrameInfo(_ModuleElsewhere(module_name, func_index, func_name), func_index, module_offset, pc)
    frame._entry = module_offset - func_offset
    return frame


def frame_info(code: CodeObject, pc: int, modules: Sequence[RegisteredModule | None]) -> FrameInfo | None:
    """The frame at `pc` in `code`, where `modules` are the owners of its parts. None where no function of an owner
    is."""
    found = code.places.get(pc) or code.find_function(pc)
    if found is None:
        return None
    module = modules[found[0]]
    if module is None:
        return None
    return FrameInfo(module, found[1], None, pc, code)


Site = tuple["CodeObject", "Sequence[RegisteredModule | None]", int]
"""Code, the owners of its parts, and an address in it: a frame that nobody has looked at yet. It keeps alive what it
takes to do so."""


def frames_at(sites: Sequence[Site], *, innermost: bool = True) -> list[FrameInfo]:
    """The frames; the first one may be the innermost of its stack. Left out are addresses where no function is, and
    calls by which an activation goes on in other code: what is called there is no callee, but the rest of the
    function."""
    frames = []
    for position, (code, owners, pc) in enumerate(sites):
        place = code.place(pc)
        if place is None or (place[3] == SAME_ACTIVATION and not (innermost and position == 0)):
            continue
        module = owners[place[0]]
        if module is not None:
            frames.append(FrameInfo(module, place[1], place[2], pc))
    return frames


def lookup_frame_info(pc: int) -> FrameInfo | None:
    """The frame at `pc`, whatever store it runs in. None where no wasm function is."""
    code = find_code(pc)
    found = (code.places.get(pc) or code.find_function(pc)) if code is not None else None
    if code is None or found is None:
        return None
    module = code.modules[found[0]].module
    return FrameInfo(module, found[1], None, pc, code) if module is not None else None


def format_frames(frames: Sequence[FrameInfo], omitted: int = 0, *, sources: bool = False) -> list[str]:
    """The lines of a stack for people, innermost frame first. Below a frame are its source positions, if there are any,
    where `sources` or the module wants it.

    Where `omitted` frames were left out, they are those in the middle: behind the first half of `frames` (rounded up).
    """
    middle = (len(frames) + 1) // 2 if omitted else len(frames)
    lines = [line for number, frame in enumerate(frames[:middle]) for line in _lines(number, frame, sources)]
    if omitted:
        lines.append(f"    ... {omitted:,} frame{'s' if omitted > 1 else ''} omitted ...")
    for number, frame in enumerate(frames[middle:], middle + omitted):
        lines += _lines(number, frame, sources)
    return lines


def _lines(number: int, frame: FrameInfo, sources: bool) -> list[str]:
    lines = [f"    {number}: {frame}"]
    if sources or frame.module.wants_debug_info:
        lines += [f"           {symbol}" for symbol in frame.symbols if symbol.file is not None]
    return lines
