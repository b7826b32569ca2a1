"""The four clocks, and how the host waits."""

from __future__ import annotations

import functools
import time

from wasmark.core.record import FrozenRecord, set_
from wasmark.wasi.abi import ClockId, Errno, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory

_MAX_U64 = (1 << 64) - 1


@functools.cache
def _host_resolution() -> tuple[int, int, int, int]:
    ids = (
        time.CLOCK_REALTIME,
        time.CLOCK_MONOTONIC,
        time.CLOCK_PROCESS_CPUTIME_ID,
        time.CLOCK_THREAD_CPUTIME_ID,
    )
    realtime, monotonic, process, thread = (max(1, round(time.clock_getres(clock) * 1e9)) for clock in ids)
    return realtime, monotonic, process, thread


class Clocks(FrozenRecord):
    """Where a program's time comes from: replace what should be fixed or simulated.

    realtime (since 1970), monotonic, process_cpu, thread_cpu: functions that return nanoseconds.
    sleep: waits for the given seconds; used where a program waits for the time only, not for a descriptor as well.
    resolution: nanoseconds, in the order of the functions.
    """

    __slots__ = ("monotonic", "process_cpu", "realtime", "resolution", "sleep", "thread_cpu")

    realtime: Callable[[], int]
    monotonic: Callable[[], int]
    process_cpu: Callable[[], int]
    thread_cpu: Callable[[], int]
    sleep: Callable[[float], object]
    resolution: tuple[int, int, int, int]

    def __init__(
        self,
        realtime: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        process_cpu: Callable[[], int] = time.process_time_ns,
        thread_cpu: Callable[[], int] = time.thread_time_ns,
        sleep: Callable[[float], object] = time.sleep,
        resolution: tuple[int, int, int, int] | None = None,
    ) -> None:
        set_(self, "realtime", realtime)
        set_(self, "monotonic", monotonic)
        set_(self, "process_cpu", process_cpu)
        set_(self, "thread_cpu", thread_cpu)
        set_(self, "sleep", sleep)
        set_(self, "resolution", _host_resolution() if resolution is None else resolution)

    def now(self, clock: int) -> int:
        """The time of a `clockid`, in nanoseconds. `INVAL` if there is no such clock."""
        if clock == ClockId.MONOTONIC:
            value = self.monotonic()
        elif clock == ClockId.REALTIME:
            value = self.realtime()
        elif clock == ClockId.PROCESS_CPUTIME:
            value = self.process_cpu()
        elif clock == ClockId.THREAD_CPUTIME:
            value = self.thread_cpu()
        else:
            raise WasiError(Errno.INVAL)
        return min(max(value, 0), _MAX_U64)


def clock_res_get(ctx: Context, memory: GuestMemory, clock: int, resolution: int) -> None:
    if clock > ClockId.THREAD_CPUTIME:
        raise WasiError(Errno.INVAL)
    memory.put_u64(resolution, ctx.clocks.resolution[clock])


def clock_time_get(ctx: Context, memory: GuestMemory, clock: int, precision: int, now: int) -> None:
    memory.put_u64(now, ctx.clocks.now(clock))
