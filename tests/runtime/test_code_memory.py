"""Code memory: never writable and executable at once, faulting when stale, reused and never leaked."""

from __future__ import annotations

import ctypes
import gc
import itertools
import random
import signal
import threading

import pytest

from tests.processes import run_alone
from wasmark.errors import Error, OutOfCodeMemoryError
from wasmark.runtime import code_memory
from wasmark.runtime.code_memory import PAGE_SIZE, Arena, CodeMemory, Grant

RETURN_42 = b"\xb8\x2a\0\0\0\xc3"


def protection(address: int) -> str:
    """What the kernel says an address may be used for, as "rwx" or "---"."""
    with open("/proc/self/maps") as file:
        for line in file:
            bounds, flags = line.split()[:2]
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            if start <= address < end:
                return flags[:3]
    return ""


def make(code: bytes = RETURN_42, rodata: bytes = b"") -> CodeMemory:
    memory = CodeMemory.allocate(len(code), len(rodata))
    memory.write(memory.text_start, code)
    memory.write(memory.rodata_start, rodata)
    memory.publish()
    return memory


def test_published_code_runs_and_reads_its_constants() -> None:
    # mov rodata(%rip), %eax; ret
    memory = CodeMemory.allocate(7, 4)
    memory.write(memory.base, b"\x8b\x05" + (memory.rodata_start - memory.base - 6).to_bytes(4, "little") + b"\xc3")
    memory.write(memory.rodata_start, (4711).to_bytes(4, "little"))
    memory.publish()
    assert ctypes.CFUNCTYPE(ctypes.c_int)(memory.text_start)() == 4711


@pytest.mark.alone
def test_no_page_is_writable_and_executable_at_once() -> None:
    memory = CodeMemory.allocate(2 * PAGE_SIZE + 1, 1)
    pages = range(memory.base, memory.base + memory.size, PAGE_SIZE)
    assert [protection(page) for page in pages] == ["rw-"] * 4
    memory.publish()
    assert [protection(page) for page in pages] == ["r-x", "r-x", "r-x", "r--"]
    memory.free()
    assert [protection(page) for page in pages] == ["---"] * 4
    assert all("wx" not in protection(arena.base) for arena in code_memory.arenas())


def test_sizes_and_starts_are_what_was_asked_for_in_whole_pages() -> None:
    for text, rodata, text_pages, pages in [
        (0, 0, 0, 1),
        (1, 0, 1, 1),
        (PAGE_SIZE, 0, 1, 1),
        (PAGE_SIZE + 1, PAGE_SIZE, 2, 3),
        (0, 5, 0, 1),
    ]:
        memory = CodeMemory.allocate(text, rodata)
        assert (memory.text_size, memory.rodata_size) == (text, rodata)
        assert memory.base == memory.text_start
        assert memory.base % PAGE_SIZE == 0
        assert memory.rodata_start == memory.base + text_pages * PAGE_SIZE
        assert memory.size == pages * PAGE_SIZE
        assert memory.arena.base <= memory.base < memory.base + memory.size <= memory.arena.base + memory.arena.size


def test_fresh_memory_is_zero_even_when_used_before() -> None:
    for _ in range(3):
        memory = CodeMemory.allocate(PAGE_SIZE)
        assert ctypes.string_at(memory.base, PAGE_SIZE) == bytes(PAGE_SIZE)
        memory.write(memory.base, b"\xff" * PAGE_SIZE)
        memory.free()


@pytest.mark.parametrize("data", [b"12", bytearray(b"12"), memoryview(b"12")])
def test_all_kinds_of_bytes_can_be_written(data: bytes) -> None:
    memory = CodeMemory.allocate(8)
    memory.write(memory.base + 6, data)
    assert ctypes.string_at(memory.base, 8) == b"\0" * 6 + b"12"


def test_writes_outside_or_too_late_are_refused() -> None:
    memory = CodeMemory.allocate(PAGE_SIZE)
    for address, data in [
        (memory.base - 1, b"x"),
        (memory.base + PAGE_SIZE, b"x"),
        (memory.base + PAGE_SIZE - 1, b"xx"),
        (0, b""),
    ]:
        with pytest.raises(ValueError, match="leaves the code memory"):
            memory.write(address, data)
    memory.publish()
    with pytest.raises(ValueError, match="before it is published"):
        memory.write(memory.base, b"x")
    memory.free()
    with pytest.raises(ValueError, match="before it is published"):
        memory.write(memory.base, b"x")


