"""`Guest`: the memory and the functions that one `canon` definition works with, and what it takes to reach them."""

from __future__ import annotations

from wasmark.component.abi.layout import LAYOUTS, MAX_BYTES
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.errors import WasmException
from wasmark.memory import exported_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from wasmark.component.abi.handles import InstanceState, Scope
    from wasmark.func import Func
    from wasmark.memory import Memory

UTF8 = "utf8"
UTF16 = "utf16"
LATIN1_UTF16 = "latin1+utf16"


class Guest:
    """One side of a call: an instance with the options of a `canon` definition.

    `view` is its memory as it was when somebody looked last, and `length` how long that is: memories only grow, and
    never move. What does not fit is looked up once more (`reach`) before it is a trap. `scope` is that of the present
    call, `resources` what the types of the signature stand for here, `moved` the handles that Python gives away or
    lends while parameters are lowered: (index, resource, object, representation).
    """

    __slots__ = ("_buffer", "encoding", "layout", "length", "moved", "realloc", "resources", "scope", "state", "view")

    def __init__(
        self,
        state: InstanceState,
        memory: Memory | None = None,
        realloc: Func | Callable[..., Any] | None = None,
        encoding: str = UTF8,
        resources: Sequence[Any] = (),
    ) -> None:
        self.state = state
        self.realloc = realloc
        self.encoding = encoding
        self.resources = resources
        self.moved: list[tuple[int, Any, Any, int]] | None = None
        self.scope: Scope | None = None
        is64 = memory is not None and memory.type.limits.is64
        self.layout = LAYOUTS[8 if is64 else 4]
        # Not the memory's own object: that keeps its store alive, which keeps what is bound here.
        self._buffer = exported_bytes(memory.linear, state.store.runtime) if memory is not None else b""
        self.view = memoryview(self._buffer)
        self.length = len(self.view)

    def reach(self, start: int, size: int, code: ComponentTrapCode, detail: str | None = None) -> None:
        """Trap unless the memory has `size` bytes at `start`."""
        if start + size > self.length:
            self.view = memoryview(self._buffer)
            self.length = len(self.view)
            if start + size > self.length:
                raise ComponentTrap(code, detail and f"{code.message}: {detail}")

    def reach_pointer(self, start: int, size: int, alignment: int) -> None:
        """Trap unless a value can lie at `start`."""
        if start & (alignment - 1):
            raise ComponentTrap(ComponentTrapCode.UNALIGNED_POINTER)
        if start + size > self.length:
            self.reach(start, size, ComponentTrapCode.POINTER_OUT_OF_BOUNDS)

    def reach_elements(self, start: int, count: int, size: int, alignment: int) -> int:
        """The bytes of `count` elements at `start`. Traps where they cannot lie there."""
        total = count * size
        if total > MAX_BYTES:
            raise ComponentTrap(ComponentTrapCode.TOO_LONG)
        if start & (alignment - 1):
            raise ComponentTrap(ComponentTrapCode.UNALIGNED_POINTER)
        if start + total > self.length:
            self.reach(start, total, ComponentTrapCode.LIST_OUT_OF_BOUNDS)
        return total

    def allocate(
        self, alignment: int, size: int, code: ComponentTrapCode = ComponentTrapCode.LIST_OUT_OF_BOUNDS
    ) -> int:
        """Memory of the guest for `size` bytes that come from outside."""
        # As `reallocate` does it; where all is well, this is all there is to do.
        state = self.state
        state.may_leave = False
        try:
            start: int = self.realloc(0, 0, alignment, size)  # type: ignore[misc]  # validation wants one
        except WasmException as error:
            uncaught(error)
        state.may_leave = True
        if start < 0 or start & (alignment - 1) or start + size > self.length:
            return self._checked(start, alignment, size, code)
        return start

    def reallocate(
        self,
        old: int,
        old_size: int,
        alignment: int,
        size: int,
        code: ComponentTrapCode = ComponentTrapCode.LIST_OUT_OF_BOUNDS,
    ) -> int:
        """What the guest's `realloc` answers, which must fit. It may not leave its instance meanwhile."""
        state = self.state
        state.may_leave = False
        try:
            assert self.realloc is not None
            start = self.realloc(old, old_size, alignment, size)
        except WasmException as error:
            uncaught(error)
        state.may_leave = True
        return self._checked(start, alignment, size, code)

    def _checked(self, start: int, alignment: int, size: int, code: ComponentTrapCode) -> int:
        start &= 0xFFFFFFFF if self.layout.pointer == 4 else 0xFFFFFFFFFFFFFFFF
        if start & (alignment - 1):
            raise ComponentTrap(
                ComponentTrapCode.UNALIGNED_POINTER, "unaligned pointer: realloc return: result not aligned"
            )
        if start + size > self.length:
            self.reach(start, size, code, "realloc return: beyond end of memory")
        return start


def uncaught(error: WasmException) -> NoReturn:
    """A core exception that leaves a component is a trap."""
    trap = ComponentTrap(ComponentTrapCode.UNCAUGHT_EXCEPTION)
    trap._frames, trap.omitted = error.frames, error.omitted
    raise trap from error
