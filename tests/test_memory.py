"""`Memory` from Python: the buffer protocol, reading and writing, growing, limits."""

from __future__ import annotations

import array
import gc
import inspect
import io
import struct
import threading
from typing import Any, Final

import pytest

import wasmark
from wasmark import Limits, MemoryType

PAGE: Final = 1 << 16

TEXT = """(module
  (memory (export "memory") 1 5)
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size)))"""


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(TEXT)


@pytest.fixture
def exports(module: wasmark.Module) -> Any:
    return wasmark.Instance(module).exports


@pytest.fixture
def memory(exports: Any) -> wasmark.Memory:
    found: wasmark.Memory = exports.memory
    return found


# --- the buffer protocol --------------------------------------------------------------------------------


def test_a_view_is_writable_bytes_without_a_copy(exports: Any, memory: wasmark.Memory) -> None:
    view = memoryview(memory)
    assert (view.nbytes, view.itemsize, view.format, view.ndim, view.readonly) == (PAGE, 1, "B", 1, False)
    assert view.contiguous
    assert view.obj is memory
    view[5] = 77
    assert exports.load(5) == 77
    exports.store(6, 88)
    assert view[6] == 88
    assert bytes(view[5:7]) == b"MX"
    view[10:14] = b"abcd"
    assert [exports.load(n) for n in range(10, 14)] == list(b"abcd")
    view[0:8:2] = b"1234"
    assert memory[0:8] == b"1\0002\x003M4\0"


def test_views_have_every_shape_and_item_that_memoryview_offers(memory: wasmark.Memory) -> None:
    memory.write(0, struct.pack("<4i", 1, -2, 3, -4))
    view = memoryview(memory)
    assert view.cast("i")[:4].tolist() == [1, -2, 3, -4]
    assert view[:16].cast("I", (2, 2)).tolist() == [[1, 2**32 - 2], [3, 2**32 - 4]]
    view.cast("d")[1] = 2.5
    assert struct.unpack_from("<d", memory, 8) == (2.5,)
    assert memory.view("i")[0] == 1
    assert memory.view("B")[8:16] == struct.pack("<d", 2.5)
    assert memoryview(memory).toreadonly().readonly
    with pytest.raises(ValueError, match="destination format"):
        view.cast("xx")


def test_everything_that_takes_buffers_takes_a_memory(memory: wasmark.Memory) -> None:
    memory.write(0, b"hello")
    assert bytes(memory)[:5] == b"hello"
    assert bytearray(memory)[:5] == b"hello"
    struct.pack_into("<Q", memory, 8, 1 << 40)
    assert struct.unpack_from("<Q", memory, 8) == (1 << 40,)
    assert io.BytesIO(b"world").readinto(memory) == 5
    assert memory.read(0, 5) == b"world"
    assert b"".join([memory])[:5] == b"world"
    assert int.from_bytes(memory[:4], "little") == int.from_bytes(b"worl", "little")


