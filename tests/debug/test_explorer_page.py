"""What the explorer's page says of a module is what the registry and the text format say of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import wasmark
from tests.debug.explored import expanded, functions, machine_code, wasm_lines
from wasmark.binary import decode_body
from wasmark.cli import main
from wasmark.debug.explorer import TIERS, engine_of, write_page, write_page_of

HOSTILE = "</script><script>document.title = 'taken over'</script><!--data-->"
MODULE = rf"""
(module $m
  (import "host" "say" (func $say (param i32)))
  (memory 1)
  (func (@name "{HOSTILE}") (export "divide") (param $a i32) (param $b i32) (result i32)
    (i32.div_s (local.get $a) (local.get $b)))
  (func $sum (param $at i32) (param $n i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "both") (param i32) (result i32)
    (call $say (local.get 0))
    (call $sum (local.get 0) (call 1 (local.get 0) (i32.const 3)))))
"""
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def modules() -> dict[str, wasmark.Module]:
    return {tier: wasmark.Module(MODULE, engine_of(tier)) for tier in TIERS}


@pytest.fixture(scope="module")
def page(modules: dict[str, wasmark.Module], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page_of(modules, path, f"{HOSTILE}.wasm")
    return path.read_text()


def test_every_row_is_at_its_instruction(page: str, modules: dict[str, wasmark.Module]) -> None:
    model = modules["first"].model
    for function, body in zip(functions(page), model.functions, strict=True):
        rows = wasm_lines(function["listing"])
        instructions = decode_body(model, body.start, body.end)
        assert rows[0][0] == body.entry
        assert rows[0][1].startswith("(func")
        assert rows[-1] == (body.end - 1, ")")
        said = rows[-len(instructions) : -1]
        assert [offset for offset, _ in said] == [offset for _, _, offset in instructions[:-1]]
        assert [line.split()[0] for _, line in said] == [op.name for op, _, _ in instructions[:-1]]


@pytest.mark.parametrize("tier", TIERS)
def test_every_machine_instruction_belongs_to_what_the_registry_says(
    page: str, modules: dict[str, wasmark.Module], tier: str
) -> None:
    module = modules[tier]
    number = list(TIERS).index(tier)
    places = {index: (start, end) for index, start, end in module.finished_functions()}
    traps = set()
    for function in functions(page):
        start, end = places[function["i"]]
        code = module.code_object()
        assert code is not None
        rows = wasm_lines(function["listing"])
        instructions = machine_code(function["listing"], number)
        assert function["m"][number] == end - start == sum(function["listing"]["t"][number]["z"])
        for offset, text, row, trap in instructions:
            line, _ = code.find_line(start + offset)
            assert rows[row][0] == line or (not line and row == 0)
            expected = code.trap_code(start + offset)
            assert trap == expected or (trap is None and "[" not in text), text
            traps.add(trap)
    assert {None, *wasmark.TrapCode} > traps > {None, 2, 3, 5}


def test_calls_and_jumps_say_where_they_lead(page: str) -> None:
    text = {function["n"]: machine_code(function["listing"]) for function in functions(page)}
    assert f"call {HOSTILE}" in [line for _, line, _, _ in text["both"]]
    assert "call sum" in [line for _, line, _, _ in text["both"]]
    offsets = {offset for offset, _, _, _ in text["sum"]}
    jumps = [line for _, line, _, _ in text["sum"] if line.startswith("j")]
    assert jumps
    assert {int(line.split("+")[1], 16) for line in jumps} <= offsets


def test_no_name_becomes_markup_and_nothing_is_fetched(page: str) -> None:
    assert page.count("<script>") == 1
    assert page.lower().count("</script>") == 1 + len(expanded(page))
    assert "taken over" not in page.replace("document.title = &#x27;taken over&#x27;", "")
    assert not re.search(r"\b(src|href|srcset|action)\s*=|@import|url\(|https?:", page)
    assert "default-src 'none'" in page
    index = expanded(page)["index"]
    assert index["title"] == f"{HOSTILE}.wasm"
    assert [function["n"] for function in index["functions"]] == [HOSTILE, "sum", "both"]


def test_the_same_module_gives_the_same_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_page(MODULE, tmp_path / name, tiers=["first", "optimised"])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("text", ["(module)", '(module (import "a" "b" (func)) (memory 1))'])
def test_a_module_without_functions_has_a_page(text: str, tmp_path: Path) -> None:
    write_page(text, tmp_path / "page.html")
    assert functions((tmp_path / "page.html").read_text()) == []


def test_the_command_writes_the_page(tmp_path: Path, capsys: Capsys) -> None:
    file, page = tmp_path / "m.wat", tmp_path / "m.html"
    file.write_text(MODULE)
    assert main(["explore", str(file), "-o", str(page), "--tier", "first", "--tier", "optimised"]) == 0
    index = expanded(page.read_text())["index"]
    assert (index["title"], index["tiers"]) == ("m.wat", ["first", "optimised"])
    assert capsys.readouterr() == ("", "")


def test_the_command_reports_what_it_cannot_do(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    file, page = tmp_path / "m.wat", tmp_path / "m.html"
    file.write_text("(module (func (result i32)))")
    assert main(["explore", str(file), "-o", str(page)]) == 1
    assert str(file) in capsys.readouterr().err
    file.write_text(MODULE)
    monkeypatch.setitem(sys.modules, "capstone", None)
    assert main(["explore", str(file), "-o", str(page), "--tier", "first"]) == 1
    assert capsys.readouterr().err == (
        "wasmark: disassembling needs the package capstone: pip install 'wasmark[objdump]'\n"
    )
    assert not page.exists()
    with pytest.raises(SystemExit, match="2"):
        main(["explore", str(file), "-o", str(page), "--tier", "third"])
