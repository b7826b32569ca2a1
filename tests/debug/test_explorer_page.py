"""What the explorer's page says of a module is what the registry and the text format say of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests.debug.explored import expanded, functions, machine_code, wasm_lines
from tests.debug.support import DINNER_CPP, SHARE_HPP, dinner
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
            assert trap == expected or (trap is None and ("[" not in text or "[rbp" in text)), text
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


def source_lines(function: dict[str, Any]) -> dict[int, list[tuple[str, int, str]]]:
    """For each row, the (file, line, text) of the lines that it comes from, the innermost first."""
    source = function["listing"]["d"]
    lines, numbers = source["l"].split("\n"), source["n"]
    assert len(lines) == len(numbers)

    def place(at: int) -> tuple[str, int, str]:
        file = max(number for number in range(at) if not numbers[number] and lines[number] != "⋯")
        return lines[file], numbers[at], lines[at]

    return {row: [place(at) for at in source["k"][kind]] for row, kind in enumerate(source["s"]) if kind >= 0}


@pytest.fixture
def dinner_files(tmp_path: Path) -> Path:
    """The source files of `dinner`, below a folder."""
    folder = tmp_path / "dinner"
    (folder / "include").mkdir(parents=True)
    (folder / "dinner.cpp").write_text(DINNER_CPP)
    (folder / "include" / "share.hpp").write_text(SHARE_HPP)
    return folder


@pytest.mark.parametrize("version", [4, 5])
def test_rows_have_their_source_lines_and_those_of_inlined_calls(version: int, dinner_files: Path) -> None:
    data = dinner(version, str(dinner_files))
    page = dinner_files / "page.html"
    write_page(data, page, tiers=["first"], source_folders=[dinner_files])
    pay, split = functions(page.read_text())
    assert expanded(page.read_text())["index"]["source"] is True
    rows = {line.split()[0]: row for row, (_, line) in enumerate(wasm_lines(split["listing"]))}
    main, header = str(dinner_files / "dinner.cpp"), str(dinner_files / "include/share.hpp")
    assert source_lines(split)[rows["i32.div_s"]] == [
        (header, 2, "// line 2 of share.hpp"),
        (header, 4, "// line 4 of share.hpp"),
        (main, 12, "// line 12 of dinner.cpp"),
    ]
    assert source_lines(split)[rows["i32.mul"]][0] == (header, 5, "// line 5 of share.hpp")
    assert [place for _, place, _ in source_lines(pay)[2]] == [22]
    # What is between lines with code is shown, too.
    assert "// line 3 of share.hpp" in split["listing"]["d"]["l"].split("\n")


@pytest.mark.parametrize("folders", [[], ["elsewhere"]])
def test_no_file_is_read_that_is_not_in_a_folder_of_sources(folders: list[str], dinner_files: Path) -> None:
    (dinner_files / "elsewhere").mkdir()
    (dinner_files / "elsewhere" / "dinner.cpp").symlink_to(dinner_files / "dinner.cpp")
    page = dinner_files / "page.html"
    allowed = [dinner_files / folder for folder in folders]
    write_page(dinner(5, str(dinner_files)), page, tiers=["first"], source_folders=allowed)
    _, split = functions(page.read_text())
    assert {text for places in source_lines(split).values() for _, _, text in places} == {
        "line 2",
        "line 4",
        "line 5",
        "line 12",
        "line 13",
    }


def test_without_what_reads_dwarf_the_page_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["wasmark.debug.explorer.page"], "can_read_debug_info", lambda: False)
    for name, data in (("with.html", dinner()), ("without.html", MODULE)):
        write_page(data, tmp_path / name, tiers=["first"])
    with_dwarf, without = (expanded((tmp_path / name).read_text()) for name in ("with.html", "without.html"))
    assert "pip install 'wasmark[debug]'" in with_dwarf["index"]["note"]
    assert without["index"]["note"] == ""
    assert "d" not in with_dwarf["chunk-0"][0]


def test_source_files_are_found_where_the_module_is(dinner_files: Path, capsys: Capsys) -> None:
    (dinner_files / "dinner.wasm").write_bytes(dinner(5, "/home/somebody/projects/dinner"))
    page = dinner_files / "page.html"
    assert main(["explore", str(dinner_files / "dinner.wasm"), "-o", str(page), "--tier", "first"]) == 0
    _, split = functions(page.read_text())
    assert "// line 12 of dinner.cpp" in split["listing"]["d"]["l"]
    assert "// line 2 of share.hpp" in split["listing"]["d"]["l"]
    other = dinner_files / "include"
    arguments = ["explore", str(dinner_files / "dinner.wasm"), "-o", str(page), "--tier", "first"]
    assert main([*arguments, "--source", str(other)]) == 0
    _, split = functions(page.read_text())
    assert "// line 12 of dinner.cpp" not in split["listing"]["d"]["l"]
    assert "// line 2 of share.hpp" in split["listing"]["d"]["l"]
    assert capsys.readouterr() == ("", "")


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


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    file, page = Path(os.fsdecode(os.fsencode(tmp_path / "m") + b"\xff.wat")), tmp_path / "m.html"
    file.write_text("(module)")
    assert main(["explore", str(file), "-o", str(page)]) == 0
    assert expanded(page.read_text())["index"]["title"] == "m\ufffd.wat"


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
