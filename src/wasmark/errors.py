"""The exception tree and the trap codes: everything that can go wrong has one class here and one message.

Nothing in this file knows how an error comes about; `TrapCode` values travel inside machine code (the operand of the
trap instruction and the column of the line table), so their numbers are part of the format of compiled code.
"""

from __future__ import annotations

import enum
import functools

from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wasmark.registry.frames import FrameInfo
    from wasmark.stopping import Deadline
    from wasmark.tag import Tag


class TrapCode(enum.IntEnum):
    """Why wasm code stopped (core §4.2.1 and the traps named in §4.6). Values fit the 8-bit operand of a trap
    instruction."""

    UNREACHABLE = 1
    INTEGER_DIVISION_BY_ZERO = 2
    INTEGER_OVERFLOW = 3
    BAD_CONVERSION_TO_INTEGER = 4
    MEMORY_OUT_OF_BOUNDS = 5
    TABLE_OUT_OF_BOUNDS = 6
    UNDEFINED_ELEMENT = 7
    UNINITIALIZED_ELEMENT = 8
    INDIRECT_CALL_TYPE_MISMATCH = 9
    STACK_OVERFLOW = 10
    NULL_REFERENCE = 11
    NULL_FUNCTION_REFERENCE = 12
    NULL_EXCEPTION_REFERENCE = 19
    NULL_STRUCTURE_REFERENCE = 20
    NULL_ARRAY_REFERENCE = 21
    NULL_I31_REFERENCE = 22
    ARRAY_OUT_OF_BOUNDS = 23
    CAST_FAILURE = 24
    GC_HEAP_EXHAUSTED = 25
    UNALIGNED_ATOMIC = 32
    EXPECTED_SHARED_MEMORY = 33
    OUT_OF_FUEL = 40
    INTERRUPT = 41

    @property
    def message(self) -> str:
        """The sentence for people; it contains the wording that the official tests look for."""
        return _TRAP_MESSAGES[self]


_TRAP_MESSAGES = {
    TrapCode.UNREACHABLE: "unreachable executed",
    TrapCode.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    TrapCode.INTEGER_OVERFLOW: "integer overflow",
    TrapCode.BAD_CONVERSION_TO_INTEGER: "invalid conversion to integer",
    TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    TrapCode.TABLE_OUT_OF_BOUNDS: "out of bounds table access",
    TrapCode.UNDEFINED_ELEMENT: "undefined element",
    TrapCode.UNINITIALIZED_ELEMENT: "uninitialized element",
    TrapCode.INDIRECT_CALL_TYPE_MISMATCH: "indirect call type mismatch",
    TrapCode.STACK_OVERFLOW: "call stack exhausted",
    TrapCode.NULL_REFERENCE: "null reference",
    TrapCode.NULL_FUNCTION_REFERENCE: "null function reference",
    TrapCode.NULL_EXCEPTION_REFERENCE: "null exception reference",
    TrapCode.NULL_STRUCTURE_REFERENCE: "null structure reference",
    TrapCode.NULL_ARRAY_REFERENCE: "null array reference",
    TrapCode.NULL_I31_REFERENCE: "null i31 reference",
    TrapCode.ARRAY_OUT_OF_BOUNDS: "out of bounds array access",
    TrapCode.CAST_FAILURE: "cast failure",
    TrapCode.GC_HEAP_EXHAUSTED: "garbage-collected heap exhausted",
    TrapCode.UNALIGNED_ATOMIC: "unaligned atomic",
    TrapCode.EXPECTED_SHARED_MEMORY: "expected shared memory",
    TrapCode.OUT_OF_FUEL: "all fuel consumed",
    TrapCode.INTERRUPT: "interrupted",
}


def wrong_type(wanted: str, value: object) -> TypeError:
    """What to raise for an argument that is not what is `wanted` ("a Module")."""
    return TypeError(f"expected {wanted}, got {type(value).__name__}")


class Error(Exception):
    """The root of all that Wasmark raises on its own account."""


