"""`poll_oneoff`: waiting for the first of several moments and descriptors."""

from __future__ import annotations

import contextlib
import select

from wasmark.core.record import Record
from wasmark.wasi.abi import (
    EVENT,
    EVENT_HANGUP,
    SUBCLOCK_ABSTIME,
    SUBSCRIPTION_HEAD,
    ClockId,
    Errno,
    EventType,
    Rights,
    WasiError,
)
from wasmark.wasi.patience import at_most
from wasmark.wasi.waiting import sleep, wait_for_descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.wasi.context import Context
    from wasmark.wasi.descriptors import Descriptor
    from wasmark.wasi.memory import GuestMemory

MAX_SUBSCRIPTIONS: Final = 4096
"""Most subscriptions of one call; each costs the host some memory while it waits."""


class _Watch(Record):
    __slots__ = ("descriptor", "event_type", "host_fd", "userdata")

    def __init__(self, userdata: int, event_type: int, descriptor: Descriptor, host_fd: int) -> None:
        self.userdata = userdata
        self.event_type = event_type
        self.descriptor = descriptor
        self.host_fd = host_fd

    @property
    def mask(self) -> int:
        """What to wait for, as poll(2) has it."""
        return select.POLLOUT if self.event_type == EventType.FD_WRITE else select.POLLIN


def poll_oneoff(ctx: Context, memory: GuestMemory, subscriptions: int, events: int, count: int, nevents: int) -> None:
    if not count:
        raise WasiError(Errno.INVAL)
    if count > MAX_SUBSCRIPTIONS:
        memory.check(subscriptions, count * ctx.abi.subscription.size)
        raise WasiError(Errno.NOMEM)
    raw = memory.read(subscriptions, count * ctx.abi.subscription.size)
    memory.check(events, count * EVENT.size)
    memory.check(nevents, 4)
    with contextlib.ExitStack() as pins:
        happened = _Poll(ctx, pins, raw).run()
    memory.write(events, b"".join(happened))
    memory.put_u32(nevents, len(happened))


class _Poll:
    """One call. `happened` are the records of events so far, `timers` pairs of wait in nanoseconds and userdata."""

    def __init__(self, ctx: Context, pins: contextlib.ExitStack, raw: bytes) -> None:
        self._clocks = ctx.clocks
        self.happened: list[bytes] = []
        self.timers: list[tuple[int, int]] = []
        self.watches: list[_Watch] = []
        size = ctx.abi.subscription.size
        for at in range(0, len(raw), size):
            userdata, tag, fd = SUBSCRIPTION_HEAD.unpack_from(raw, at)
            if tag == EventType.CLOCK:
                _, _, clock, timeout, _, flags = ctx.abi.subscription.unpack_from(raw, at)
                self._add_timer(userdata, clock, timeout, flags)
            elif tag in (EventType.FD_READ, EventType.FD_WRITE):
                self._add_watch(ctx, pins, userdata, tag, fd)
            else:
                raise WasiError(Errno.INVAL)

    def run(self) -> list[bytes]:
        """Wait, and return the records of all events that have happened: none where the thread has no more time."""
        wait = at_most(0 if self.happened else min((wait for wait, _ in self.timers), default=None))
        start = self._clocks.monotonic()
        if self.watches:
            timed_out = self._wait_for_descriptors(wait)
        else:
            assert wait is not None
            sleep(self._clocks, wait)
            timed_out = True
        passed = self._clocks.monotonic() - start
        if timed_out and wait is not None:
            passed = max(passed, wait)
        for timeout, userdata in self.timers:
            if timeout <= passed:
                self._event(userdata, EventType.CLOCK)
        return self.happened

    def _event(
        self, userdata: int, event_type: int, error: Errno = Errno.SUCCESS, nbytes: int = 0, flags: int = 0
    ) -> None:
        self.happened.append(EVENT.pack(userdata, error, event_type, nbytes, flags))

    def _add_timer(self, userdata: int, clock: int, timeout: int, flags: int) -> None:
        if clock > ClockId.THREAD_CPUTIME or flags & ~SUBCLOCK_ABSTIME:
            raise WasiError(Errno.INVAL)
        if clock in (ClockId.PROCESS_CPUTIME, ClockId.THREAD_CPUTIME):
            self._event(userdata, EventType.CLOCK, Errno.NOTSUP)  # waiting would not make it go on
            return
        if flags & SUBCLOCK_ABSTIME:
            timeout = max(0, timeout - self._clocks.now(clock))
        self.timers.append((timeout, userdata))

    def _add_watch(self, ctx: Context, pins: contextlib.ExitStack, userdata: int, tag: int, fd: int) -> None:
        write = tag == EventType.FD_WRITE
        right = Rights.FD_WRITE if write else Rights.FD_READ
        try:
            descriptor = ctx.table.get(fd, Rights.POLL_FD_READWRITE | right)
            host = descriptor.waitable(write=write)
            if host is not None:
                self.watches.append(_Watch(userdata, tag, descriptor, pins.enter_context(host)))
                return
        except WasiError as error:
            self._event(userdata, tag, error.code)
            return
        self._event(userdata, tag, nbytes=1)

    def _wait_for_descriptors(self, wait: int | None) -> bool:
        """Wait until one is ready or the time is over. Whether it was the time."""
        ready = wait_for_descriptors([(watch.host_fd, watch.mask) for watch in self.watches], wait)
        if not ready:
            return True
        for watch in self.watches:
            state = ready.get(watch.host_fd, 0)
            if state & select.POLLNVAL:
                self._event(watch.userdata, watch.event_type, Errno.BADF)
            elif state & (watch.mask | select.POLLHUP | select.POLLERR):
                hangup = EVENT_HANGUP if state & select.POLLHUP else 0
                nbytes = 1 if watch.mask == select.POLLOUT else watch.descriptor.available(watch.host_fd)
                self._event(watch.userdata, watch.event_type, nbytes=nbytes, flags=hangup)
        return False
