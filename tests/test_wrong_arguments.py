"""The Python API with wrong arguments: the error says what was wanted, and of which argument; nothing crashes."""

from __future__ import annotations

import copy
import pickle
import pydoc
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wasmark
from wasmark import EXTERNREF, F64, FUNCREF, I32, I64, V128, FuncType, GlobalType, Limits, MemoryType, TableType

TEXT = """
(module $shop
  (import "host" "say" (func $say (param i32)))
  (import "host" "limit" (global i64))
  (memory (export "memory") 1 2)
  (table (export "table") 2 3 funcref)
  (global (export "count") (mut i32) (i32.const 1))
  (tag (export "sold") (param i32))
  (func (export "one") (param i32) (call $say (local.get 0)))
  (func (export "many") (param i32 f64 externref v128) (result i32 f64) (i32.const 1) (f64.const 2))
  (func (export "pair") (param funcref i32)))
"""


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(TEXT)


@pytest.fixture(scope="module")
def instance(module: wasmark.Module) -> wasmark.Instance:
    store = wasmark.Store()
    limit = wasmark.Global(store, GlobalType(I64, False), 3)
    return wasmark.Instance(module, {"host": {"say": lambda number: None, "limit": limit}}, store)


CALLS: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("one", ("x",), TypeError, "one(): expected an int for i32, got str"),
    ("one", (1 << 32,), OverflowError, "one(): 4294967296 does not fit i32"),
    ("one", (), TypeError, "one() takes 1 argument (0 given)"),
    ("many", (1, "x", None, bytes(16)), TypeError, "many(): argument 2: expected a float for f64, got str"),
    ("many", (1, 2.0, None, b"x"), TypeError, "many(): argument 4: expected 16 bytes for v128, got 1"),
    ("many", (-(1 << 32), 2.0, None, bytes(16)), OverflowError, "many(): argument 1: -4294967296 does not fit i32"),
    ("pair", (print, 1), TypeError, "pair(): argument 1: expected a wasmark.Func or None for funcref, got builtin_"),
    ("pair", (None, None), TypeError, "pair(): argument 2: expected an int for i32, got NoneType"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "message"), CALLS)
def test_a_call_says_which_argument_does_not_fit(
    instance: wasmark.Instance, name: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        instance.exports[name](*arguments)


def test_what_an_argument_raises_itself_stays_as_it_is(instance: wasmark.Instance) -> None:
    class Refuses:
        def __float__(self) -> float:
            raise mine

    mine = TypeError("no", 7)
    with pytest.raises(TypeError) as caught:
        instance.exports.many(1, Refuses(), None, bytes(16))
    assert caught.value is mine
    assert caught.value.args == ("no", 7)


def test_a_host_function_is_told_which_result_does_not_fit() -> None:
    text = '(module (import "h" "f" (func $f (result i32 i64))) (func (export "go") (result i32 i64) (call $f)))'
    go = wasmark.Instance(wasmark.Module(text), {"h": {"f": lambda: (1, "x")}}).exports.go
    message = r"^h\.f returned what its wasm type does not allow: result 2: expected an int for i64, got str$"
    with pytest.raises(TypeError, match=message):
        go()


CONSTRUCTORS: list[tuple[Callable[[wasmark.Module, wasmark.Store], object], str]] = [
    (lambda module, store: wasmark.Module(5), "expected the bytes of a binary, or text as a str"),
    (lambda module, store: wasmark.Module(Path("x.wasm")), "(a file is read by from_file), got PosixPath"),
    (lambda module, store: wasmark.Module(TEXT, wasmark.Config()), "expected an Engine, got Config"),
    (lambda module, store: wasmark.Engine("lazy"), "expected a Config, got str"),
    (lambda module, store: wasmark.Store(wasmark.Config()), "expected an Engine, got Config"),
    (lambda module, store: wasmark.Store(timeout="soon"), "expected a number of seconds, got str"),
    (lambda module, store: wasmark.Instance("x.wasm"), "expected a Module, got str"),
    (lambda module, store: wasmark.Instance(module, store), "expected imports as {module name: {name: value}}, got S"),
    (lambda module, store: wasmark.Instance(module, {"host": 3}), "expected {name: value} for module 'host', got int"),
    (lambda module, store: wasmark.Instance(module, {}, module), "expected a Store, got Module"),
    (lambda module, store: wasmark.Linker().instantiate("x.wasm"), "expected a Module, got str"),
    (lambda module, store: wasmark.Memory(store, 1), "expected a MemoryType, got int"),
    (lambda module, store: wasmark.Table(store, 1), "expected a TableType, got int"),
    (lambda module, store: wasmark.Global(store, 1, 1), "expected a GlobalType, got int"),
    (lambda module, store: wasmark.Func(store, print), "a host function is made by Func.from_callable("),
    (lambda module, store: wasmark.Func.from_callable(store, print, print), "expected a FuncType, got builtin_funct"),
]


@pytest.mark.parametrize(("make", "message"), CONSTRUCTORS)
def test_a_constructor_says_what_it_wants(
    make: Callable[[wasmark.Module, wasmark.Store], object], message: str, module: wasmark.Module
) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        make(module, wasmark.Store())


def test_a_path_given_as_text_is_told_of_from_file() -> None:
    with pytest.raises(
        wasmark.MalformedError, match=r"^1:1: unknown operator program\.wasm, .*; a file is read by from_"
    ):
        wasmark.Module("program.wasm")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"strategy": "fast"}, ValueError, "unknown strategy 'fast'; known: 'eager', 'baseline', 'lazy'"),
        ({"relaxed_simd": 1}, ValueError, "unknown relaxed_simd 1; known: 'native', 'deterministic'"),
        ({"tier_up": -1}, ValueError, "tier_up is from 0 to 2,147,483,647, not -1"),
        ({"tier_up": "x"}, TypeError, "expected an int for tier_up, got str"),
        ({"max_wasm_stack": 1024}, ValueError, "max_wasm_stack is from 16,384 to "),
        ({"max_memory_bytes": None}, TypeError, "expected an int for max_memory_bytes, got NoneType"),
        ({"max_table_elements": -5}, ValueError, "max_table_elements is from 0 to "),
        ({"compile_processes": 0}, ValueError, "compile_processes is from 1 to "),
        ({"features": {"simd"}}, TypeError, "expected a Feature, got str"),
        ({"fast": True}, TypeError, "unexpected keyword argument 'fast'"),
    ],
)
def test_a_configuration_says_which_setting_makes_no_sense(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        wasmark.Config(**settings)


def test_a_configuration_takes_any_collection_of_features() -> None:
    config = wasmark.Config(features=[wasmark.Feature.MVP, wasmark.Feature.SIMD])
    assert config == wasmark.Config(features=frozenset({wasmark.Feature.MVP, wasmark.Feature.SIMD}))
    assert hash(config) == hash(pickle.loads(pickle.dumps(config)))


def test_an_index_or_a_count_that_is_no_int_is_a_type_error(instance: wasmark.Instance) -> None:
    exports = instance.exports
    for attempt in (
        lambda: exports.table["first"],
        lambda: exports.table.__setitem__(1.0, None),
        lambda: exports.table.grow("one"),
        lambda: exports.memory.grow(None),
    ):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            attempt()


def test_an_item_of_an_object_is_told_by_its_number() -> None:
    text = """(module (type $p (struct (field (mut i32)) (field i32)))
      (func (export "p") (result (ref $p)) (struct.new $p (i32.const 1) (i32.const 2))))"""
    thing = wasmark.Instance(wasmark.Module(text)).exports.p()
    with pytest.raises(TypeError, match=r"^item 1 of this Struct is immutable$"):
        thing[1] = 3
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        thing["first"]
    with pytest.raises(IndexError, match="field 2 of a structure of 2"):
        thing[2]


# --- what stays in its process ---


def test_what_is_native_can_be_neither_copied_nor_pickled(instance: wasmark.Instance) -> None:
    exports = instance.exports
    objects = [instance, instance.store, *(exports[name] for name in ("one", "memory", "table", "count", "sold"))]
    for thing in objects:
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"^a wasmark\.\w+ can be neither copied nor pickled"):
                attempt(thing)
    assert instance.exports.count.value == 1