def test_numpy_sees_the_memory_itself(exports: Any, memory: wasmark.Memory) -> None:
    numpy = pytest.importorskip("numpy")
    numbers = numpy.frombuffer(memory, dtype="<i4")
    assert numbers.shape == (PAGE // 4,)
    numbers[:4] = [1, 2, 3, 4]
    assert [exports.load(4 * n) for n in range(4)] == [1, 2, 3, 4]
    exports.store(0, 9)
    assert numbers[0] == 9
    doubles = numpy.frombuffer(memory, dtype="<f8", offset=64, count=2)
    doubles += 1.5
    assert memory.read(64, 16) == struct.pack("<2d", 1.5, 1.5)
    assert not numpy.frombuffer(memoryview(memory).toreadonly(), dtype="u1").flags.writeable


def test_a_view_stays_valid_and_keeps_its_length_when_the_memory_grows(exports: Any, memory: wasmark.Memory) -> None:
    view = memoryview(memory)
    view[PAGE - 1] = 1
    assert exports.grow(2) == 1
    assert memory.grow(1) == 3
    assert len(view) == PAGE
    view[0] = 5
    assert exports.load(0) == 5
    exports.store(PAGE - 1, 6)
    assert view[PAGE - 1] == 6
    with pytest.raises(IndexError):
        view[PAGE]
    larger = memoryview(memory)
    assert len(larger) == 4 * PAGE
    larger[4 * PAGE - 1] = 7
    assert exports.load(4 * PAGE - 1) == 7


def test_views_may_be_made_and_dropped_in_any_order(memory: wasmark.Memory) -> None:
    views = [memoryview(memory) for _ in range(100)]
    parts = [view[n : n + 10] for n, view in enumerate(views)]
    for view in views[::2]:
        view.release()
    del views
    gc.collect()
    parts[50][0] = 3
    assert memory[50] == 3
    for part in parts:
        part.release()
    with pytest.raises(ValueError, match="released"):
        parts[0][0]


def test_the_view_of_a_memory_without_pages(module: wasmark.Module) -> None:
    memory = wasmark.Memory(wasmark.Store(), MemoryType(Limits(0, 2)))
    assert len(memory) == 0
    assert bytes(memory) == b""
    assert memoryview(memory).nbytes == 0
    assert memory.read(0, 0) == b""
    memory.write(0, b"")
    with pytest.raises(IndexError):
        memory[0]
    assert memory.grow(1) == 0
    assert memory[:] == bytes(PAGE)


def test_a_subclass_is_a_buffer_too() -> None:
    class Mine(wasmark.Memory):
        def word(self, offset: int) -> int:
            return int.from_bytes(self.read(offset, 4), "little")

    mine = Mine(wasmark.Store(), MemoryType(Limits(1)))
    assert isinstance(mine, Mine)
    assert type(mine).__name__ == "Mine"
    memoryview(mine)[0:4] = b"\1\2\0\0"
    assert mine.word(0) == 513
    assert type(mine)(mine.store, mine.type).word(0) == 0


# --- reading and writing --------------------------------------------------------------------------------


def test_reads_and_writes_inside(memory: wasmark.Memory) -> None:
    for offset, data in ((0, b"a"), (PAGE - 3, b"abc"), (PAGE, b""), (100, bytes(range(256)) * 10)):
        memory.write(offset, data)
        assert memory.read(offset, len(data)) == data
    assert memory.read(PAGE, 0) == b""
    assert type(memory.read(0, 4)) is bytes
    memory.write(0, memory)  # onto itself
    assert memory.read(100, 256) == bytes(range(256))


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (-1, 1),
        (-1, 0),
        (0, PAGE + 1),
        (PAGE, 1),
        (PAGE - 1, 2),
        (PAGE + 1, 0),
        (1 << 40, 1),
        (0, -1),
        (5, -5),
        (1 << 70, 1),
    ],
)
def test_reads_and_writes_outside_are_index_errors_that_change_nothing(
    memory: wasmark.Memory, offset: int, length: int
) -> None:
    memory.write(0, b"\xaa" * PAGE)
    with pytest.raises(IndexError, match=f"of a memory of {PAGE} bytes"):
        memory.read(offset, length)
    if length >= 0:
        with pytest.raises(IndexError, match=f"of a memory of {PAGE} bytes"):
            memory.write(offset, bytes(length))
    assert bytes(memory) == b"\xaa" * PAGE


def test_reads_follow_the_memory_as_it_grows(exports: Any, memory: wasmark.Memory) -> None:
    with pytest.raises(IndexError):
        memory.read(PAGE, 1)
    exports.grow(1)
    exports.store(PAGE + 5, 9)
    assert memory.read(PAGE, 6) == b"\0\0\0\0\0\x09"
    assert memory.read(PAGE - 1, 7)[-1] == 9
    with pytest.raises(IndexError):
        memory.read(2 * PAGE - 1, 2)


