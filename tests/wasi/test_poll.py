"""`poll_oneoff`: clocks, files and streams, alone and together."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.wasi.guest import DATA, OUT, READ_WRITE, TEXT, Failed, Guest, clock_subscription, fd_subscription, quiet
from wasmark.wasi import Clocks, Errno, Preopen
from wasmark.wasi.abi import EventType, FdFlags, OFlags, Rights
from wasmark.wasi.poll import MAX_SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MILLISECOND = 1_000_000
HOUR = 3600 * 10**9


class FakeTime:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.nanoseconds = 5 * 10**9
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.nanoseconds += round(seconds * 1e9)

    def clocks(self) -> Clocks:
        return Clocks(realtime=lambda: self.nanoseconds + 10**18, monotonic=lambda: self.nanoseconds, sleep=self.sleep)


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime()


@pytest.fixture
def sleeper(fake: FakeTime, root: Path) -> Iterator[Guest]:
    """A program whose time is `fake`."""
    with quiet(clocks=fake.clocks(), preopens=[Preopen(root, "/")]) as wasi:
        yield Guest(wasi)


def test_a_real_wait_is_not_shorter_than_asked_for(guest: Guest) -> None:
    for clock in (0, 1):
        start = time.monotonic_ns()
        events = guest.poll(clock_subscription(77, 5 * MILLISECOND, clock=clock))
        assert time.monotonic_ns() - start >= 5 * MILLISECOND
        assert events == [(77, 0, EventType.CLOCK, 0, 0)]


@pytest.mark.parametrize("clock", [0, 1])
def test_waiting_until_a_moment(sleeper: Guest, fake: FakeTime, clock: int) -> None:
    moment = fake.nanoseconds + (10**18 if clock == 0 else 0) + HOUR
    assert len(sleeper.poll(clock_subscription(1, moment, clock=clock, absolute=True))) == 1
    assert fake.naps == [3600.0]
    assert len(sleeper.poll(clock_subscription(1, moment - 1, clock=clock, absolute=True))) == 1
    assert fake.naps == [3600.0], "what is past is not waited for"


def test_the_first_of_several_clocks_ends_the_wait(sleeper: Guest, fake: FakeTime) -> None:
    events = sleeper.poll(
        clock_subscription(1, 3 * HOUR), clock_subscription(2, HOUR), clock_subscription(3, HOUR, clock=0)
    )
    assert [event.userdata for event in events] == [2, 3]
    assert fake.naps == [3600.0]


def test_the_longest_wait_that_can_be_asked_for(sleeper: Guest, fake: FakeTime) -> None:
    start = fake.nanoseconds
    assert len(sleeper.poll(clock_subscription(1, (1 << 64) - 1))) == 1
    # Summed up in steps that the host can take, each rounded as a float is.
    assert abs(fake.nanoseconds - start - (1 << 64)) < 10**9


def test_a_wait_of_nothing_returns_at_once(sleeper: Guest, fake: FakeTime) -> None:
    assert len(sleeper.poll(clock_subscription(1, 0))) == 1
    assert not fake.naps


@pytest.mark.parametrize("clock", [2, 3])
def test_processor_time_cannot_be_waited_for(sleeper: Guest, clock: int) -> None:
    assert sleeper.poll(clock_subscription(9, HOUR, clock=clock)) == [(9, Errno.NOTSUP, 0, 0, 0)]


@pytest.mark.parametrize(
    "subscription",
    [
        clock_subscription(1, 1, clock=4),
        clock_subscription(1, 1)[:40] + struct.pack("<H6x", 2),
        struct.pack("<QB39x", 1, 3),
        struct.pack("<QB39x", 1, 255),
    ],
)
def test_what_nobody_can_wait_for_is_refused(sleeper: Guest, subscription: bytes) -> None:
    with pytest.raises(Failed, match="INVAL"):
        sleeper.poll(clock_subscription(1, 1), subscription)


def test_waiting_for_nothing_is_refused(guest: Guest) -> None:
    assert guest.call("poll_oneoff", TEXT, DATA, 0, OUT) == Errno.INVAL


def test_files_are_always_ready(sleeper: Guest, fake: FakeTime) -> None:
    fd = sleeper.open("file", 0, READ_WRITE)
    sleeper.read(fd, 2)
    events = sleeper.poll(fd_subscription(1, fd), fd_subscription(2, fd, write=True), clock_subscription(3, HOUR))
    assert events == [(1, 0, EventType.FD_READ, 3, 0), (2, 0, EventType.FD_WRITE, 1, 0)]
    sleeper.read(fd, 9)
    assert sleeper.poll(fd_subscription(1, fd)) == [(1, 0, EventType.FD_READ, 0, 0)]
    assert not fake.naps


def test_python_streams_are_always_ready(sleeper: Guest) -> None:
    events = sleeper.poll(fd_subscription(1, 0), fd_subscription(2, 1, write=True), fd_subscription(3, 2, write=True))
    assert [(event.userdata, event.error) for event in events] == [(1, 0), (2, 0), (3, 0)]


def test_a_bad_descriptor_is_an_event_of_its_own(sleeper: Guest, fake: FakeTime) -> None:
    fd = sleeper.open("file")
    events = sleeper.poll(
        fd_subscription(1, 99),
        fd_subscription(2, 3),
        fd_subscription(3, fd, write=True),
        fd_subscription(4, 0, write=True),
        fd_subscription(5, 1),
        clock_subscription(6, HOUR),
        fd_subscription(7, fd),
    )
    assert [(event.userdata, event.error) for event in events] == [
        (1, Errno.BADF),
        (2, Errno.BADF),
        (3, Errno.BADF),
        (4, Errno.BADF),
        (5, Errno.BADF),
        (7, 0),
    ]
    assert not fake.naps


def test_a_right_that_was_given_up_is_missed(sleeper: Guest) -> None:
    fd = sleeper.open("file")
    stat = sleeper.fdstat(fd)
    sleeper.do("fd_fdstat_set_rights", fd, stat.base & ~Rights.POLL_FD_READWRITE, 0)
    assert sleeper.poll(fd_subscription(1, fd)) == [(1, Errno.NOTCAPABLE, EventType.FD_READ, 0, 0)]


def test_a_pipe_is_ready_when_there_is_something_in_it(guest: Guest, root: Path) -> None:
    os.mkfifo(root / "pipe")
    reader = guest.open("pipe", 0, Rights.FD_READ, flags=FdFlags.NONBLOCK)
    writer = guest.open("pipe", 0, Rights.FD_WRITE, flags=FdFlags.NONBLOCK)
    start = time.monotonic_ns()
    events = guest.poll(fd_subscription(1, reader), clock_subscription(2, 20 * MILLISECOND))
    assert events == [(2, 0, EventType.CLOCK, 0, 0)]
    assert time.monotonic_ns() - start >= 20 * MILLISECOND
    guest.write(writer, b"abc")
    subscriptions = fd_subscription(1, reader), clock_subscription(2, HOUR), fd_subscription(3, writer, write=True)
    assert guest.poll(*subscriptions) == [(1, 0, EventType.FD_READ, 3, 0), (3, 0, EventType.FD_WRITE, 1, 0)]
    guest.read(reader, 9)
    guest.close(writer)
    (event,) = guest.poll(fd_subscription(1, reader))
    assert event.flags == 1, "the other end hung up"


def test_one_descriptor_may_be_waited_for_both_ways(guest: Guest, root: Path) -> None:
    os.mkfifo(root / "pipe")
    both = guest.open("pipe", 0, READ_WRITE, flags=FdFlags.NONBLOCK)
    subscriptions = fd_subscription(1, both), fd_subscription(2, both, write=True)
    assert [event.userdata for event in guest.poll(*subscriptions)] == [2]
    guest.write(both, b"x")
    assert [event.userdata for event in guest.poll(*subscriptions)] == [1, 2]


def test_the_input_of_the_process_is_waited_for() -> None:
    code = f"""