def test_objects_of_the_heap_are_of_their_process_too() -> None:
    text = '(module (type $p (struct (field i32))) (func (export "p") (result (ref $p)) (struct.new $p (i32.const 1))))'
    thing = wasmark.Instance(wasmark.Module(text)).exports.p()
    with pytest.raises(TypeError, match=r"^a wasmark\.Struct can be neither copied nor pickled"):
        copy.copy(thing)


# --- what a prompt shows ---


def test_completion_offers_what_is_for_users_and_nothing_else() -> None:
    assert dir(wasmark) == sorted(wasmark.__all__)
    assert {"Component", "profile", "core_dump", "I32"} <= set(dir(wasmark))


def test_to_look_at_the_names_imports_nothing() -> None:
    code = "import sys, wasmark; dir(wasmark); print(any(n.startswith('wasmark.component') for n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", sorted(wasmark.__all__))
def test_every_public_name_has_help(name: str) -> None:
    thing = getattr(wasmark, name)
    assert pydoc.render_doc(thing)
    if isinstance(thing, type) or callable(thing):
        assert thing.__doc__


def test_a_module_tells_what_it_wants_and_has(module: wasmark.Module) -> None:
    assert module.imports == [
        ("host", "say", FuncType((I32,), ())),
        ("host", "limit", GlobalType(I64, False)),
    ]
    assert module.exports == {
        "memory": MemoryType(Limits(1, 2)),
        "table": TableType(FUNCREF, Limits(2, 3)),
        "count": GlobalType(I32, True),
        "sold": FuncType((I32,), ()),
        "one": FuncType((I32,), ()),
        "many": FuncType((I32, F64, EXTERNREF, V128), (I32, F64)),
        "pair": FuncType((FUNCREF, I32), ()),
    }
    assert list(module.exports)[:2] == ["memory", "table"]


def test_what_is_imported_and_exported_again_has_its_type() -> None:
    text = """(module (import "a" "t" (tag $t (param i64))) (import "a" "f" (func $f))
      (export "t" (tag $t)) (export "f" (func $f)))"""
    module = wasmark.Module(text)
    assert module.imports == [("a", "t", FuncType((I64,), ())), ("a", "f", FuncType((), ()))]
    assert module.exports == {"t": FuncType((I64,), ()), "f": FuncType((), ())}