def test_reads_take_what_python_takes_and_refuse_the_rest_by_name(memory: wasmark.Memory) -> None:
    class Index:
        def __index__(self) -> int:
            return 4

    memory.write(4, b"abcd")
    assert memory.read(offset=4, length=2) == memory.read(4, length=2) == memory.read(Index(), 2) == b"ab"  # type: ignore[arg-type]
    assert memory.read(True, False) == b""
    assert wasmark.Memory.read(memory, 4, 4) == b"abcd"
    assert str(inspect.signature(memory.read)) == "(offset, length, /)"
    for wrong in ((), (1,), (1, 2, 3)):
        with pytest.raises(TypeError, match=r"Memory\.read\(\)"):
            memory.read(*wrong)
    for kind in (1.0, "1", None, b"1"):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            memory.read(kind, 1)  # type: ignore[arg-type]
    for offset, length in (
        (-1, 1),
        (0, -1),
        (1 << 64, 1),
        (1, 1 << 64),
        (-(1 << 64), 1 << 64),
        (PAGE, 1),
        (1, 1 << 63),
    ):
        with pytest.raises(IndexError, match=f"bytes {offset} to {offset + length} of a memory of {PAGE} bytes"):
            memory.read(offset, length)
    assert memory.read(PAGE, 0) == b""
    assert memory.read(PAGE - 1, 1) == b"\0"


def test_a_subclass_may_read_in_its_own_way(exports: Any) -> None:
    class Loud(wasmark.Memory):
        def read(self, offset: int, length: int) -> bytes:
            return super().read(offset, length).upper()

    loud = Loud(wasmark.Store(), MemoryType(Limits(1)))
    loud.write(0, b"quiet")
    assert loud.read(0, 5) == b"QUIET"
    assert isinstance(loud, Loud)


def test_a_memory_that_was_never_made_exports_nothing() -> None:
    unmade = wasmark.Memory.__new__(wasmark.Memory, wasmark.Store(), MemoryType(Limits(1)))
    with pytest.raises(BufferError):
        memoryview(unmade)
    with pytest.raises(AttributeError):
        unmade.read(0, 1)


def test_anything_with_bytes_can_be_written(memory: wasmark.Memory) -> None:
    numpy = pytest.importorskip("numpy")
    cases: list[tuple[Any, bytes]] = [
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[1:3], b"bc"),
        (array.array("i", [1, -1]), struct.pack("<2i", 1, -1)),
        (numpy.arange(4, dtype="<u2").reshape(2, 2), struct.pack("<4H", 0, 1, 2, 3)),
        (numpy.empty((0,)), b""),
        (numpy.empty((3, 0)), b""),
        (memoryview(b""), b""),
        (memoryview(b"abcdef")[::2], b"ace"),
        (numpy.array([1, 2], dtype=">u2"), b"\0\1\0\2"),
        (numpy.array([(1, 2)], dtype="u1,<u2"), b"\1\2\0"),
        (numpy.arange(6, dtype="u1").reshape(2, 3).T, bytes([0, 3, 1, 4, 2, 5])),
    ]
    for data, expected in cases:
        memory.write(64, bytes(16))
        memory.write(64, data)
        assert memory.read(64, 16) == expected + bytes(16 - len(expected))
    for wrong in ("text", 5, None, [1, 2]):
        with pytest.raises(TypeError):
            memory.write(0, wrong)


