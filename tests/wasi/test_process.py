"""Arguments, environment, clocks, random bytes, and the end of a program."""

from __future__ import annotations

import struct
import time

import pytest

from tests.wasi.guest import DATA, OUT, Failed, Guest, quiet
from wasmark.errors import Exit
from wasmark.wasi import MODULES, NOT_IMPLEMENTED, Clocks, Errno, Wasi
from wasmark.wasi.functions import ROWS


def strings(guest: Guest, name: str) -> list[bytes]:
    """What `args` or `environ` give to a program."""
    guest.do(f"{name}_sizes_get", OUT, OUT + 4)
    count, size = guest.u32(OUT), guest.u32(OUT + 4)
    guest.put(DATA + size, b"\xee")
    guest.do(f"{name}_get", OUT, DATA)
    pointers = struct.unpack(f"<{count}I", guest.get(OUT, 4 * count))
    block = guest.get(DATA, size + 1)
    assert block.endswith(b"\xee")
    assert all(DATA <= pointer < DATA + size for pointer in pointers)
    found = [block[pointer - DATA :].split(b"\0")[0] for pointer in pointers]
    assert b"".join(item + b"\0" for item in found) == block[:-1]
    return found


@pytest.mark.parametrize("args", [[], ["prog"], ["prog", "", "größe", "a b", b"\xff"], ["x" * 1000] * 20])
def test_a_program_sees_its_arguments(args: list[str | bytes]) -> None:
    with quiet(args=args) as wasi:
        assert strings(Guest(wasi), "args") == [a.encode() if isinstance(a, str) else a for a in args]


@pytest.mark.parametrize("env", [None, {}, {"A": "1", "LEER": "", "größe": "ä=b"}])
def test_a_program_sees_the_environment_that_it_was_given(env: dict[str, str] | None) -> None:
    with quiet(env=env) as wasi:
        assert strings(Guest(wasi), "environ") == [f"{k}={v}".encode() for k, v in (env or {}).items()]


def test_bytes_that_python_got_from_the_system_are_passed_on_as_they_were() -> None:
    text = b"\xfft\xc3".decode("utf-8", "surrogateescape")
    with quiet(args=[text], env={"X": text}) as wasi:
        guest = Guest(wasi)
        assert strings(guest, "args") == [b"\xfft\xc3"]
        assert strings(guest, "environ") == [b"X=\xfft\xc3"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"args": ["a\0b"]}, ValueError),
        ({"env": {"A": "a\0b"}}, ValueError),
        ({"env": {"A=B": "x"}}, ValueError),
        ({"env": {"": "x"}}, ValueError),
        ({"args": "prog"}, TypeError),
        ({"args": b"prog"}, TypeError),
    ],
)
def test_what_cannot_be_passed_is_refused(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        quiet(**options)


def test_strings_that_do_not_fit_are_not_half_written() -> None:
    with quiet(args=["first", "second"]) as wasi:
        guest = Guest(wasi)
        end = len(guest.memory)
        before = bytes(guest.memory)
        assert guest.call("args_get", OUT, end - 12) == Errno.FAULT
        assert guest.call("args_get", end - 4, DATA) == Errno.FAULT
        assert guest.call("args_sizes_get", OUT, end - 3) == Errno.FAULT
        assert bytes(guest.memory) == before
        guest.do("args_get", end - 8, end - 21)


def now(guest: Guest, clock: int) -> int:
    guest.do("clock_time_get", clock, 0, OUT)
    return guest.u64()


def test_the_clocks_are_those_of_the_host() -> None:
    with quiet() as wasi:
        guest = Guest(wasi)
        for clock, host in enumerate((time.time_ns, time.monotonic_ns, time.process_time_ns, time.thread_time_ns)):
            before = host()
            value = now(guest, clock)
            assert before <= value <= host()
            guest.do("clock_res_get", clock, OUT)
            assert 1 <= guest.u64() <= 10**8


def test_clocks_can_be_replaced() -> None:
    clocks = Clocks(
        realtime=lambda: 1,
        monotonic=lambda: 2,
        process_cpu=lambda: -3,
        thread_cpu=lambda: 1 << 70,
        resolution=(5, 6, 7, 8),
    )
    with quiet(clocks=clocks) as wasi:
        guest = Guest(wasi)
        assert [now(guest, clock) for clock in range(4)] == [1, 2, 0, (1 << 64) - 1]
        for clock in range(4):
            guest.do("clock_res_get", clock, OUT)
            assert guest.u64() == 5 + clock


@pytest.mark.parametrize("clock", [4, 255, -1])
def test_there_is_no_fifth_clock(guest: Guest, clock: int) -> None:
    assert guest.call("clock_time_get", clock, 0, OUT) == Errno.INVAL
    assert guest.call("clock_res_get", clock, OUT) == Errno.INVAL


def test_random_bytes_fill_exactly_the_buffer() -> None:
    with quiet() as wasi:
        guest = Guest(wasi, size=1 << 20)
        guest.do("random_get", DATA, 300_000)
        data = guest.get(DATA, 300_000)
        assert len(set(data)) == 256
        assert len({data[i : i + 16] for i in range(0, 300_000, 4096)}) > 70
        assert not any(guest.get(DATA + 300_000, 100))
        guest.do("random_get", DATA, 0)


def test_random_bytes_can_be_replaced() -> None:
    with quiet(random=lambda size: b"\x04" * size) as wasi:
        guest = Guest(wasi)
        guest.do("random_get", DATA, 5)
        assert guest.get(DATA, 6) == b"\4\4\4\4\4\0"


@pytest.mark.parametrize(("argument", "code"), [(0, 0), (1, 1), (255, 255), (-1, 0xFFFF_FFFF)])
def test_proc_exit_raises_the_status(guest: Guest, argument: int, code: int) -> None:
    with pytest.raises(Exit) as caught:
        guest.functions["proc_exit"].call(argument)
    assert caught.value.code == code
    guest.memory.append(0)


def test_yielding_succeeds(guest: Guest) -> None:
    guest.do("sched_yield")


def test_the_functions_of_the_interface_and_their_types(guest: Guest) -> None:
    assert len(guest.functions) == len(ROWS) == 46
    for name, function in guest.functions.items():
        assert function.name == name
        assert set(function.params) <= {"i32", "i64"}
        assert function.results == (() if name == "proc_exit" else ("i32",))
    assert guest.functions["path_open"].params == ("i32",) * 5 + ("i64",) * 2 + ("i32",) * 2
    with pytest.raises(ValueError, match="argument"):
        guest.functions["fd_close"].call()


def test_only_what_is_listed_is_not_implemented(guest: Guest) -> None:
    for function in guest.functions.values():
        if function.name in ("proc_exit", "poll_oneoff"):
            continue
        code = function.call(*[0] * len(function.params))
        assert (code == Errno.NOSYS) == (function.name in NOT_IMPLEMENTED), function.name


def test_unknown_modules_are_refused(guest: Guest) -> None:
    assert MODULES == ("wasi_snapshot_preview1", "wasi_unstable")
    with pytest.raises(ValueError, match="wasi_snapshot_preview2"):
        guest.wasi.host_functions(lambda: memoryview(b""), "wasi_snapshot_preview2")


def test_a_world_of_nothing() -> None:
    with Wasi(stdin=b"") as wasi:
        guest = Guest(wasi)
        assert strings(guest, "args") == strings(guest, "environ") == []
        assert guest.call("fd_prestat_get", 3, OUT) == Errno.BADF
        with pytest.raises(Failed, match="BADF"):
            guest.open("/etc/passwd")
