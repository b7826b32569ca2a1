"""Threads of components, and who runs next (CanonicalABI.md, "Stack Switching", "Threads"; Concurrency.md). They take
turns: one runs until it waits or ends.

What a thread does is a generator. It waits by yielding, or in the middle of wasm code (`Thread.block`). For the latter
it needs a stack of its own (`stacks.Stack`), which it gets for one step of the generator where its instance has
functions that could block (`InstanceState.can_block`). The thread of a synchronous call runs on the stack of its
caller, who has nothing to do before it returns: when it waits, the others of its instance are let run right there.

`Scheduler`: the threads of one store that wait, the one that has waited longest first.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections import deque

from wasmark.component.abi.guest import uncaught
from wasmark.component.abi.handles import Entry
from wasmark.component.abi.jobs import Jobs
from wasmark.component.abi.stacks import Seat, Stack
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.errors import WasmException
from wasmark.runtime.deadlines import nanoseconds
from wasmark.runtime.layout import THREAD_TIMEOUT
from wasmark.runtime.native import thread_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, NoReturn

    from wasmark.component.abi.tasks import Task
    from wasmark.store import Store

CONTEXT_SLOTS: Final = 2
_OVER: Final = object()


def _always() -> bool:
    return True


class Thread(Entry):
    """A thread of `task`. `steps` is what it does, None for the thread of a synchronous call, which is under way.

    `ready` says whether what it waits for is there: None where it is suspended. `cancelled` is what woke it: that its
    task is to be cancelled. `context` is what `context.get` and `context.set` are about. `index` is its index among its
    instance's. `needs_stack` is None where that depends on its instance.
    """

    __slots__ = (
        "_stack",
        "_steps",
        "cancelled",
        "context",
        "index",
        "is_blocked",
        "is_cancellable",
        "needs_stack",
        "ready",
        "scheduler",
        "task",
    )
    what = "thread"

    def __init__(self, task: Task, steps: Iterator[None] | None, *, needs_stack: bool | None = None) -> None:
        self.task = task
        self.scheduler = scheduler_of(task.state.store)
        self.context = [0] * CONTEXT_SLOTS
        self.index = 0
        self.is_blocked = steps is not None
        self.is_cancellable = False
        self.needs_stack = needs_stack
        self.ready: Callable[[], bool] | None = None
        self.cancelled = False
        self._steps = steps
        self._stack: Stack | None = None

    # --- what it does itself ------------------------------------------------------------------------

    def wait_for(self, ready: Callable[[], bool] | None, *, cancellable: bool = False) -> None:
        """Say that it waits, for as long as `ready` says, or until another thread lets it run (None). What comes next
        is that it yields, or blocks."""
        self.is_cancellable = cancellable
        self.cancelled = False
        self.is_blocked = True
        self.ready = ready
        if ready is not None:
            self.scheduler.waiting.append(self)

    def block(self, *, let_others: bool = False) -> bool:
        """Wait in the middle of wasm code, as `wait_for` has said; whether it is to be cancelled. Raises what a thread
        raises that is let run meanwhile, and traps where a synchronous task cannot wait. `let_others`: others run first
        even where there is nothing to wait for."""
        if self._stack is not None:
            self._stack.wait()
        else:
            self._block_here(let_others=let_others)
        return self.cancelled

    def _block_here(self, *, let_others: bool) -> None:
        scheduler, state = self.scheduler, self.task.state
        state.waits_here += 1
        while self.is_blocked:
            if not let_others and self.is_ready:
                break
            other = scheduler.next_within(self)
            if other is not None:
                scheduler.resume(other)
            elif not self.is_ready:
                self._refuse_to_wait()
            let_others = False
        state.waits_here -= 1
        self._stop_waiting()

    def _refuse_to_wait(self) -> NoReturn:
        # Others of the component may be ready that cannot run before the call returns: then they wait for each other.
        root = self.task.state.chain[-1]
        others = any(each.is_ready for each in self.scheduler.waiting if each.task.state.chain[-1] is root)
        raise ComponentTrap(ComponentTrapCode.DEADLOCK if others else ComponentTrapCode.CANNOT_BLOCK)

    def check_may_block(self) -> None:
        """Trap where it cannot wait: in a synchronous call while no other thread of the instance could run."""
        state = self.task.state
        if (self._steps is None or state.waits_here) and self.scheduler.next_within(self) is None:
            raise ComponentTrap(ComponentTrapCode.CANNOT_BLOCK)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a core function in it."""
        try:
            return function(*args)
        except WasmException as error:
            uncaught(error)
        finally:
            if self._stack is not None:
                self._stack.renew()

    def yield_(self, *, cancellable: bool) -> bool:
        """Let others run; whether it is to be cancelled."""
        if self.task.takes_cancellation(cancellable):
            return True
        self.wait_for(_always, cancellable=cancellable)
        return self.block(let_others=True)

    def suspend(self, *, cancellable: bool) -> bool:
        """Wait until another thread lets it run; whether it is to be cancelled."""
        if self.task.takes_cancellation(cancellable):
            return True
        self.wait_for(None, cancellable=cancellable)
        return self.block()

    def hand_over(self, other: Thread | None, *, cancellable: bool, suspends: bool) -> bool:
        """Let another thread run at once, if there is one, and be suspended, or wait for the next turn; whether it is
        to be cancelled."""
        if other is None:
            return self.suspend(cancellable=cancellable) if suspends else self.yield_(cancellable=cancellable)
        if self.task.takes_cancellation(cancellable):
            return True
        other.hold()
        self.wait_for(None if suspends else _always, cancellable=cancellable)
        if self._stack is not None:
            self.scheduler.switch = other
        else:
            self.scheduler.resume(other)
        return self.block()

    def wait_until(self, ready: Callable[[], bool], *, cancellable: bool = False) -> bool:
        """Wait until something is so; whether it is to be cancelled."""
        if self.task.takes_cancellation(cancellable):
            return True
        if ready():
            return False
        self.wait_for(ready, cancellable=cancellable)
        return self.block()

    def start(self, steps: Iterator[None]) -> None:
        """Begin with what it does."""
        self._steps = steps
        self.is_blocked = True
        self.scheduler.resume(self)

    # --- what others do with it ---------------------------------------------------------------------

    @property
    def is_suspended(self) -> bool:
        """Whether it waits until another thread lets it run."""
        return self.is_blocked and self.ready is None

    @property
    def is_ready(self) -> bool:
        """Whether what it waits for is there, or it is to be told that its task is cancelled."""
        return self.ready is not None and (self.ready() or self._is_to_be_told)

    @property
    def _is_to_be_told(self) -> bool:
        return self.is_cancellable and self.task.has_to_tell(self)

    def resume_later(self) -> None:
        """Let it run when its turn comes, if it is suspended."""
        if not self.is_suspended:
            raise ComponentTrap(ComponentTrapCode.NOT_SUSPENDED)
        self.ready = _always
        self.scheduler.waiting.append(self)

    def hold(self) -> None:
        """It is suspended, until the one that lets it run at once has stopped."""
        if self.ready is not None:
            self.ready = None
            self.scheduler.waiting.remove(self)

    def _stop_waiting(self) -> None:
        self.hold()
        self.is_blocked = False

    def run(self, *, cancelled: bool) -> None:
        """For the scheduler: let it run until it waits or ends. Raises what came out of it."""
        self._stop_waiting()
        self.cancelled = cancelled or (self._is_to_be_told and self.task.takes_cancellation(True))
        steps, stack = self._steps, self._stack
        if steps is None:  # its stack is the one below this: it goes on when what was called here returns
            return
        state = self.task.state
        outer, state.thread = state.thread, self
        if stack is None and (state.can_block if self.needs_stack is None else self.needs_stack):
            stack = self._stack = Stack(self.scheduler.seat_of(state.store), self._step)
            self.scheduler.on_stacks[self] = None
        if stack is None:
            self._step()
        else:
            stack.resume()
            if stack.is_done:
                self._stack = None
                del self.scheduler.on_stacks[self]
        state.thread = outer

    def _step(self) -> None:
        assert self._steps is not None
        next(self._steps, _OVER)

    def abandon(self) -> None:
        """Its instance is no more: it never goes on."""
        self._stop_waiting()
        self.scheduler.on_stacks.pop(self, None)
        stack, self._stack = self._stack, None
        if stack is not None and not stack.is_done:
            stack.abandon()

    def end(self) -> None:
        """It has come to its end."""
        self.task.remove(self)


