"""Waiting for moments and descriptors, one or several."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.wasi.p2.guest import Guest
from wasmark import ComponentTrap
from wasmark.wasi import Clocks, Preopen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Simulated:
    """A clock that goes on only when somebody waits."""

    def __init__(self) -> None:
        self.time = 1000
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += round(seconds * 1e9)

    def clocks(self) -> Clocks:
        return Clocks(monotonic=lambda: self.time, sleep=self.sleep, realtime=lambda: 5, resolution=(3, 4, 5, 6))


@pytest.fixture
def time() -> Simulated:
    return Simulated()


@pytest.fixture
def timed(time: Simulated) -> Guest:
    return Guest(clocks=time.clocks())


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    from wasmark.wasi import host
    from wasmark.wasi.streams import InheritedInput

    reading, writing = os.pipe()
    monkeypatch.setattr(host, "input_stream", lambda source: InheritedInput(reading))
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_a_moment_is_waited_for(timed: Guest, time: Simulated) -> None:
    timer = timed.subscribe_duration(5 * 10**9)
    assert not timed.pollable_ready(timer)
    timed.pollable_block(timer)
    assert time.slept == [5.0]
    assert timed.pollable_ready(timer)
    timed.pollable_block(timer)
    assert time.slept == [5.0]


def test_a_moment_of_the_past_is_there(timed: Guest) -> None:
    assert timed.pollable_ready(timed.subscribe_instant(999))
    assert not timed.pollable_ready(timed.subscribe_instant(1001))


def test_the_first_of_several_moments_ends_the_wait(timed: Guest, time: Simulated) -> None:
    late, soon, also, never = (timed.subscribe_duration(each) for each in (9 * 10**9, 10**9, 10**9, (1 << 64) - 1))
    assert timed.poll([late, soon, never, also]) == [1, 3]
    assert time.slept == [1.0]
    assert timed.poll([never, late]) == [1]
    assert time.slept == [1.0, 8.0]


def test_what_is_ready_is_not_waited_for(timed: Guest, time: Simulated) -> None:
    always = timed.input_stream_subscribe(timed.get_stdin())
    timer = timed.subscribe_duration(10**9)
    assert timed.poll([timer, always]) == [1]
    assert timed.poll([always, always]) == [0, 1]
    assert time.slept == []


def test_files_are_always_ready(guest: Guest) -> None:
    reading = guest.input_stream_subscribe(guest.descriptor_read_via_stream(guest.open("file"), 0))
    file = guest.open("file", mode=["write"])
    writing = guest.output_stream_subscribe(guest.descriptor_write_via_stream(file, 0))
    assert guest.poll([reading, writing]) == [0, 1]
    guest.pollable_block(reading)


def test_a_pipe_is_ready_when_there_is_something(ends: tuple[int, int]) -> None:
    guest = Guest()
    pipe = guest.input_stream_subscribe(guest.get_stdin())
    assert not guest.pollable_ready(pipe)
    timer = guest.subscribe_duration(10**6)
    assert guest.poll([pipe, timer]) == [1]
    os.write(ends[1], b"x")
    assert guest.poll([pipe, guest.subscribe_duration(1 << 63)]) == [0]
    assert guest.poll([pipe, pipe, timer]) == [0, 1, 2]


def test_waiting_ends_when_something_comes(ends: tuple[int, int]) -> None:
    guest = Guest()
    stream = guest.get_stdin()
    pipe = guest.input_stream_subscribe(stream)
    writer = threading.Timer(0.05, os.write, (ends[1], b"there"))
    writer.start()
    try:
        assert guest.poll([pipe, guest.subscribe_duration(1 << 63)]) == [0]
        assert guest.input_stream_read(stream, 9) == b"there"
    finally:
        writer.join()


def test_an_empty_list_traps(guest: Guest) -> None:
    with pytest.raises(ComponentTrap, match="empty list"):
        guest.poll([])


def test_a_pollable_outlives_what_it_came_from(guest: Guest) -> None:
    stream = guest.descriptor_read_via_stream(guest.open("file"), 0)
    pollable = guest.input_stream_subscribe(stream)
    guest.drop_input_stream(stream)
    assert guest.pollable_ready(pollable)
    guest.drop_pollable(pollable)


def test_clocks_are_those_given(timed: Guest, time: Simulated) -> None:
    assert timed.monotonic_clock_now() == 1000
    assert timed.monotonic_clock_resolution() == 4
    moment = timed.wall_clock_now()
    assert (moment.seconds, moment.nanoseconds) == (0, 5)
    resolution = timed.wall_clock_resolution()
    assert (resolution.seconds, resolution.nanoseconds) == (0, 3)


def test_it_is_utc_everywhere(timed: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    when = timed.wall_clock_now()
    assert timed.utc_offset(when) == 0
    shown = timed.display(when)
    assert (shown.utc_offset, shown.name, shown.in_daylight_saving_time) == (0, "UTC", False)


def test_a_wait_can_be_interrupted(root: Path) -> None:
    def stop(seconds: float) -> Any:
        raise KeyboardInterrupt

    guest = Guest(preopens=[Preopen(root, "/")], clocks=Clocks(sleep=stop))
    with guest.wasi, pytest.raises(KeyboardInterrupt):
        guest.pollable_block(guest.subscribe_duration(10**9))
