"""`wasmark run --invoke` on components, and what else `run`, `compile` and the commands that show modules do with
them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.component.damaged import COMPONENTS
from tests.debug.explored import functions
from wasmark.binary import decode_module
from wasmark.cli import main

Capsys = pytest.CaptureFixture[str]
VALUES = next(path for path in COMPONENTS if path.stem == "values")
SHOP = """
(component $shop
  (core module $impl
    (memory (export "memory") 1)
    (data (i32.const 16) "\\01\\00\\00\\00\\20\\00\\00\\00\\05\\00\\00\\00")
    (data (i32.const 32) "hello")
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16)))))
    (func (export "half") (param i32) (result i32)
      (i32.store (i32.const 8) (i32.and (local.get 0) (i32.const 1)))
      (i32.store (i32.const 12) (i32.shr_u (local.get 0) (i32.const 1)))
      (i32.const 8))
    (func (export "hello") (result i32) (i32.const 16))
    (func (export "sum") (param i32 i32 i32) (result i32)
      (i32.add (i32.mul (local.get 0) (i32.const 1000)) (local.get 2)))
    (func $fail (export "fail") unreachable)
    (func (export "spin") (loop $again (br $again))))
  (core module $other (func (export "one") (result i32) (i32.const 1)))
  (core instance $i (instantiate $impl))
  (core instance $o (instantiate $other))
  (alias core export $i "memory" (core memory $mem))
  (alias core export $i "realloc" (core func $realloc))
  (func $half (param "n" u32) (result (result u32 (error u32)))
    (canon lift (core func $i "half") (memory $mem)))
  (func $hello (result (option string)) (canon lift (core func $i "hello") (memory $mem)))
  (func $sum (param "a" u32) (param "b" (option u32)) (result u32) (canon lift (core func $i "sum")))
  (func $one (result u32) (canon lift (core func $o "one")))
  (func $fail (canon lift (core func $i "fail")))
  (func $spin (canon lift (core func $i "spin")))
  (instance $till (export "half" (func $half)) (export "one" (func $one)))
  (instance $door (export "say-hello" (func $hello)) (export "one" (func $one)))
  (export "demo:shop/till@1.2.0" (instance $till))
  (export "demo:shop/door@1.2.0" (instance $door))
  (export "half" (func $half))
  (export "sum" (func $sum))
  (export "fail" (func $fail))
  (export "spin" (func $spin)))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("shop") / "shop.wat"
    file.write_text(SHOP)
    return str(file)


@pytest.mark.parametrize(
    ("name", "args", "out"),
    [
        ("echo", ["☃ and more"], '"☃ and more"'),
        ("echo", ['"a\\n\\"b\\""'], '"a\\n\\"b\\""'),
        ("echo", [""], '""'),
        ("echo-wide", ["ab"], "[97, 0]"),
        ("echo_wide", ["a"], "[97]"),
        ("add", ["4294967290", "-1"], "65529"),
        ("take", ["x", "-9", "nan", "1e300"], ""),
        ("take", ["'x'", "-9", "-inf", "0.1"], ""),
    ],
)
def test_words_become_values_and_results_words(name: str, args: list[str], out: str, capsys: Capsys) -> None:
    assert main(["run", str(VALUES), "--invoke", name, "--", *args]) == 0
    assert capsys.readouterr().out == (f"{out}\n" if out else "")