def test_single_bytes_and_slices_as_in_a_bytearray(memory: wasmark.Memory) -> None:
    model = bytearray(PAGE)
    for index in (0, 1, 255, PAGE - 1, -1, -PAGE):
        memory[index] = model[index] = abs(index) % 251 + 1
        assert memory[index] == model[index]
    for part in (slice(0, 4), slice(-4, None), slice(2, 1), slice(0, 10, 3), slice(10, 0, -2), slice(None, 3)):
        assert memory[part] == bytes(model[part])
        fill = bytes(range(len(model[part])))
        memory[part] = fill
        model[part] = fill
        assert memory[part] == fill
    assert bytes(memory) == bytes(model)
    for index in (PAGE, -PAGE - 1, 1 << 70):
        with pytest.raises(IndexError):
            memory[index]
        with pytest.raises(IndexError):
            memory[index] = 1
    for wrong in (256, -1):
        with pytest.raises(ValueError, match="memoryview"):
            memory[0] = wrong
    with pytest.raises(ValueError, match="different structures"):
        memory[0:4] = b"12345"
    with pytest.raises(TypeError):
        memory["0"]  # type: ignore[index]


# --- growing and limits ---------------------------------------------------------------------------------


def test_growing_from_python_and_from_wasm_is_the_same(exports: Any, memory: wasmark.Memory) -> None:
    assert (memory.size, len(memory), exports.size()) == (1, PAGE, 1)
    assert memory.grow(0) == 1
    assert memory.grow(1) == 1
    assert exports.grow(1) == 2
    assert (memory.size, len(memory), exports.size()) == (3, 3 * PAGE, 3)
    assert memory[2 * PAGE :] == bytes(PAGE)
    base = memory.base
    for too_many in (3, 1 << 16, 1 << 40):
        with pytest.raises(ValueError, match="cannot grow a memory of 3 pages by"):
            memory.grow(too_many)
    for too_many in (3, 65536, -1):
        assert exports.grow(too_many) == -1
    with pytest.raises(ValueError, match="cannot grow"):
        memory.grow(-1)
    assert exports.grow(2) == 3
    assert exports.grow(1) == -1
    assert exports.grow(0) == 5
    assert memory.base == base


def test_the_configured_bound_holds_for_every_way_to_a_memory() -> None:
    engine = wasmark.Engine(wasmark.Config(max_memory_bytes=3 * PAGE))
    store = wasmark.Store(engine)
    exports = wasmark.Instance(wasmark.Module(TEXT, engine), store=store).exports
    assert exports.grow(2) == 1
    assert exports.grow(1) == -1
    with pytest.raises(ValueError, match="at most 3"):
        exports.memory.grow(1)
    with pytest.raises(wasmark.Error, match="a memory of 4 pages is more than the 3 that are allowed"):
        wasmark.Instance(wasmark.Module("(module (memory 4))", engine), store=store)
    for limits in (Limits(4), Limits(4, 10), Limits(1 << 40, None, True)):
        with pytest.raises(wasmark.Error, match="more than the 3 that are allowed"):
            wasmark.Memory(store, MemoryType(limits))
    assert len(wasmark.Memory(store, MemoryType(Limits(3)))) == 3 * PAGE


def test_limits_that_make_no_sense() -> None:
    store = wasmark.Store()
    with pytest.raises(ValueError, match="at least 2 and at most 1"):
        wasmark.Memory(store, MemoryType(Limits(2, 1)))
    with pytest.raises(wasmark.Error, match="more than the 65536 that are allowed"):
        wasmark.Memory(store, MemoryType(Limits(65537)))
    assert len(store.memories) == 0


def test_threads_that_grow_a_memory_at_once_each_get_their_own_pages() -> None:
    memory = wasmark.Memory(wasmark.Store(), MemoryType(Limits(0, 2000)))
    got: list[int] = []

    def work() -> None:
        got.extend(memory.grow(1) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == list(range(800))
    assert memory.size == 800


def test_a_memory_tells_what_it_is(memory: wasmark.Memory) -> None:
    assert repr(memory) == "<wasmark.Memory: 1 page of 65,536 bytes, at most 5>"
    assert memory.type == MemoryType(Limits(1, 5))
    assert memory.present_type == MemoryType(Limits(1, 5))
    memory.grow(2)
    assert memory.present_type == MemoryType(Limits(3, 5))
    assert memory
    assert memory is not None
    assert len({memory, memory}) == 1
