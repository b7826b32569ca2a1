"""Exceptions: where they come from, what they pass, who catches them, and what is left behind. Under every way."""

from __future__ import annotations

import gc
import pickle
import random
import struct
import threading
from typing import Any

import pytest

import wasmark
from tests.ways import WAYS, config
from wasmark import Config, Engine, FuncType, Instance, LinkError, Module, Store, Tag, Trap, TrapCode, WasmException
from wasmark.core.types import EXTERNREF, F64, I32, I64

LITTLE = 64 << 10
"""Bytes that a store may keep of exceptions that nobody refers to."""


@pytest.fixture(params=WAYS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(config(request.param, cache=False, max_wasm_stack=6 << 20))


def instance(engine: Engine, text: str, imports: Any = None, store: Store | None = None) -> Instance:
    return Instance(Module(text, engine), imports, store or Store(engine))


def host_module(engine: Engine, body: str, host: Any, *, tag: str = "(param i32)") -> tuple[Any, Tag]:
    """The exports of a module with a host function `$host`, a tag `$e` that is given to it, and a function `f`."""
    store = Store(engine)
    given = Tag(store, FuncType((I32,) if tag else (), ()), name="e")
    exports = instance(
        engine,
        f"""(module (import "" "host" (func $host (param i32) (result i32))) (import "" "e" (tag $e {tag}))
          {body})""",
        {"": {"host": host(given), "e": given}},
        store,
    ).exports
    return exports, given


# --- values survive -------------------------------------------------------------------------------

NAMES = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "v": "v128"}


def constant(letter: str, number: int) -> str:
    return f"({NAMES[letter]}.const {'i64x2 7 ' if letter == 'v' else ''}{number})"


def value_of(letter: str, number: int) -> Any:
    """What Python sees of it."""
    return struct.pack("<QQ", 7, number) if letter == "v" else number


SIGNATURES = [
    ("", ""),
    ("i", "i"),
    ("iIfF", "F"),
    ("iiiiiiii", "IIII"),
    ("F" * 12, "ff"),
    ("iFIfiFIfiFIfiFIfiFIf", "iFIfi"),
    ("IIIIIIfffffffffffF", "FFFFF"),
    ("fffffffffI", "FFF"),
    ("v", "v"),
    ("ivIvF", "vvvvv"),
    ("vvvvvvvviivfvIiiiiiv", "viv"),
]


@pytest.mark.parametrize(("params", "results"), SIGNATURES)
def test_a_guarded_call_of_any_signature(engine: Engine, params: str, results: str) -> None:
    """It returns, or it throws what it was given; locals and operands of the caller are what they were."""
    rng = random.Random(len(params))
    numbers = [rng.randrange(1000) for _ in params]
    types = " ".join(NAMES[p] for p in params)
    returns = " ".join(NAMES[r] for r in results)
    gets = "".join(f"(local.get {i})" for i in range(1, len(params) + 1))
    locals_ = "iIfFv" * 4
    sets = "".join(f"(local.set {i} {constant(c, 7 * i)})" for i, c in enumerate(locals_, 1))
    kept = "".join(f"(local.get {i})" for i in range(1, len(locals_) + 1))
    text = f"""(module (tag $e (param {types}))
      (func $f (param i32 {types}) (result {returns})
        (if (local.get 0) (then (throw $e {gets})))
        {"".join(constant(r, 3 + i) for i, r in enumerate(results))})
      (func (export "run") (param i32) (result i64 {types} {" ".join(NAMES[c] for c in locals_)})
        (local {" ".join(NAMES[c] for c in locals_)})
        {sets}
        (i64.const 99)
        (block $caught (result {types})
          (try_table (catch $e $caught)
            (call $f (local.get 0) {"".join(map(constant, params, numbers))})
            {"(drop)" * len(results)})
          {"".join(constant(p, 0) for p in params)})
        {kept})
      (func (export "results") (result {returns})
        (block $never (try_table (catch_all $never)
          (return (call $f (i32.const 0) {"".join(map(constant, params, numbers))}))))
        (unreachable)))"""
    exports = instance(engine, text).exports
    after = tuple(value_of(letter, 7 * i) for i, letter in enumerate(locals_, 1))
    assert exports.run(0) == (99, *(value_of(p, 0) for p in params), *after)
    assert exports.run(1) == (99, *map(value_of, params, numbers), *after)
    expected = tuple(value_of(letter, 3 + i) for i, letter in enumerate(results))
    assert exports.results() == (expected if len(expected) > 1 else expected[0] if expected else None)


