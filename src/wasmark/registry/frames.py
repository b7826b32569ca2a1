"""`FrameInfo`: what a wasm frame looks like to people, and how a list of frames is printed."""

from __future__ import annotations

from wasmark.core.model import ModuleModel, Names
from wasmark.registry.line_table import SAME_ACTIVATION
from wasmark.registry.process_table import find_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, NamedTuple

    from wasmark.registry.code_object import CodeObject, RegisteredModule
else:
    from wasmark.core.record import NamedTuple

_LONGEST_NAME: Final = 200


class _ModuleElsewhere:
    """The module of a frame that came here from another process: only names are known of it."""

    __slots__ = ("model", "name")

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


class FrameInfo:
    """A machine address inside of a wasm function, in wasm's own terms.

    module: the module. func_index: in its function index space. module_offset: byte of the binary of the instruction
    (the function's first byte where the code belongs to none). func_offset: the same, counted from the function's
    first byte. pc: the address that was looked up.
    """

    __slots__ = ("_code", "_entry", "_offset", "func_index", "module", "pc")

    def __init__(
        self, module: RegisteredModule, func_index: int, line: int | None, pc: int, code: CodeObject | None = None
    ) -> None:
        """`line`: what the line table says, 0 for nothing; None to look into that of `code` when it is asked for."""
        self.module: RegisteredModule = module
        self.func_index = func_index
        self.pc = pc
        self._code = code
        self._entry: int | None = None
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
            self._offset = self._code.find_line(self.pc)[0]
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
        """The function's name: from the name section, or else that of an export."""
        model = self.module.model
        name = model.names.functions.get(self.func_index)
        if name is None:
            for export in model.exports:
                if export.kind == "func" and export.index == self.func_index:
                    return export.name
        return name

    @property
    def module_name(self) -> str | None:
        """The module's name: from the name section, or else the one it was given from outside."""
        named = self.module.model.names.module
        return self.module.name if named is None else named

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The source positions, innermost first; without debug information, the function's name alone."""
        return (Symbol(self.func_name),)

    def __str__(self) -> str:
        module, function = self.module_name, self.func_name
        module = "<module>" if module is None else _printable(module)
        function = f"func[{self.func_index}]" if function is None else _printable(function)
        return f"{module}!{function} @ +{self.func_offset:#x} (wasm offset {self.module_offset:#x})"

    def __repr__(self) -> str:
        return f"<FrameInfo {self}>"


def _frame_elsewhere(
    module_name: str | None, func_name: str | None, func_index: int, module_offset: int, func_offset: int, pc: int
) -> FrameInfo:
    frame = FrameInfo(_ModuleElsewhere(module_name, func_index, func_name), func_index, module_offset, pc)
    frame._entry = module_offset - func_offset
    return frame


def _printable(name: str) -> str:
    """A name out of a module, fit for a terminal: it may be anything that is UTF-8, control characters included."""
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 1] + "…"
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def frame_info(code: CodeObject, pc: int, modules: Sequence[RegisteredModule | None]) -> FrameInfo | None:
    """The frame at `pc` in `code`, where `modules` are the owners of its parts. None where no function of an owner
    is."""
    found = code.find_function(pc)
    if found is None:
        return None
    number, func_index = found
    module = modules[number]
    if module is None:
        return None
    return FrameInfo(module, func_index, None, pc, code)


Site = tuple["CodeObject", "Sequence[RegisteredModule | None]", int]
"""Code, the owners of its parts, and an address in it: a frame that nobody has looked at yet. It keeps alive what it
takes to do so."""


def frames_at(sites: Sequence[Site]) -> list[FrameInfo]:
    """The frames. Left out are addresses where no function is, and calls by which an activation goes on in other code:
    what is called there is no callee, but the rest of the function."""
    frames = []
    for position, (code, owners, pc) in enumerate(sites):
        if position and code.find_line(pc)[1] == SAME_ACTIVATION:
            continue
        frame = frame_info(code, pc, owners)
        if frame is not None:
            frames.append(frame)
    return frames


def lookup_frame_info(pc: int) -> FrameInfo | None:
    """The frame at `pc`, whatever store it runs in. None where no wasm function is."""
    code = find_code(pc)
    return frame_info(code, pc, [part.module for part in code.modules]) if code is not None else None


def format_frames(frames: Sequence[FrameInfo], omitted: int = 0) -> list[str]:
    """The lines of a stack for people, innermost frame first.

    Where `omitted` frames were left out, they are those in the middle: behind the first half of `frames` (rounded up).
    """
    middle = (len(frames) + 1) // 2 if omitted else len(frames)
    lines = [f"    {number}: {frame}" for number, frame in enumerate(frames[:middle])]
    if omitted:
        lines.append(f"    ... {omitted:,} frame{'s' if omitted > 1 else ''} omitted ...")
    lines += [f"    {number}: {frame}" for number, frame in enumerate(frames[middle:], middle + omitted)]
    return lines
