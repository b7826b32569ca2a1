"""`ComponentTrap`: the traps of the canonical ABI. Core wasm knows nothing of them: they come about at the borders of
component instances, in Python."""

from __future__ import annotations

import enum

from wasmark.errors import Trap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ComponentTrapCode(enum.Enum):
    """Why a component instance was stopped at its border."""

    CANNOT_ENTER = "cannot enter component instance"
    CANNOT_LEAVE = "cannot leave component instance"
    UNALIGNED_POINTER = "unaligned pointer"
    POINTER_OUT_OF_BOUNDS = "pointer out of bounds of memory"
    STRING_OUT_OF_BOUNDS = "string content out-of-bounds"
    LIST_OUT_OF_BOUNDS = "list content out-of-bounds"
    TOO_LONG = "a string or list of more than 268,435,455 bytes"
    INVALID_STRING = "invalid string"
    INVALID_CHAR = "invalid `char` bit pattern"
    INVALID_DISCRIMINANT = "invalid variant discriminant"
    UNKNOWN_HANDLE = "unknown handle index"
    WRONG_HANDLE_TYPE = "handle used with the wrong type"
    HANDLE_LENT = "cannot remove owned resource while borrowed"
    NOT_OWNED = "cannot lift own resource from a borrow"
    BORROWS_REMAIN = "borrow handles still remain at the end of the call"
    HANDLE_TABLE_FULL = "the handle table has no free index"
    UNEXPECTED_RETURN = "`task.return` in a task that has a result already, or gives it otherwise"
    NO_RESULT = "async-lifted export failed to produce a result"
    BAD_CALLBACK_CODE = "unsupported callback code"
    BACKPRESSURE_OVERFLOW = "backpressure counter overflow"
    CANNOT_BLOCK = "cannot block a synchronous task before returning"
    DEADLOCK = "deadlock detected: event loop cannot make further progress"
    UNEXPECTED_CANCEL = "`task.cancel` in a task that nobody wants to be cancelled"
    CANCELLED_TWICE = "a subtask was cancelled that has ended, or was cancelled before"
    SUBTASK_UNRESOLVED = "cannot drop a subtask which has not yet resolved"
    SET_IN_USE = "cannot drop waitable set with waiters"
    IN_WAITABLE_SET = "waitable cannot be used synchronously while added to a waitable set"
    NOT_SUSPENDED = "a thread that is to go on is not suspended"
    NO_FUNCTION = "a thread's function is not there, or of another type"
    BUSY = "cannot have concurrent operations active on a future/stream"
    NOT_COPYING = "nothing is read or written that could be cancelled"
    DROP_BUSY_STREAM = "cannot drop busy stream"
    DROP_BUSY_FUTURE = "cannot drop busy future"
    DROP_UNWRITTEN_FUTURE = "cannot drop future write end without first writing a value"
    REMOVE_BUSY_STREAM = "cannot remove busy stream"
    REMOVE_BUSY_FUTURE = "cannot remove busy future"
    LIFT_JOINED_STREAM = "cannot lift stream while it's in a waitable set"
    LIFT_JOINED_FUTURE = "cannot lift future while it's in a waitable set"
    LIFT_ENDED_STREAM = "cannot lift stream after being notified that the writable end dropped"
    LIFT_ENDED_FUTURE = "cannot lift future after previous read succeeded"
    READ_ENDED_STREAM = "cannot read from stream after being notified that the writable end dropped"
    READ_ENDED_FUTURE = "cannot read from future after previous read succeeded"
    WRITE_ENDED_STREAM = "cannot write to stream after being notified that the readable end dropped"
    WRITE_ENDED_FUTURE = "cannot write to future after previous write succeeded or readable end dropped"
    WITHIN_ONE_STREAM = "cannot read from and write to intra-component stream"
    WITHIN_ONE_FUTURE = "cannot read from and write to intra-component future"
    REFUSED_BY_HOST = "a host function does not allow what it was called with"
    UNCAUGHT_EXCEPTION = "uncaught exception"

    @property
    def message(self) -> str:
        """The sentence for people."""
        return self.value


class ComponentTrap(Trap):
    """A component instance broke a rule of the canonical ABI.

    `code` is a `ComponentTrapCode`; `detail`, where there is one, is the whole sentence for people. The instances that
    were active cannot be entered again.
    """

    code: ComponentTrapCode  # type: ignore[assignment]  # its message is what a trap needs of it

    def __init__(self, code: ComponentTrapCode, detail: str | None = None) -> None:
        super().__init__(code, detail=detail)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.detail), {**self.__dict__, "_frames": self.frames}

    def _head(self) -> str:
        return f"wasm trap: {self.detail or self.code.message}"