def test_through_ten_thousand_frames_that_use_all_registers(engine: Engine) -> None:
    """What the frames between have in registers is not the catcher's; theirs are not lost where they are caught."""
    count = 14
    locals_ = " ".join(["i64"] * count)
    sets = "".join(f"(local.set {i} (i64.mul (local.get 0) (i64.const {i + 2})))" for i in range(1, count + 1))
    total = "(i64.const 0)"
    for i in range(1, count + 1):
        total = f"(i64.add (i64.mul {total} (i64.const 31)) (local.get {i}))"
    text = f"""(module (tag $e (param i64))
      (func $deep (param i64) (result i64) (local {locals_})
        {sets}
        (if (i64.eqz (local.get 0)) (then (throw $e (i64.const 5))))
        (i64.add (call $deep (i64.sub (local.get 0) (i64.const 1))) {total}))
      (func (export "run") (param i64) (result i64 i64) (local {locals_})
        {sets}
        (block $caught (result i64)
          (try_table (catch $e $caught) (drop (call $deep (i64.const 10000))))
          (i64.const 0))
        {total}))"""
    exports = instance(engine, text).exports
    expected = 0
    for i in range(1, count + 1):
        expected = expected * 31 + 3 * (i + 2)
    expected &= (1 << 64) - 1
    expected -= expected >> 63 << 64
    for _ in range(3):
        assert exports.run(3) == (5, expected)


# --- instances and tags ---------------------------------------------------------------------------

THROWER = '(module (tag $e (export "e") (param i32)) (func (export "throw") (param i32) (throw $e (local.get 0))))'
CATCHER = """(module (import "m" "e" (tag $e (param i32))) (import "m" "throw" (func $throw (param i32)))
  (func (export "run") (param i32) (result i32)
    (block $caught (result i32)
      (block $other
        (try_table (catch $e $caught) (catch_all $other) (call $throw (local.get 0)))
        (return (i32.const -1)))
      (i32.const -2))))"""


def test_a_tag_belongs_to_an_instance(engine: Engine) -> None:
    store = Store(engine)
    thrower = Module(THROWER, engine)
    first, second = Instance(thrower, {}, store).exports, Instance(thrower, {}, store).exports
    assert first.e is first.e
    assert first.e is not second.e
    assert first.e.type == FuncType((I32,), ())
    assert first.e.name == "e"
    assert instance(engine, CATCHER, {"m": {"e": first.e, "throw": first.throw}}, store).exports.run(42) == 42
    assert instance(engine, CATCHER, {"m": {"e": second.e, "throw": first.throw}}, store).exports.run(42) == -2


@pytest.mark.parametrize("given", [None, 1, "(param i64)", "(param i32 i32)"])
def test_a_tag_of_another_type_is_not_imported(given: Any) -> None:
    engine = Engine(config("baseline", cache=False))
    store = Store(engine)
    if isinstance(given, str):
        given = instance(engine, f'(module (tag (export "e") {given}))', None, store).exports.e
    with pytest.raises(LinkError, match=r"tag|\[i32\]"):
        instance(engine, '(module (import "m" "e" (tag (param i32))))', {"m": {"e": given}}, store)


def test_a_tag_of_another_store_is_not_imported() -> None:
    engine = Engine(config("baseline", cache=False))
    other = Tag(Store(engine), FuncType((), ()))
    with pytest.raises(LinkError, match="another store"):
        instance(engine, '(module (import "m" "e" (tag)))', {"m": {"e": other}})


def test_what_a_tag_is_made_of() -> None:
    store = Store(Engine(config("baseline", cache=False)))
    with pytest.raises(ValueError, match="no results"):
        Tag(store, FuncType((), (I32,)))
    tag = Tag(store, FuncType((I32, F64), ()), name="mine")
    assert repr(tag) == "<wasmark.Tag mine [i32 f64]>"
    with pytest.raises(TypeError, match="takes 2 values"):
        WasmException(tag, (1,))