@pytest.mark.alone
def test_publishing_again_changes_nothing_and_freed_memory_is_not_published() -> None:
    memory = make()
    memory.publish()
    assert protection(memory.base) == "r-x"
    memory.free()
    with pytest.raises(ValueError, match="was freed"):
        memory.publish()
    assert protection(memory.base) == "---"


@pytest.mark.alone
def test_freeing_twice_frees_once() -> None:
    memory = make()
    arena = memory.arena
    before = arena.free_pages
    memory.free()
    memory.free()
    assert memory.freed
    assert arena.free_pages == before + 1
    other = make()
    memory.free()
    assert not other.freed
    assert ctypes.CFUNCTYPE(ctypes.c_int)(other.base)() == 42


@pytest.mark.alone
def test_forgotten_memory_is_freed() -> None:
    memory = make()
    base, arena = memory.base, memory.arena
    before = arena.free_pages
    del memory
    gc.collect()
    assert arena.free_pages == before + 1
    assert protection(base) == "---"


@pytest.mark.alone
def test_freed_pages_are_used_again() -> None:
    CodeMemory.allocate(1).free()  # the first arena
    arenas = len(code_memory.arenas())
    seen: set[int] = set()
    for _ in range(2_000):
        memory = CodeMemory.allocate(64 * PAGE_SIZE)
        seen.add(memory.base)
        memory.free()
    assert len(code_memory.arenas()) == arenas
    assert len(seen) < 10


def test_negative_sizes_are_refused() -> None:
    for sizes in [(-1, 0), (0, -1)]:
        with pytest.raises(ValueError, match="not negative"):
            CodeMemory.allocate(*sizes)


@pytest.mark.parametrize("size", [1 << 31, 1 << 40, 1 << 64, 1 << 100])
def test_what_no_arena_can_hold_is_an_error(size: int) -> None:
    arenas = len(code_memory.arenas())
    with pytest.raises(OutOfCodeMemoryError, match="no room") as caught:
        CodeMemory.allocate(size)
    assert isinstance(caught.value, Error)
    assert isinstance(caught.value, MemoryError)
    assert len(code_memory.arenas()) == arenas
    assert ctypes.CFUNCTYPE(ctypes.c_int)(make().base)() == 42


@pytest.mark.alone
def test_a_refusal_of_the_system_is_an_error_and_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = CodeMemory.allocate(1)
    free = sum(arena.free_pages for arena in code_memory.arenas())
    with monkeypatch.context() as patch:
        patch.setattr(code_memory, "_protect", lambda *arguments: -1)
        with pytest.raises(OutOfCodeMemoryError, match="cannot make"):
            CodeMemory.allocate(1)
        assert sum(arena.free_pages for arena in code_memory.arenas()) == free
        with pytest.raises(OutOfCodeMemoryError, match="cannot publish"):
            memory.publish()
    assert memory.freed


@pytest.mark.parametrize("use", ["ctypes.CFUNCTYPE(None)(base)()", "ctypes.string_at(base, 1)"])
def test_stale_code_faults(use: str) -> None:
    result = run_alone(f"""
        import ctypes
        from tests.runtime.test_code_memory import make
        memory = make()
        base = memory.base
        assert ctypes.CFUNCTYPE(ctypes.c_int)(base)() == 42
        memory.free()
        {use}
    """)
    assert result.returncode == -signal.SIGSEGV, result.stderr


def test_constants_do_not_run_and_code_is_not_written() -> None:
    for use in [
        "ctypes.CFUNCTYPE(ctypes.c_int)(memory.rodata_start)()",
        "ctypes.memset(memory.text_start, 0, 1)",
        "ctypes.memset(memory.rodata_start, 0, 1)",
    ]:
        result = run_alone(f"""
            import ctypes
            from tests.runtime.test_code_memory import RETURN_42, make
            memory = make(RETURN_42, RETURN_42)
            {use}
        """)
        assert result.returncode == -signal.SIGSEGV, (use, result.stderr)


