"""What a person sees at a prompt and in a notebook: of everything public, short, harmless, and at no cost."""

from __future__ import annotations

import html.parser
import inspect
import pydoc
import threading
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests.counting import executed_lines
from wasmark.core.types import I32, FuncType
from wasmark.wasi import Preopen, Wasi

MODULE = r"""
(module $desk
  (type $pair (struct (field i32) (field (mut f64)) (field (ref null any)) (field i8)))
  (type $row (array (mut i32)))
  (import "host" "say" (func $say (param i32)))
  (memory (export "memory") 1 3)
  (table (export "table") 2 10 funcref)
  (global (export "count") (mut i64) (i64.const 7))
  (global (export "top") (ref null any) (ref.null any))
  (tag $wrong (export "wrong") (param i32))
  (func $add (export "add") (param $a i32) (param $b i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "odd") (param $a i32) (param (@name "a") i32))
  (func (export "words") (param (@name "class") i32) (param (@name "a b") i32))
  (func (export "pair") (result (ref $pair))
    (struct.new $pair (i32.const 3) (f64.const 2.5) (ref.null any) (i32.const 255)))
  (func (export "row") (result (ref $row)) (array.new $row (i32.const 4) (i32.const 1000)))
  (func (export "throw") (throw $wrong (i32.const 3)))
  (func (export "trap") unreachable)
  (data (i32.const 2) "Wasmark\00<b>"))
"""


@pytest.fixture(scope="module")
def instance() -> wasmark.Instance:
    return wasmark.Instance(wasmark.Module(MODULE), {"host": {"say": print}})


def raised(function: Any) -> Any:
    with pytest.raises(wasmark.Error) as caught:
        function()
    return caught.value


def _in_no_time(function: Any) -> None:
    with wasmark.deadline(0):
        function(1, 2)


def test_everything_public_says_what_it_is(instance: wasmark.Instance, tmp_path: Path) -> None:
    exports, store = instance.exports, instance.store
    linker = wasmark.Linker()
    assert repr(linker) == "<wasmark.Linker: nothing>"
    linker.define("host", "say", print)
    linker.define_wasi()
    expected = {
        instance.module: "<wasmark.Module desk: 7 functions, 1 import, 12 exports>",
        instance: "<wasmark.Instance of desk: 12 exports>",
        exports: "<wasmark.Exports: memory, table, count, top, wrong, add, odd, words, ... 4 more>",
        store: "<wasmark.Store: 1 instance>",
        exports.memory: "<wasmark.Memory: 1 page of 65,536 bytes, at most 3>",
        exports.table: "<wasmark.Table: 2 x funcref, at most 10>",
        exports["count"]: "<wasmark.Global mut i64 = 7>",
        exports.top: "<wasmark.Global anyref>",
        exports.wrong: "<wasmark.Tag wrong [i32]>",
        exports.add: "<wasmark.Func add [i32 i32] -> [i32]>",
        linker: "<wasmark.Linker: WASI preview 1, host.say>",
        wasmark.Config(): "Config()",
        wasmark.Config(strategy="eager", tier_up=None): "Config(strategy='eager', tier_up=None)",
        wasmark.Engine(wasmark.Config(cache=False)): "<wasmark.Engine Config(cache=False)>",
        wasmark.Exit(3): "Exit(3)",
        raised(exports.throw): "<wasmark.WasmException wrong(3)>",
        wasmark.Trap(wasmark.TrapCode.UNREACHABLE): "<wasmark.Trap UNREACHABLE>",
    }
    assert {thing: repr(thing) for thing in expected} == expected
    trap = raised(exports.trap)
    late = raised(lambda: _in_no_time(exports.add))
    assert repr(late) == "<wasmark.Timeout INTERRUPT>"
    assert repr(wasmark.profile(100)) == "<wasmark.Profile: not begun, 100 samples a second>"
    world = Wasi(["a", "b"], {"TOKEN": "secret"}, preopens=[Preopen(tmp_path, "/in", readonly=True)])
    with world:
        assert repr(world) == "<wasmark.wasi.Wasi: arguments: 2, variables: 1, directories: '/in' (read-only)>"
    assert repr(trap) == f"<wasmark.Trap UNREACHABLE in {trap.frames[0]}>"
    pair, row = exports.pair(), exports.row()
    assert repr(pair) == f"<wasmark.Struct of type {pair.type_id}: (3, 2.5, anyref, -1)>"
    assert repr(row) == f"<wasmark.Array of type {row.type_id}: ({'4, ' * 8}... 992 more)>"
    assert eval(repr(wasmark.Config(max_heap_bytes=5)), vars(wasmark)) == wasmark.Config(max_heap_bytes=5)


