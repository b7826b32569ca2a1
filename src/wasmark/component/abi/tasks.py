"""Tasks: what belongs to one call of a lifted function (CanonicalABI.md, "Tasks"). There is no concurrency: a task runs
from its start to its end. One of an asynchronous function gives its result by `task.return`, and may yield in between;
to wait for something is not supported yet."""

from __future__ import annotations

from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.handles import InstanceState

CONTEXT_SLOTS: Final = 2
RETURNED: Final = 2
"""How far a task has come that has ended (CanonicalABI.md, `Subtask.State`)."""
_EXIT: Final = 0
_YIELD: Final = 1
_WAIT: Final = 2
_EVENT_NONE: Final = 0


class Task:
    """A call. `lift` makes a value of what is given to `task.return`; None where the function returns its result as
    core functions do."""

    __slots__ = ("context", "lift", "returned", "value")

    def __init__(self, lift: Callable[..., Any] | None = None) -> None:
        self.lift = lift
        self.returned = False
        self.value: Any = None
        self.context = [0] * CONTEXT_SLOTS

    def give(self, *core: Any) -> None:
        """`task.return`."""
        if self.lift is None or self.returned:
            raise ComponentTrap(ComponentTrapCode.UNEXPECTED_RETURN)
        self.value = self.lift(*core)
        self.returned = True

    def result(self) -> Any:
        """What it was given. Traps where that never happened."""
        if not self.returned:
            raise ComponentTrap(ComponentTrapCode.NO_RESULT)
        return self.value


def present(state: InstanceState) -> Task:
    """The task that runs in an instance."""
    if state.task is None:
        state.task = Task()
    return state.task


def run_callback(callback: Callable[[int, int, int], int], packed: int) -> None:
    """What comes after an asynchronous function has returned with `packed`: it is called back until it has ended."""
    while True:
        code = packed & 0xF
        if code == _EXIT:
            return
        if code == _WAIT:
            raise UnsupportedError("waiting in a task is not supported yet", part="asynchronous components")
        if code != _YIELD:
            raise ComponentTrap(ComponentTrapCode.BAD_CALLBACK_CODE)
        packed = callback(_EVENT_NONE, 0, 0)