# --- to Python ------------------------------------------------------------------------------------

UNCAUGHT = """(module $m (tag $e (export "e") (param i32 f64 i64)) (tag $quiet)
  (func $outer (export "outer") (param i32) (call $inner (local.get 0)))
  (func $inner (param i32) (throw $e (local.get 0) (f64.const 2.5) (i64.const -3)))
  (func $quiet (export "quiet") (throw $quiet))
  (func $again (export "again")
    (block $caught (result exnref) (try_table (catch_all_ref $caught) (call $outer (i32.const 1))) (return))
    (throw_ref)))"""


def test_an_exception_that_nobody_catches_is_one_of_python(engine: Engine) -> None:
    exports = instance(engine, UNCAUGHT).exports
    for number in (7, -1):
        with pytest.raises(WasmException) as caught:
            exports.outer(number)
        error = caught.value
        assert error.tag is exports.e
        assert error.values == (number, 2.5, -3)
        assert [frame.func_name for frame in error.frames] == ["inner", "outer"]
        assert str(error).startswith(f"wasm exception: e({number}, 2.5, -3)\n    0: m!inner @ +0x")
    with pytest.raises(WasmException) as caught:
        exports.quiet()
    assert str(caught.value).startswith("wasm exception: tag[1]()\n")


def test_an_exception_that_is_thrown_again_has_the_frames_of_its_beginning(engine: Engine) -> None:
    exports = instance(engine, UNCAUGHT).exports
    with pytest.raises(WasmException) as caught:
        exports.again()
    assert [frame.func_name for frame in caught.value.frames] == ["inner", "outer", "again"]


def test_out_of_a_start_function(engine: Engine) -> None:
    with pytest.raises(WasmException) as caught:
        instance(engine, "(module (tag $e) (func $f (throw $e)) (start $f))")
    assert caught.value.values == ()


def test_in_another_process_an_exception_has_lost_its_tag() -> None:
    exports = instance(Engine(config("baseline", cache=False)), UNCAUGHT).exports
    with pytest.raises(WasmException) as caught:
        exports.outer(7)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.tag is None
    assert copy.values == (7, 2.5, -3)
    assert [frame.func_name for frame in copy.frames] == ["inner", "outer"]


def test_uncaught_exceptions_leave_nothing_behind(engine: Engine) -> None:
    store = Store(engine)
    exports = instance(engine, UNCAUGHT, None, store).exports
    for _ in range(3000):
        with pytest.raises(WasmException):
            exports.outer(1)
    store.collect()
    assert store.collector.heap.used < LITTLE