class MalformedError(Error):
    """The bytes or the text do not have the shape of a module (core §5, §6).

    Exactly one of the two positions is known: `offset` (bytes from the start of the binary) or `line` and `column`
    (both counted from 1, of the text).
    """

    def __init__(
        self, message: str, *, offset: int | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        self.message = message
        self.offset = offset
        self.line = line
        self.column = column
        if offset is not None:
            message = f"{message} (at offset {offset:#x})"
        elif line is not None:
            message = f"{line}:{column}: {message}"
        super().__init__(message)


class InvalidError(Error):
    """The module is well formed but breaks a validation rule (core §3).

    `func_index` names the function (in the function index space) and `offset` the byte of the binary where it does;
    `line` and `column` are those of the instruction where the module was text.
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        func_index: int | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.message = message
        self.offset = offset
        self.func_index = func_index
        self.line = line
        self.column = column
        where = []
        if func_index is not None:
            where.append(f"in function {func_index}")
        if offset is not None:
            where.append(f"at offset {offset:#x}")
        text = f"{message} ({' '.join(where)})" if where else message
        super().__init__(text if line is None else f"{line}:{column}: {text}")


class UnsupportedError(Error):
    """The module asks for a part of the standard, or of the machine, that this version does not have; `part` names
    it."""

    def __init__(self, message: str, *, part: str | None = None) -> None:
        self.message = message
        self.part = part
        super().__init__(message)


class LinkError(Error):
    """An import is missing or has the wrong type (core §4.7.4), or a name is defined twice."""


class OutOfCodeMemoryError(Error, MemoryError):
    """There is no room left for machine code, or the system refuses to map it."""


class FramedError(Error):
    """What has the wasm frames that were active."""

    _frames: Sequence[FrameInfo] | Callable[[], Sequence[FrameInfo]]
    omitted: int

    @property
    def frames(self) -> tuple[FrameInfo, ...]:
        """The wasm frames that were active, innermost first."""
        frames = self._frames
        if not isinstance(frames, tuple):
            frames = self._frames = tuple(frames() if callable(frames) else frames)
        return frames

    def _repr_html_(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import frames_html

        return frames_html(self)

    def _head(self) -> str:
        """The first line of the message."""
        raise NotImplementedError

    def format(self, *, sources: bool = False) -> str:
        """The message, with a line for each frame and, where `sources` or `Config.debug_info` says so, for each source
        position that the debug information of a module has for it."""
        late_import("wasmark.registry.frames")
        from wasmark.registry.frames import format_frames

        return "\n".join([self._head(), *format_frames(self.frames, self.omitted, sources=sources)])

    def __str__(self) -> str:
        return self.format()


class Trap(FramedError):  # noqa: N818 - the public name
    """Wasm code trapped.

    `code` says why, `pc` is the machine address of the instruction that did it (0 where a host function asked for the
    trap), and `frames` are the wasm frames that were active, innermost first. They are found out when somebody looks at
    them: a function that does so may be given.
    """

    def __init__(
        self,
        code: TrapCode,
        *,
        pc: int = 0,
        frames: Sequence[FrameInfo] | Callable[[], Sequence[FrameInfo]] = (),
        omitted: int = 0,
        detail: str | None = None,
    ) -> None:
        self.code = code
        self.pc = pc
        self._frames = frames
        self.omitted = omitted
        self.detail = detail
        super().__init__(code, pc)

    def __reduce__(self) -> tuple[Any, ...]:
        """It can travel between processes; its frames lose their modules on the way."""
        return functools.partial(type(self), pc=self.pc), (self.code,), {**self.__dict__, "_frames": self.frames}

    def __repr__(self) -> str:
        frames = self.frames
        return f"<wasmark.{type(self).__name__} {self.code.name}{f' in {frames[0]}' if frames else ''}>"

    def _head(self) -> str:
        head = f"wasm trap: {self.code.message}"
        return f"{head}: {self.detail}" if self.detail else head


class Timeout(Trap, TimeoutError):  # noqa: N818 - the public name
    """Wasm code was stopped because its time was over; `frames` say where, `code` is INTERRUPT.

    `deadline` is the `Deadline` that had passed, None where it was the time limit of a store (or the error has come out
    of another process).
    """

    deadline: Deadline | None = None

    def __init__(self, code: TrapCode = TrapCode.INTERRUPT, **rest: Any) -> None:
        super().__init__(code, **rest)
        self.errno = self.strerror = None  # OSError takes its arguments for these

    def __reduce__(self) -> tuple[Any, ...]:
        make, arguments, state = super().__reduce__()
        return make, arguments, {**state, "deadline": None}


class WasmException(FramedError):  # noqa: N818 - the public name
    """An exception of wasm's.

    `tag` is its `Tag`, `values` what it carries, and `frames` are the wasm frames that were active when wasm threw it,
    innermost first; there are none where Python did. A host function that raises one throws it into the wasm code that
    called it, if its tag belongs to the same store. It is the same object when it comes out again, as long as wasm has
    not let go of it.
    """

    def __init__(
        self,
        tag: Tag | None,
        values: Sequence[Any] = (),
        *,
        frames: Sequence[FrameInfo] | Callable[[], Sequence[FrameInfo]] = (),
        omitted: int = 0,
    ) -> None:
        """Raises TypeError where the tag takes another number of values. (Without a tag it has come out of another
        process.)"""
        self.tag = tag
        self.values = tuple(values)
        self._frames = frames
        self.omitted = omitted
        if tag is not None and len(self.values) != len(tag.type.params):
            raise TypeError(f"{tag!r} takes {len(tag.type.params)} values ({len(self.values)} given)")
        super().__init__(tag, self.values)

    def __reduce__(self) -> tuple[Any, ...]:
        """It can travel between processes; its tag, and the modules of its frames, get lost on the way."""
        return type(self), (None, self.values), {"_frames": self.frames, "omitted": self.omitted}

    def __repr__(self) -> str:
        return f"<wasmark.WasmException {self._said()}>"

    def _said(self) -> str:
        name = "exception" if self.tag is None else self.tag.name
        return f"{name}({', '.join(map(repr, self.values))})"

    def _head(self) -> str:
        return f"wasm exception: {self._said()}"


class Exit(Error):  # noqa: N818 - the public name
    """The program called WASI `proc_exit`; `code` is its exit status. It is how programs end, so no time is spent on
    wasm frames in its traceback."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"wasm program exited with status {code}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code,), self.__dict__

    def __repr__(self) -> str:
        return f"Exit({self.code})"