def test_arenas_are_smaller_where_the_system_has_less() -> None:
    result = run_alone("""
        import resource
        from wasmark.runtime import code_memory
        from wasmark.errors import OutOfCodeMemoryError
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (mapped + (620 << 20), mapped + (620 << 20)))
        memory = code_memory.CodeMemory.allocate(1)
        assert memory.arena.size == 1 << 28, memory.arena.size
        kept = []
        try:
            while True:
                kept.append(code_memory.CodeMemory.allocate(20 << 20))
                kept[-1].publish()
        except OutOfCodeMemoryError:
            print(len(kept), [arena.size >> 20 for arena in code_memory.arenas()])
    """)
    assert result.returncode == 0, result.stderr
    count, sizes = result.stdout.split(" ", 1)
    assert int(count) >= 20
    assert sizes.startswith("[256, 256, 64")


# --- the free list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_ranges_never_overlap_and_free_neighbours_are_joined(seed: int) -> None:
    rng = random.Random(seed)
    pages = 200
    arena = Arena(0, 0, pages * PAGE_SIZE)
    taken: list[Grant] = []
    for _ in range(2_000):
        if taken and rng.random() < 0.5:
            grant = taken.pop(rng.randrange(len(taken)))
            arena.give_back(grant)
            assert grant == []
            arena.give_back(grant)
        else:
            count = rng.choice([1, 1, 2, 3, rng.randint(1, 60)])
            fits = [free for _, free in arena.free_ranges if free >= count]
            grant = []
            assert arena.take(count, grant) == bool(fits) == bool(grant)
            if grant:
                assert grant[0][1] == count
                taken.append(grant)
        owners = [0] * pages
        for first, count in [*(grant[0] for grant in taken), *arena.free_ranges]:
            for page in range(first, first + count):
                owners[page] += 1
        assert owners == [1] * pages
        ranges = arena.free_ranges
        assert all(a + n < b for (a, n), (b, _) in itertools.pairwise(ranges))
        assert arena.free_pages == pages - sum(grant[0][1] for grant in taken)
    for grant in taken:
        arena.give_back(grant)
    assert arena.free_ranges == [(0, pages)]


def test_the_best_fit_is_taken_and_of_equals_the_one_that_was_free_longest() -> None:
    arena = Arena(0, 0, 100 * PAGE_SIZE)

    def take(count: int) -> Grant:
        grant: Grant = []
        arena.take(count, grant)
        return grant

    grants = [take(count) for count in (5, 1, 3, 1, 3, 1, 87 - 1)]
    assert [] not in grants
    for number in (0, 4, 2):
        arena.give_back(grants[number])
    assert [take(3), take(3), take(3), take(2)] == [[(10, 3)], [(6, 3)], [(0, 3)], [(3, 2)]]
    assert take(2) == []


@pytest.mark.alone
def test_threads_share_the_arenas() -> None:
    CodeMemory.allocate(1).free()  # the first arena
    free = sum(arena.free_pages for arena in code_memory.arenas())
    live: set[int] = set()
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        mine: list[CodeMemory] = []
        for _ in range(300):
            if mine and rng.random() < 0.5:
                memory = mine.pop(rng.randrange(len(mine)))
                live.difference_update(range(memory.base, memory.base + memory.size, PAGE_SIZE))
                memory.free()
            else:
                memory = CodeMemory.allocate(rng.randint(1, 5 * PAGE_SIZE), rng.randint(0, PAGE_SIZE))
                pages = set(range(memory.base, memory.base + memory.size, PAGE_SIZE))
                if live & pages:
                    failures.append("two owners")
                live.update(pages)
                memory.write(memory.text_start, RETURN_42)
                memory.publish()
                if ctypes.CFUNCTYPE(ctypes.c_int)(memory.text_start)() != 42:
                    failures.append("other code")
                mine.append(memory)
        for memory in mine:
            live.difference_update(range(memory.base, memory.base + memory.size, PAGE_SIZE))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    gc.collect()
    assert failures == []
    assert sum(arena.free_pages for arena in code_memory.arenas()) == free