class _Interrupted(Store):
    """Has something happen when an exception has left wasm, before Python has anything that stands for it; and when one
    of Python's is one of wasm's, before wasm has that."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.meanwhile: list[Any] = []
        self.meanwhile_thrown_in: Any = None

    def trap(self, activation: bytes) -> Any:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().trap(activation)

    def throw_in(self, error: WasmException, *where: Any) -> Any:
        answer = super().throw_in(error, *where)
        self.meanwhile_thrown_in()
        return answer


LEAVING = """(module $m (tag $e (param i32)) (global $kept (mut exnref) (ref.null exn))
  (func $throw (export "throw") (param i32) (throw $e (local.get 0)))
  (func $make (param i32) (result exnref)
    (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0))) unreachable))
  (func (export "keep") (param i32) (global.set $kept (call $make (local.get 0))))
  (func (export "drop") (global.set $kept (ref.null exn)))
  (func (export "throw_kept") (throw_ref (global.get $kept)))
  (func (export "fill") (param i32)
    (loop $l (drop (call $make (i32.const -1)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""


def _thrown(function: Any, *arguments: Any) -> WasmException:
    with pytest.raises(WasmException) as caught:
        function(*arguments)
    return caught.value


def test_exceptions_on_their_way_at_once_are_all_kept(engine: Engine) -> None:
    store = _Interrupted(engine)
    exports = instance(engine, LEAVING, None, store).exports
    others: list[WasmException] = []

    def use_all_that_is_free() -> None:
        store.collect()
        exports.fill(2000)

    def throw_another() -> None:
        others.append(_thrown(exports.throw, len(store.meanwhile)))
        use_all_that_is_free()

    for depth in range(4):
        store.meanwhile = [use_all_that_is_free, *[throw_another] * depth]
        assert _thrown(exports.throw, 7).values == (7,)
        assert [error.values for error in others] == [(number,) for number in range(1, depth + 1)]
        others.clear()
    store.collect()
    assert store.collector.heap.used < LITTLE


def test_one_exception_that_is_on_its_way_twice(engine: Engine) -> None:
    """The second one arrives first, and the exception is still needed."""
    store = _Interrupted(engine)
    exports = instance(engine, LEAVING, None, store).exports
    second: list[WasmException] = []

    def throw_it_too() -> None:
        second.append(_thrown(exports.throw_kept))
        exports.drop()
        store.collect()
        exports.fill(2000)

    exports.keep(9)
    store.meanwhile = [throw_it_too]
    first = _thrown(exports.throw_kept)
    assert first.values == (9,)
    assert second == [first]
    assert _thrown(exports.throw, 3).values == (3,)
    store.collect()
    assert store.collector.heap.used < LITTLE


def test_threads_that_leave_one_store_with_exceptions(engine: Engine) -> None:
    """All have left it before the first of them goes on; then each collects before it looks at its own."""
    count = 4
    store = _Interrupted(engine)
    exports = instance(engine, LEAVING, None, store).exports
    together = threading.Barrier(count)
    found: dict[int, Any] = {}

    def meanwhile() -> None:
        together.wait(60)
        store.collect()
        exports.fill(500)

    def run(number: int) -> None:
        found[number] = _thrown(exports.throw, number).values

    for _ in range(5):
        store.meanwhile = [meanwhile] * count
        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: (number,) for number in range(count)}
        found.clear()


def test_an_exception_from_python_is_kept_until_it_is_caught(engine: Engine) -> None:
    """Others leave the store, and there are collections, when native code has it and wasm has not."""
    store = _Interrupted(engine)
    tag = Tag(store, FuncType((I32,), ()), name="e")

    def host(number: int) -> int:
        raise WasmException(tag, (number,))

    def meanwhile() -> None:
        assert _thrown(exports.throw, 1).values == (1,)
        store.collect()
        exports.fill(2000)

    exports = instance(engine, LEAVING, None, store).exports
    catching = instance(
        engine,
        f"""(module (import "" "host" (func $host (param i32) (result i32))) (import "" "e" (tag $e (param i32)))
          {CATCHING})""",
        {"": {"host": host, "e": tag}},
        store,
    ).exports
    for number in range(20, 25):
        store.meanwhile_thrown_in = meanwhile
        assert catching.f(number) == number


# --- from Python ----------------------------------------------------------------------------------

CATCHING = """(func (export "f") (param i32) (result i32)
  (block $all (block $caught (result i32)
    (try_table (catch $e $caught) (catch_all $all)
      (return (i32.add (call $host (local.get 0)) (i32.const 1000)))) unreachable)
    (return)) (i32.const -9))"""


def test_a_host_function_throws_into_wasm(engine: Engine) -> None:
    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            if number > 10:
                raise WasmException(tag, (number * 2,))
            return number

        return called

    exports, _ = host_module(engine, CATCHING, host)
    for _ in range(20):
        assert exports.f(5) == 1005
        assert exports.f(50) == 100


def test_a_host_function_with_references_throws_into_wasm(engine: Engine) -> None:
    store = Store(engine)
    tag = Tag(store, FuncType((EXTERNREF, I64), ()))

    def host(value: object) -> None:
        raise WasmException(tag, (value, 1 << 40))

    exports = instance(
        engine,
        """(module (import "" "host" (func $host (param externref))) (import "" "e" (tag $e (param externref i64)))
          (func (export "f") (param externref) (result externref i64)
            (block $caught (result externref i64)
              (try_table (catch $e $caught) (call $host (local.get 0))) unreachable)))""",
        {"": {"host": host, "e": tag}},
        store,
    ).exports
    value = object()
    assert exports.f(value) == (value, 1 << 40)


def test_other_exceptions_of_python_are_nobodys_to_catch(engine: Engine) -> None:
    error = KeyError("mine")

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            raise error

        return called

    exports, _ = host_module(engine, CATCHING, host)
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            exports.f(1)
        assert caught.value is error


def test_an_exception_of_another_store_is_nobodys_to_catch(engine: Engine) -> None:
    foreign = Tag(Store(engine), FuncType((I32,), ()))

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            raise WasmException(foreign, (number,))

        return called

    exports, _ = host_module(engine, CATCHING, host)
    with pytest.raises(WasmException) as caught:
        exports.f(3)
    assert caught.value.tag is foreign


def test_values_that_do_not_fit_are_told(engine: Engine) -> None:
    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            raise WasmException(tag, ("no number",))

        return called

    exports, _ = host_module(engine, CATCHING, host)
    with pytest.raises(TypeError, match="expected an int"):
        exports.f(3)


def test_it_is_the_same_object_wherever_it_comes_out(engine: Engine) -> None:
    """Python throws it in, wasm catches it, throws it again, keeps it, and gives it back."""
    thrown: list[WasmException] = []

    class Mine(WasmException):
        pass

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            thrown.append(Mine(tag, (number,)))
            raise thrown[-1]

        return called

    exports, tag = host_module(
        engine,
        """(global $kept (export "kept") (mut exnref) (ref.null exn))
        (func (export "f") (param i32) (result i32)
          (block $caught (result exnref)
            (try_table (catch_all_ref $caught) (return (call $host (local.get 0)))) unreachable)
          (global.set $kept) (throw_ref (global.get $kept)))
        (func (export "give") (result exnref) (global.get $kept))
        (func (export "throw") (param exnref) (throw_ref (local.get 0)))""",
        host,
    )
    for number in range(3):
        with pytest.raises(Mine) as caught:
            exports.f(number)
        assert caught.value is thrown[-1]
        assert exports.give() is thrown[-1]
        assert exports.kept.value is thrown[-1]
        with pytest.raises(Mine) as caught:
            exports.throw(thrown[-1])
        assert caught.value is thrown[-1]
    with pytest.raises(WasmException) as caught:
        exports.throw(error := WasmException(tag, (5,)))
    assert caught.value is error


def test_through_host_functions_and_activations(engine: Engine) -> None:
    """wasm -> Python -> wasm, which throws: Python sees it on the way, and the outer wasm catches it."""
    seen: list[WasmException] = []
    made: list[Any] = []

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            try:
                return int(made[0].down(number - 1))
            except WasmException as error:
                seen.append(error)
                raise

        return called

    exports, tag = host_module(
        engine,
        """(func $down (export "down") (param i32) (result i32)
          (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 77))))
          (call $host (local.get 0)))
        (func (export "f") (param i32) (result i32)
          (block $caught (result i32) (try_table (result i32) (catch $e $caught) (call $down (local.get 0)))))""",
        host,
    )
    made.append(exports)
    assert exports.f(4) == 77
    assert len(seen) == 4
    assert len({id(error) for error in seen}) == 1
    assert seen[0].tag is tag
    assert len(seen[0].frames) == 5 + 1


# --- what is not caught ---------------------------------------------------------------------------

NOT_CAUGHT = """(module (memory 1) (tag $e)
  (func $recurse (call $recurse) (call $recurse))
  (func $trap (param i32) (drop (i32.load (local.get 0))))
  (func (export "overflow") (block $h (try_table (catch_all $h) (call $recurse))))
  (func (export "trap") (block $h (try_table (catch_all $h) (call $trap (i32.const -1)))))
  (func (export "here") (block $h (try_table (catch_all $h) (unreachable))))
  (func (export "null") (block $h (try_table (catch_all $h) (throw_ref (ref.null exn)))))
  (func (export "legacy") (try (do (call $recurse)) (catch_all)))
  (func (export "fine") (block $h (try_table (catch_all $h) (throw $e)))))"""


def test_traps_are_not_caught(engine: Engine) -> None:
    exports = instance(engine, NOT_CAUGHT).exports
    for _ in range(3):
        for name, code in (
            ("overflow", TrapCode.STACK_OVERFLOW),
            ("trap", TrapCode.MEMORY_OUT_OF_BOUNDS),
            ("here", TrapCode.UNREACHABLE),
            ("null", TrapCode.NULL_EXCEPTION_REFERENCE),
            ("legacy", TrapCode.STACK_OVERFLOW),
        ):
            with pytest.raises(Trap) as caught:
                exports[name]()
            assert caught.value.code is code
            assert exports.fine() is None


# --- nothing leaks, nothing is lost ---------------------------------------------------------------

COUNTING = """(module (tag $e (param i32)) (tag $with (param exnref i32))
  (global $kept (mut exnref) (ref.null exn)) (table $t 4 exnref)
  (func $throw (param i32) (throw $e (local.get 0)))
  (func $catch (param i32) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get 0))) unreachable))
  (func $reference (param i32) (result exnref)
    (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0))) unreachable))
  (func $value (param exnref) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (throw_ref (local.get 0))) unreachable))
  (func (export "loop") (param i32) (local i32)
    (loop $l (drop (call $catch (local.get 0))) (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "references") (param i32) (result i32) (local $held exnref)
    ;; One is held in a local, one in a global, one in a table, and one in another exception, while many others go.
    (local.set $held (call $reference (i32.const 1)))
    (global.set $kept (call $reference (i32.const 20)))
    (table.set $t (i32.const 3) (call $reference (i32.const 300)))
    (table.set $t (i32.const 0)
      (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw $with (call $reference (i32.const 4000)) (i32.const 5))) unreachable))
    (loop $l
      (drop (call $reference (local.get 0)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.add
      (i32.add (call $value (local.get $held)) (call $value (global.get $kept)))
      (i32.add (call $value (table.get $t (i32.const 3)))
        (block $h (result i32)
          (block $inner (result exnref i32)
            (try_table (catch $with $inner) (throw_ref (table.get $t (i32.const 0)))) unreachable)
          (drop) (call $value)))))
  (func (export "clear") (global.set $kept (ref.null exn)) (table.fill $t (i32.const 0) (ref.null exn) (i32.const 4)))
  (func (export "pass") (param exnref)))"""


def test_exceptions_that_nobody_refers_to_are_given_up(engine: Engine) -> None:
    store = Store(engine)
    exports = instance(engine, COUNTING, None, store).exports
    exports.loop(200_000)
    for _ in range(3):
        assert exports.references(20_000) == 1 + 20 + 300 + 4000
    assert store.collector.heap.collections > 0
    exports.clear()
    store.collect()
    assert store.collector.heap.used < LITTLE


def test_with_a_collection_at_every_exception() -> None:
    for way in ("eager", "baseline"):
        engine = Engine(config(way, cache=False, collect_always=True))
        exports = instance(engine, COUNTING).exports
        assert exports.references(50) == 1 + 20 + 300 + 4000
        loops = instance(engine, LOOP).exports
        assert loops.run(50) == loop_sum(50)
        assert loops.legacy(50) == legacy_sum(50)


def test_the_objects_in_exceptions_that_are_kept_are_kept(engine: Engine) -> None:
    store = Store(engine)
    exports = instance(
        engine,
        """(module (tag $e (param externref)) (global $kept (mut exnref) (ref.null exn))
          (func $throw (param externref) (throw $e (local.get 0)))
          (func (export "put") (param externref)
            (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0))) unreachable)
            (global.set $kept))
          (func (export "get") (result externref)
            (block $h (result externref) (try_table (catch $e $h) (throw_ref (global.get $kept))) unreachable)))""",
        None,
        store,
    ).exports
    value = object()
    exports.put(value)
    store.collect()
    assert exports.get() is value


# --- tiers, threads, code that goes ---------------------------------------------------------------

LOOP = """(module (tag $e (param i32)) (global $sum (mut i64) (i64.const 0))
  (func $maybe (param i32) (result i32)
    (if (i32.and (local.get 0) (i32.const 1)) (then (throw $e (local.get 0))))
    (i32.const 2))
  (func (export "run") (param $n i32) (result i64) (local $i i32) (local $f f64)
    (block $out
      (try_table (catch_all $out)
        (loop $l
          (block $caught (result i32)
            (try_table (result i32) (catch $e $caught) (call $maybe (local.get $i))))
          (i64.extend_i32_u) (i64.add (global.get $sum)) (global.set $sum)
          (local.set $f (f64.add (local.get $f) (f64.const 1)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))
          (throw $e (i32.const 0)))))
    (if (f64.ne (local.get $f) (f64.convert_i32_u (local.get $n))) (then unreachable))
    (global.get $sum))
  (func (export "legacy") (param $n i32) (result i64) (local $i i32)
    (global.set $sum (i64.const 0))
    (try
      (do (loop $l
        (global.set $sum (i64.add (global.get $sum) (i64.extend_i32_u
          (try (result i32) (do (call $maybe (local.get $i)))
            (catch $e
              (loop $again
                (local.set $i (i32.add (local.get $i) (i32.const 2)))
                (br_if $again (i32.and (local.get $i) (i32.const 4))))
              (local.set $i (i32.sub (local.get $i) (i32.const 2)))
              (try (do (rethrow 1)) (catch $e (drop))))))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))
        (throw $e (i32.const 0))))
      (catch_all))
    (global.get $sum)))"""


def loop_sum(n: int) -> int:
    return sum(i if i & 1 else 2 for i in range(n))


def legacy_sum(n: int) -> int:
    total = i = 0
    while True:
        if i & 1:
            total += i
            while True:
                i += 2
                if not i & 4:
                    break
            i -= 2
        else:
            total += 2
        i += 1
        if i >= n:
            return total


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
def test_tier_up_in_loops_within_handlers(limit: int) -> None:
    engine = Engine(Config(tier_up=limit, tier_up_in_background=False, cache=False))
    exports = instance(engine, LOOP).exports
    assert exports.run(2000) == loop_sum(2000)
    assert exports.legacy(2000) == legacy_sum(2000)


def test_loops_within_handlers(engine: Engine) -> None:
    exports = instance(engine, LOOP).exports
    assert exports.run(501) == loop_sum(501)
    assert exports.legacy(501) == legacy_sum(501)


def test_many_threads_throw_at_once(engine: Engine) -> None:
    module = Module(LOOP, engine)
    answers: list[int] = []

    def run() -> None:
        exports = Instance(module, {}, Store(engine)).exports
        answers.extend(exports.run(20_000) for _ in range(2))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = loop_sum(20_000)
    assert sorted(answers) == [first] * 6 + [2 * first] * 6


def test_on_a_small_stack_of_a_thread(engine: Engine) -> None:
    exports = instance(engine, LOOP).exports
    answers: list[int] = []
    threading.stack_size(512 << 10)
    try:
        thread = threading.Thread(target=lambda: answers.append(exports.run(300)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    assert answers == [loop_sum(300)]


def test_code_that_comes_to_be_where_other_code_was(engine: Engine) -> None:
    """A return address that had a handler once may have none later, and the other way round."""
    for number in range(12):
        text = (
            LOOP
            if number % 2
            else LOOP.replace("(catch $e $caught)", "").replace("(throw $e (local.get 0))", "(return (local.get 0))")
        )
        exports = instance(engine, text).exports
        assert exports.run(50) == loop_sum(50)
        del exports
        gc.collect()


def test_collections_in_the_middle(engine: Engine) -> None:
    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            gc.collect()
            raise WasmException(tag, (number,))

        return called

    exports, _ = host_module(engine, CATCHING, host)
    for number in range(20):
        assert exports.f(number) == number


def test_a_tail_call_leaves_the_handlers_of_its_function(engine: Engine) -> None:
    exports = instance(
        engine,
        """(module (tag $e)
          (func $throw (result i32) (throw $e))
          (func $leave (result i32)
            (block $h (try_table (catch_all $h) (return_call $throw)) unreachable) (i32.const 1))
          (func (export "f") (result i32)
            (block $h (try_table (catch_all $h) (return (call $leave)))) (i32.const 2)))""",
    ).exports
    assert exports.f() == 2


def test_features() -> None:
    features = frozenset(wasmark.Feature)
    for text, feature in (
        ("(module (tag $e) (func (throw $e)))", wasmark.Feature.EXCEPTION_HANDLING),
        ("(module (func (try (do))))", wasmark.Feature.LEGACY_EXCEPTIONS),
    ):
        with pytest.raises(wasmark.InvalidError, match=feature.value):
            Module(text, Engine(Config(features=features - {feature}, cache=False)))