@pytest.mark.parametrize(
    ("name", "args", "out", "status"),
    [
        ("half", ["10"], "ok(5)", 0),
        ("half", ["7"], "err(3)", 1),
        ("sum", ["1"], "1000", 0),
        ("sum", ["1", "some(2)"], "1002", 0),
        ("sum", ["1", "none"], "1000", 0),
        ("demo:shop/till@1.2.0#half", ["10"], "ok(5)", 0),
        ("demo:shop/till@1.0.0#half", ["10"], "ok(5)", 0),
        ("demo:shop/till#half", ["10"], "ok(5)", 0),
        ("till#half", ["10"], "ok(5)", 0),
        ("door#say_hello", [], 'some("hello")', 0),
        ("say-hello", [], 'some("hello")', 0),
        ("till#one", [], "1", 0),
    ],
)
def test_functions_of_interfaces_are_called_by_short_and_by_whole_names(
    shop: str, name: str, args: list[str], out: str, status: int, capsys: Capsys
) -> None:
    assert main(["run", "--invoke", name, shop, *args]) == status
    assert capsys.readouterr().out == f"{out}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one"], "'one' could be demo:shop/till@1.2.0#one, or demo:shop/door@1.2.0#one"),
        (["till#none"], "no exported function 'till#none'; exported functions: demo:shop/till@1.2.0#half, "),
        (["demo:shop/till@2.0.0#half", "1"], "no exported function 'demo:shop/till@2.0.0#half'"),
        (["half"], "the function takes 1 arguments, not 0: func(n: u32) -> result<u32, u32>"),
        (["half", "x"], "arg 'n': expected a number of type u32, got 'x' (at character 1)"),
    ],
)
def test_what_cannot_be_called_is_one_line(shop: str, words: list[str], message: str, capsys: Capsys) -> None:
    assert main(["run", shop, "--invoke", *words]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_trap_shows_its_frames_and_leaves_a_core_dump_when_asked(shop: str, tmp_path: Path, capsys: Capsys) -> None:
    dump = tmp_path / "core.wasm"
    assert main(["run", "--coredump", str(dump), "--invoke", "fail", shop]) == 134
    assert "0: shop/impl!fail @" in capsys.readouterr().err
    model = decode_module(dump.read_bytes())
    names = {custom.name: model.data[custom.start : custom.end] for custom in model.customs}
    assert set(names) == {"core", "coremodules", "coreinstances", "corestack"}
    assert b"impl" in names["coremodules"]
    (memory,) = model.memories
    assert memory.limits.minimum == 1
    (segment,) = model.data_segments
    assert b"hello" in model.data[segment.start : segment.end]


def test_time_and_fuel_end_a_component(shop: str, capsys: Capsys) -> None:
    assert main(["run", "--timeout", "0.3", "--invoke", "spin", shop]) == 124
    assert "it took longer than 0.3 s" in capsys.readouterr().err
    assert main(["run", "--fuel", "10000", "--invoke", "spin", shop]) == 134
    err = capsys.readouterr().err
    assert "all fuel consumed" in err
    assert "shop/impl!spin" in err
    assert main(["run", "--fuel", "10000", "--invoke", "half", shop, "2"]) == 0


def test_a_profile_of_a_component_is_written(shop: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    # So much work that there are samples of it, however slowly it gets on.
    assert main(["run", "--profile", str(profile), "--fuel", "300_000_000", "--invoke", "spin", shop]) == 134
    assert any("spin" in frame for frame in _strings(json.loads(profile.read_text())))


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _strings(item)]


def test_a_compiled_component_runs_from_its_file(shop: str, tmp_path: Path, capsys: Capsys) -> None:
    file = tmp_path / "shop.wasmark"
    assert main(["compile", shop, "-o", str(file)]) == 0
    assert main(["run", "--invoke", "till#half", str(file), "8"]) == 0
    assert capsys.readouterr().out == "ok(4)\n"
    named_like_a_module = tmp_path / "shop.wasm"
    named_like_a_module.write_bytes(file.read_bytes())
    assert main(["run", "--invoke", "till#half", str(named_like_a_module), "8"]) == 1
    assert "this is machine code, and no module" in capsys.readouterr().err


def test_a_component_without_modules_compiles_too(tmp_path: Path) -> None:
    source, file = tmp_path / "empty.wat", tmp_path / "empty.wasmark"
    source.write_text('(component (component) (export "c" (component 0)))')
    assert main(["compile", str(source), "-o", str(file)]) == 0
    assert main(["run", str(file)]) == 1


def test_the_modules_of_a_component_are_shown_one_by_one(shop: str, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["objdump", "--module", "impl", "-f", shop]) == 0
    assert "fail" in capsys.readouterr().out
    assert main(["objdump", "--module", "1", "--function", "0", shop]) == 0
    assert "mov eax, 1" in capsys.readouterr().out
    assert main(["wasm2wat", "--module", "other", shop]) == 0
    text = capsys.readouterr().out
    assert text.startswith("(module $other")
    page = tmp_path / "page.html"
    assert main(["explore", "--module", "other", shop, "-o", str(page)]) == 0
    assert [each["n"] for each in functions(page.read_text())] == ["one"]
    binary = tmp_path / "other.wat"
    binary.write_text(text)
    assert main(["wat2wasm", str(binary)]) == 0
    offset = next(iter(decode_module(binary.with_suffix(".wasm").read_bytes()).functions)).start
    assert main(["addr2line", "--module", "other", shop, hex(offset)]) == 0
    assert capsys.readouterr().out == "one\n??\n"


@pytest.mark.parametrize("command", [["objdump", "-d"], ["addr2line"], ["explore", "-o", "x"]])
def test_which_module_is_meant_has_to_be_said(shop: str, command: list[str], capsys: Capsys) -> None:
    words = [*command, shop, *(["1"] if command == ["addr2line"] else [])]
    assert main(words) == 1
    assert capsys.readouterr().err == (
        f"wasmark: {shop}: this is a component with the modules impl, other; --module says which one is meant\n"
    )
    assert main([*words, "--module", "nothing"]) == 1
    assert "no module 'nothing': this is a component with the modules impl, other" in capsys.readouterr().err


def test_a_module_has_no_modules(tmp_path: Path, capsys: Capsys) -> None:
    file = tmp_path / "m.wat"
    file.write_text("(module)")
    assert main(["objdump", "--module", "0", str(file)]) == 1
    assert "--module is for components; this is a module" in capsys.readouterr().err