import sys, threading, os; sys.path[:0] = {sys.path!r}
from tests.wasi.guest import *
reader, writer = os.pipe()
os.dup2(reader, 0)
guest = Guest(Wasi())
assert [e.userdata for e in guest.poll(fd_subscription(1, 0), clock_subscription(2, {MILLISECOND}))] == [2]
threading.Timer(0.1, lambda: os.write(writer, b"four")).start()
assert guest.poll(fd_subscription(1, 0), clock_subscription(2, {HOUR})) == [(1, 0, 1, 4, 0)]
assert guest.poll(fd_subscription(3, 1, write=True)) == [(3, 0, 2, 1, 0)]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_too_many_subscriptions_are_refused_before_they_cost_anything(root: Path) -> None:
    with quiet() as wasi:
        guest = Guest(wasi, size=1 << 20)
        most = clock_subscription(1, 0) * MAX_SUBSCRIPTIONS
        guest.put(0x10000, most)
        guest.do("poll_oneoff", 0x10000, 0x80000, MAX_SUBSCRIPTIONS, OUT)
        assert guest.u32() == MAX_SUBSCRIPTIONS
        assert guest.call("poll_oneoff", 0x10000, 0x80000, MAX_SUBSCRIPTIONS + 1, OUT) == Errno.NOMEM
        assert guest.call("poll_oneoff", 0, 0, 1 << 20, OUT) == Errno.FAULT


def test_a_descriptor_closed_during_the_wait_stays_open_for_it(guest: Guest, root: Path) -> None:
    import threading

    os.mkfifo(root / "pipe")
    reader = guest.open("pipe", 0, Rights.FD_READ, flags=FdFlags.NONBLOCK)
    writer = guest.open("pipe", 0, Rights.FD_WRITE, flags=FdFlags.NONBLOCK)
    other = Guest(guest.wasi)
    host = guest.wasi._table.get(reader).host()
    events = []
    thread = threading.Thread(target=lambda: events.extend(guest.poll(fd_subscription(1, reader))))
    thread.start()
    while not host._users:
        time.sleep(0.001)
    other.close(reader)
    other.write(writer, b"x")
    thread.join(60)
    assert [event.userdata for event in events] == [1]


def test_directories_cannot_be_waited_for(guest: Guest) -> None:
    inner = guest.open("dir", OFlags.DIRECTORY)
    assert guest.poll(fd_subscription(1, inner)) == [(1, Errno.BADF, EventType.FD_READ, 0, 0)]