class Scheduler:
    """See the head of this file. `waiting` are the threads that wait for something, `on_stacks` those that have a
    stack, in the order in which they got it, `switch` the one that is to run next, whatever comes
    first. `let_go` is what is to be done about ends of streams and futures that Python has let go of,
    `jobs` are its coroutines."""

    __slots__ = ("_lease", "_seat", "jobs", "let_go", "on_stacks", "switch", "waiting")

    def __init__(self) -> None:
        self._lease: Callable[[], Lease | None] = lambda: None
        self.waiting: list[Thread] = []
        self.on_stacks: dict[Thread, None] = {}
        self.switch: Thread | None = None
        self.let_go: deque[Callable[[], object]] = deque()
        self.jobs = Jobs()
        self._seat: Seat | None = None

    def seat_of(self, store: Store) -> Seat:
        """What stacks share."""
        if self._seat is None:
            self._seat = Seat(store)
        return self._seat

    def resume(self, thread: Thread, *, cancelled: bool = False) -> None:
        """Let a thread run until it waits or ends, and those that it hands over to. Raises what came out of it."""
        found: Thread | None = thread
        while found is not None:
            found.run(cancelled=cancelled)
            found, self.switch = self.switch, None
            cancelled = False

    def next_within(self, thread: Thread) -> Thread | None:
        """Another thread of the same instance that could run while this one waits in a synchronous call."""
        state = thread.task.state
        for each in self.waiting:
            task = each.task
            takes_turns = task.takes_turns and each is task.first
            if task.state is state and each is not thread and not takes_turns and each.is_ready:
                return each
        return None

    def tick(self) -> bool:
        """Let one thread run that can, from outside of all components; whether there was one."""
        while self.let_go:
            self.let_go.popleft()()
        return any(map(self._let_run, self.waiting))

    def round(self) -> None:
        """Let each thread that waits run once, if it can then."""
        while self.let_go:
            self.let_go.popleft()()
        for thread in [*self.waiting]:
            self._let_run(thread)

    def _let_run(self, thread: Thread) -> bool:
        state = thread.task.state
        if not (state.can_be_entered and thread.is_ready):
            return False
        for each in state.chain:
            each.may_enter = False
        self.resume(thread)
        for each in state.chain:
            each.may_enter = True
        self.jobs.wake()
        return True

    @contextlib.contextmanager
    def entered(self, store: Store) -> Iterator[None]:
        """For Python: keeps other threads out of the store, makes its time limit one for all of what is done here, and
        gives up threads that can never go on when that is over."""
        with store.owned() as idle:
            if not idle:
                yield
                return
            block = thread_state().block
            assert block is not None
            limit, at = store.timeout, THREAD_TIMEOUT // 8
            before = block[at]
            if limit is not None:
                end = time.monotonic_ns() + nanoseconds(limit)
                block[at] = min(before or end, end)
            try:
                yield
            finally:
                block[at] = before
                self._sweep()

    def run_until(self, store: Store, over: Callable[[], bool]) -> None:
        """Let threads run, in an `entered` store, until something is so. Raises what comes out of them, Timeout, and
        traps where nothing can run any more."""
        while not over():
            if not self.tick():
                if not self.jobs.wait():
                    raise ComponentTrap(ComponentTrapCode.DEADLOCK)
                store.check_time()

    async def run_until_async(self, store: Store, over: Callable[[], bool]) -> None:
        """The same without having entered the store, for an event loop, which runs on. Nothing is a deadlock there:
        whatever else runs in the loop may bring it about yet."""
        import asyncio

        loop = asyncio.get_running_loop()
        while not over():
            with self.entered(store):
                has_run = self.tick()
            if has_run:
                await asyncio.sleep(0)
            else:
                await self.jobs.happening(loop)

    def _sweep(self) -> None:
        """Give up the threads of instances that can never be entered again. No component runs here."""
        for thread in [*self.waiting, *self.on_stacks]:
            if not thread.task.state.can_be_entered:
                thread.abandon()

    def lease(self) -> Lease:
        """What all have of it that Python has: see there."""
        found = self._lease()
        if found is None:
            found = Lease(self)
            self._lease = weakref.ref(found)
        return found


class Lease:
    """Held by what Python has of the instances of a store, and by nothing that they are made of. Where it ends, nobody
    can call them any more, so the stacks of threads that wait end with it: they would keep each other and the store
    alive for ever."""

    __slots__ = ("__weakref__", "_scheduler")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():
            return
        for thread in [*self._scheduler.on_stacks]:
            state = thread.task.state
            state.may_enter = False
            with state.store.owned():
                thread.abandon()
        self._scheduler.jobs.abandon()


def scheduler_of(store: Store) -> Scheduler:
    """That of a store."""
    found: Scheduler | None = store.scheduler
    if found is None:
        found = store.scheduler = Scheduler()
    return found