def test_nothing_public_is_shown_as_an_address_alone(instance: wasmark.Instance) -> None:
    code = instance.module.code_object()
    assert code is not None
    things = [code, *code.modules, instance.store.registry, instance.store.registry.dump(), instance.module.engine]
    things += [FuncType((I32,), ()), wasmark.Limits(1), wasmark.MemoryType(wasmark.Limits(1)), wasmark.TrapCode(1)]
    for thing in things:
        assert " object at 0x" not in repr(thing)
    assert f"[{code.text_start:#x}, {code.text_end:#x})" in repr(code)
    assert "thunk" in repr(code)


def test_a_function_has_the_signature_that_the_module_gives_it(instance: wasmark.Instance) -> None:
    exports = instance.exports
    assert str(inspect.signature(exports.add)) == "(a: 'i32', b: 'i32', /) -> 'i32'"
    assert "add(a: 'i32', b: 'i32', /) -> 'i32'" in pydoc.plain(pydoc.render_doc(exports.add))
    # Names that Python cannot have, or not twice.
    assert str(inspect.signature(exports.odd)) == "(p0: 'i32', p1: 'i32', /) -> None"
    assert str(inspect.signature(exports.words)) == "(p0: 'i32', p1: 'i32', /) -> None"
    host = wasmark.Func.from_callable(instance.store, FuncType((I32,), ()), print)
    assert str(inspect.signature(host)) == "(p0: 'i32', /) -> None"


def test_names_of_exports_are_completed(instance: wasmark.Instance) -> None:
    assert instance.exports._ipython_key_completions_() == list(instance.exports)
    assert sorted(instance.exports) == dir(instance.exports)


def test_no_name_does_anything_to_the_terminal() -> None:
    name = r"\1b[31m\0a<b>"
    text = f'(module (@name "{name}") (func (@name "{name}") (export "{name}") unreachable) (tag (export "{name}t")))'
    instance = wasmark.Instance(wasmark.Module(text))
    (function, tag) = (instance.exports[name] for name in instance.exports)
    shown = [instance.module, instance, instance.exports, function, tag, raised(function)]
    for thing in map(repr, shown):
        assert r"\x1b[31m\n<b>" in thing
        assert thing.isprintable()


def test_in_a_notebook_there_are_tables(instance: wasmark.Instance) -> None:
    texts: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag in ("table", "caption", "thead", "tbody", "tr", "th", "td", "p", "pre")

        def handle_data(self, data: str) -> None:
            texts.append(data)

    def text(thing: Any) -> str:
        texts.clear()
        Parser().feed(thing._repr_html_())
        return "|".join(texts)

    assert text(instance.module).startswith(
        f"{instance.module!r}|name|kind|type|import|host.say|func|[i32] -> []|export|memory|memory|"
    )
    assert text(raised(instance.exports.trap)).startswith("wasm trap: unreachable executed|module|function|in it|")
    assert "|desk|trap|+0x1|" in text(raised(instance.exports.trap))
    assert "wasm exception: wrong(3)|" in text(raised(instance.exports.throw))
    assert text(instance.exports.memory).startswith(
        f"{instance.exports.memory!r}|00000000  00 00 57 61 73 6d 61 72 6b 00 3c 62 3e 00 00 00  ..Wasmark.<b>..."
    )


def test_a_large_module_is_shown_at_once_and_nothing_of_it_is_compiled() -> None:
    functions = "".join(f'(func (export "f{n}") (param i32))' for n in range(3_000))
    module = wasmark.Module(f"(module {functions})")
    instance = wasmark.Instance(module)
    things = (module, instance, instance.exports, instance.store, instance.store.registry, instance.exports.f7)
    for thing in things:
        repr(thing)
        assert executed_lines(lambda thing=thing: repr(thing), at_most=100)  # type: ignore[misc]
        assert len(repr(thing)) < 200
    assert "... and 2,950 more" in module._repr_html_()
    assert not list(module.finished_functions())


def test_showing_waits_for_no_thread_that_runs_in_the_store() -> None:
    entered, done = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert done.wait(60)

    say = '(import "host" "say" (func $say (param i32)))'
    text = MODULE.replace(say, f'{say} (import "host" "wait" (func $wait))')
    text = text.replace("(data ", '(func (export "wait") (call $wait)) (data ')
    instance = wasmark.Instance(wasmark.Module(text), {"host": {"say": print, "wait": wait}})
    exports = instance.exports
    things = [
        instance,
        exports,
        instance.store,
        exports.memory,
        exports.table,
        exports.top,
        exports.pair(),
        exports.add,
    ]
    thread = threading.Thread(target=exports.wait)
    thread.start()
    try:
        assert entered.wait(60)
        shown: list[str] = []
        looking = threading.Thread(target=lambda: shown.extend(map(repr, things)), daemon=True)
        looking.start()
        looking.join(60)
        assert len(shown) == len(things)
    finally:
        done.set()
        thread.join()
