"""Every trap of the canonical ABI, at the place where the specification wants it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

import wasmark
from tests.component.abi.support import P, World
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi import handles, strings
from wasmark.component.abi.functions import Options, guest_calls_host, host_calls_guest
from wasmark.component.abi.guest import Guest
from wasmark.component.abi.handles import Handle, HandleTable, Resource
from wasmark.component.abi.layout import MAX_BYTES
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

C = ComponentTrapCode


def returns(type_: T.ValType, *core: Any, encoding: str = "utf8", data: bytes = b"", at: int = 0) -> Any:
    """What Python gets of a guest that returns these core values, or, if there are several, their place in memory."""
    world = World(encoding)
    memory = memoryview(world.memory)
    memory[at : at + len(data)] = data

    def call() -> Any:
        if len(core) == 1:
            return core[0]
        memory[8 : 8 + 4 * len(core)] = b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in core)
        return 8

    return world.function(T.FuncType((), type_), call)()


def takes(type_: T.ValType, value: Any, *, place: int, encoding: str = "utf8") -> None:
    """Give a value to a guest whose `realloc` answers `place`."""
    world = World(encoding)
    guest = Guest(world.state, world.memory, lambda *_: place, encoding)
    maker = host_calls_guest(T.FuncType((("p", type_),)), Options(encoding=encoding), world.namer, "f")
    maker.make(guest, lambda *_: None, None, world.state.chain)(value)


STRING, NUMBERS, BYTES = P["string"], T.List(P["u32"]), T.List(P["u8"])
VARIANT = T.Variant((("a", None), ("b", P["u64"])))
END = 65536

CASES: list[tuple[C, str, Callable[[], Any]]] = [
    (C.STRING_OUT_OF_BOUNDS, "string pointer/length out of bounds", lambda: returns(STRING, END - 1, 2)),
    (C.STRING_OUT_OF_BOUNDS, "string content out-of-bounds", lambda: returns(STRING, END + 1, 0)),
    (C.STRING_OUT_OF_BOUNDS, "", lambda: returns(STRING, END, 1, encoding="utf16")),
    (C.STRING_OUT_OF_BOUNDS, "", lambda: returns(STRING, 0, 0x7FFFFFFF, encoding="latin1+utf16")),
    (C.STRING_OUT_OF_BOUNDS, "realloc return: beyond end of memory", lambda: takes(STRING, "x", place=END)),
    (C.LIST_OUT_OF_BOUNDS, "list content out-of-bounds", lambda: returns(NUMBERS, END - 4, 2)),
    (C.LIST_OUT_OF_BOUNDS, "", lambda: returns(BYTES, END + 1, 0)),
    (C.LIST_OUT_OF_BOUNDS, "realloc return: beyond end of memory", lambda: takes(BYTES, b"", place=-1)),
    (C.POINTER_OUT_OF_BOUNDS, "", lambda: returns(T.Tuple((P["u32"], P["u32"])), END - 4)),
    (C.UNALIGNED_POINTER, "unaligned pointer", lambda: returns(T.Tuple((P["u32"], P["u32"])), 2)),
    (C.UNALIGNED_POINTER, "", lambda: returns(NUMBERS, 2, 0)),
    (C.UNALIGNED_POINTER, "", lambda: returns(STRING, 1, 0, encoding="utf16")),
    (C.UNALIGNED_POINTER, "", lambda: returns(STRING, 1, 1 << 31, encoding="latin1+utf16")),
    (C.UNALIGNED_POINTER, "", lambda: returns(STRING, 1, 0, encoding="latin1+utf16")),
    (C.UNALIGNED_POINTER, "realloc return: result not aligned", lambda: takes(NUMBERS, [1], place=2)),
    (C.UNALIGNED_POINTER, "", lambda: takes(STRING, "", place=3, encoding="utf16")),
    (C.TOO_LONG, "268,435,455", lambda: returns(NUMBERS, 0, MAX_BYTES)),
    (C.TOO_LONG, "", lambda: returns(BYTES, 0, MAX_BYTES + 1)),
    (C.INVALID_STRING, "invalid utf-8", lambda: returns(STRING, 64, 1, data=b"\xff", at=64)),
    (C.INVALID_STRING, "invalid utf-8", lambda: returns(STRING, 64, 3, data=b"\xed\xa0\x80", at=64)),
    (C.INVALID_STRING, "incomplete utf-8 byte sequence", lambda: returns(STRING, 64, 1, data=b"\xc3", at=64)),
    (
        C.INVALID_STRING,
        "invalid utf-16",
        lambda: returns(STRING, 64, 1, data=b"\x00\xd8", at=64, encoding="utf16"),
    ),
    (C.INVALID_CHAR, "invalid `char` bit pattern", lambda: returns(P["char"], 0xD800)),
    (C.INVALID_CHAR, "", lambda: returns(P["char"], 0x110000)),
    (C.INVALID_CHAR, "", lambda: returns(P["char"], -1)),
    (C.INVALID_CHAR, "", lambda: returns(T.List(P["char"]), 64, 1, data=struct.pack("<I", 0xDFFF), at=64)),
    (C.INVALID_DISCRIMINANT, "invalid variant discriminant", lambda: returns(VARIANT, 2, 0)),
    (C.INVALID_DISCRIMINANT, "", lambda: returns(T.Enum(("a", "b")), 2)),
    (C.INVALID_DISCRIMINANT, "", lambda: returns(T.Enum(("a", "b")), 256)),
    (C.INVALID_DISCRIMINANT, "", lambda: returns(T.List(T.Option(P["u8"])), 64, 1, data=b"\x02", at=64)),
]


@pytest.mark.parametrize(("code", "message", "run"), CASES)
def test_traps(code: C, message: str, run: Callable[[], Any]) -> None:
    with pytest.raises(ComponentTrap) as caught:
        run()
    assert caught.value.code is code
    assert message in str(caught.value)
    assert str(caught.value).startswith("wasm trap: ")


def test_what_may_just_be_there_is_there() -> None:
    """The neighbours of the cases above do not trap."""
    assert returns(STRING, END, 0) == ""
    assert returns(STRING, END - 2, 2, data=b"ok", at=END - 2) == "ok"
    assert returns(BYTES, END, 0) == b""
    assert returns(NUMBERS, END - 4, 1, data=struct.pack("<I", 7), at=END - 4) == [7]
    assert returns(P["char"], 0x10FFFF) == "\U0010ffff"
    assert returns(P["char"], 0xE000) == "\ue000"
    takes(BYTES, b"", place=END)


def test_a_trap_keeps_the_instance_from_being_entered_again() -> None:
    world = World()
    fine = world.function(T.FuncType((), P["u32"]), lambda: 3)
    assert fine() == 3
    with pytest.raises(ComponentTrap):
        world.function(T.FuncType((), P["char"]), lambda: -1)()
    with pytest.raises(ComponentTrap, match="cannot enter component instance") as caught:
        fine()
    assert caught.value.code is C.CANNOT_ENTER


def test_an_instance_cannot_be_entered_while_it_runs() -> None:
    world = World()
    inner = world.function(T.FuncType(()), lambda: None)
    core = guest_calls_host(T.FuncType(()), world.options, world.namer, "f").make(world.guest(), inner)
    with pytest.raises(ComponentTrap, match="cannot enter component instance"):
        world.function(T.FuncType(()), core)()


@pytest.mark.parametrize("when", ["realloc", "post-return"])
def test_an_instance_cannot_be_left_while_it_makes_room_or_cleans_up(when: str) -> None:
    world = World()
    core = guest_calls_host(T.FuncType(()), world.options, world.namer, "f").make(world.guest(), lambda: None)

    def leave(*_: Any) -> int:
        core()
        return 64

    core()
    func = T.FuncType((("p", STRING),), P["u32"])
    maker = host_calls_guest(func, Options(post_return=True), world.namer, "f")
    guest = Guest(world.state, world.memory, leave if when == "realloc" else world.realloc)
    call = maker.make(guest, lambda *_: 1, leave if when != "realloc" else None, world.state.chain)
    with pytest.raises(ComponentTrap) as caught:
        call("x")
    assert caught.value.code is C.CANNOT_LEAVE


def test_a_core_exception_that_gets_out_is_a_trap() -> None:
    store = wasmark.Store()
    module = wasmark.Module('(module $m (tag $t) (func $f (export "f") (throw $t)))', store.engine)
    world = World(store=store)
    call = world.function(T.FuncType(()), wasmark.Instance(module, {}, store).exports.f)
    with pytest.raises(ComponentTrap, match="uncaught exception") as caught:
        call()
    assert caught.value.code is C.UNCAUGHT_EXCEPTION
    assert [frame.func_name for frame in caught.value.frames] == ["f"]
    assert isinstance(caught.value.__cause__, wasmark.WasmException)


@pytest.mark.parametrize(
    ("theirs", "ours", "text"),
    [
        ("utf8", "utf16", "abcdefghi"),
        ("utf16", "utf8", "\xe9" * 6),
        ("latin1+utf16", "utf16", "abcdefghi"),
        ("latin1+utf16", "utf8", "\xe9" * 9),
        ("utf8", "latin1+utf16", "\u20ac" * 4),
        ("utf16", "latin1+utf16", "\u20acabcdefgh"),
    ],
)
def test_a_string_of_another_guest_for_which_there_can_be_no_room(
    monkeypatch: pytest.MonkeyPatch, theirs: str, ours: str, text: str
) -> None:
    """What is asked for in the worst case counts, as the specification wants it."""
    source, target = World(theirs), World(ours)
    at, units = source.model().put_text(text)
    transit = strings.load_transit(source.guest(), at, units)
    assert strings.store_transit(target.guest(), transit)[1]
    monkeypatch.setattr(strings, "MAX_BYTES", 16)
    with pytest.raises(ComponentTrap) as caught:
        strings.store_transit(target.guest(), transit)
    assert caught.value.code is C.TOO_LONG


# --- handles ------------------------------------------------------------------------------------------


def test_indices_begin_with_one_and_the_last_free_one_is_used_first() -> None:
    table, resource = HandleTable(), Resource("r", None)
    assert [table.add(Handle(resource, rep)) for rep in (10, 20, 30)] == [1, 2, 3]
    assert table.take(2, resource) == 20
    assert table.take(1, resource) == 10
    assert len(table) == 1
    assert [table.add(Handle(resource, 0)) for _ in range(3)] == [1, 2, 4]


@pytest.mark.parametrize("index", [0, 2, 5, 0xFFFFFFFF])
def test_an_unknown_handle(index: int) -> None:
    table, resource = HandleTable(), Resource("r", None)
    table.add(Handle(resource, 1))
    with pytest.raises(ComponentTrap, match=f"unknown handle index {index}") as caught:
        table.take(index, resource)
    assert caught.value.code is C.UNKNOWN_HANDLE


def test_a_handle_of_another_type() -> None:
    table = HandleTable()
    table.add(Handle(Resource("r", None), 1))
    with pytest.raises(ComponentTrap, match="handle index 1 used with the wrong type, expected host-defined") as caught:
        table.get(1, Resource("s", None))
    assert caught.value.code is C.WRONG_HANDLE_TYPE


def test_a_lent_handle_and_a_borrow_cannot_be_given_away() -> None:
    table, resource, scope = HandleTable(), Resource("r", None), handles.Scope()
    lent = Handle(resource, 1)
    table.add(lent)
    scope.lend(lent)
    with pytest.raises(ComponentTrap) as caught:
        table.take(1, resource)
    assert caught.value.code is C.HANDLE_LENT
    scope.end()
    assert table.take(1, resource) == 1
    index = table.add(Handle(resource, 2, scope))
    with pytest.raises(ComponentTrap) as caught:
        table.take(index, resource)
    assert caught.value.code is C.NOT_OWNED


def test_a_table_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "MAX_HANDLES", 3)
    table, resource = HandleTable(), Resource("r", None)
    for _ in range(3):
        table.add(Handle(resource, 0))
    with pytest.raises(ComponentTrap) as caught:
        table.add(Handle(resource, 0))
    assert caught.value.code is C.HANDLE_TABLE_FULL
    assert handles.MAX_HANDLES == 3


def test_the_largest_index_is_that_of_the_specification() -> None:
    assert handles.MAX_HANDLES == 2**28 - 1
