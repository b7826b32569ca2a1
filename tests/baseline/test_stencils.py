"""Stencils: valid, free of surprises, and the same after being dumped and loaded; what is damaged is refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from wasmark.baseline import builder
from wasmark.baseline.library import HOLES, Library
from wasmark.compile.numeric import NUMERIC
from wasmark.errors import Error

SIGNATURES = ("ii:i", "iIfFr:iIfF", "IIIIIIIIII:I", ":")


@pytest.fixture(scope="module")
def library() -> Library:
    made = Library()
    made.require(SIGNATURES)
    return made


def names(library: Library) -> list[str]:
    return [row[0] for row in json.loads(library.dump())["stencils"]]


def test_their_ir_is_valid() -> None:
    sources = builder.base_sources() + builder.signature_sources(SIGNATURES)
    stencils, _ = builder.build(sources, 0, verify=True)
    assert set(stencils) == {name for name, _ in sources}


def test_every_numeric_row_has_one(library: Library) -> None:
    assert NUMERIC.keys() <= set(names(library))


def test_only_entries_and_trampolines_touch_the_frame_pointer(library: Library) -> None:
    capstone = pytest.importorskip("capstone", reason="capstone is not installed")
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    for name in names(library):
        code = library[name].data.code
        changes = False
        for instruction in disassembler.disasm(code, 0):
            _, written = instruction.regs_access()
            changes |= any(disassembler.reg_name(r) in ("rbp", "ebp", "bp", "bpl") for r in written)
        assert changes == name.startswith(("entry", "trampoline")), name


def test_all_but_the_last_end_where_the_next_one_starts(library: Library) -> None:
    """A stencil that falls through has no jump at its end, and never more than one hole at a place."""
    for name in names(library):
        stencil = library[name]
        fields = [offset for offset, _, _ in stencil.data.holes] + [row[0] for row in stencil.relocations]
        assert len(set(fields)) == len(fields), name
        assert all(0 <= offset <= stencil.size - 4 for offset in fields), name


def test_filling_in_changes_the_holes_and_nothing_else(library: Library) -> None:
    rng = random.Random(5)
    for name in names(library):
        stencil = library[name]
        values = {hole: rng.randrange(1 << 20) for hole in HOLES}
        number = stencil.number + sum(value * getattr(stencil, hole) for hole, value in values.items())
        code = number.to_bytes(stencil.size, "little")
        expected = bytearray(stencil.data.code)
        for offset, hole, addend in stencil.data.holes:
            expected[offset : offset + 4] = (values[hole] + addend).to_bytes(4, "little")
        assert code == expected, name


def test_a_loaded_library_is_the_dumped_one(library: Library) -> None:
    dump = library.dump()
    loaded = Library.load(dump)
    assert loaded.dump() == dump
    assert loaded.marks == library.marks
    assert loaded.rodata == library.rodata
    for name in names(library):
        one, other = library[name], loaded[name]
        assert [getattr(one, slot) for slot in HOLES] == [getattr(other, slot) for slot in HOLES]
        assert (one.number, one.size, one.mark) == (other.number, other.size, other.mark)
        assert one.relocations == other.relocations


def test_a_loaded_library_grows_like_any_other(library: Library) -> None:
    loaded = Library.load(library.dump())
    assert not loaded.grown
    loaded.require([*SIGNATURES, "f:f"])
    assert loaded.grown
    assert loaded["entry f:f"].size > 0
    assert len(loaded) == len(library) + 6


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_what_was_cut_off_is_refused(library: Library, keep: int) -> None:
    with pytest.raises(Error, match="damaged stencil library"):
        Library.load(library.dump()[:keep])


@pytest.mark.parametrize(
    "damage", ["[]", "{}", '{"format": 1}', '{"format": 1, "rodata": "?", "signatures": []}', "\xff"]
)
def test_what_is_no_library_is_refused(damage: str) -> None:
    with pytest.raises(Error, match="damaged stencil library"):
        Library.load(damage.encode("latin-1"))


def test_another_format_is_refused(library: Library) -> None:
    contents = json.loads(library.dump())
    contents["format"] += 1
    with pytest.raises(Error, match="another version"):
        Library.load(json.dumps(contents).encode())


def test_translating_with_a_loaded_library_needs_no_llvm(library: Library, tmp_path: Path) -> None:
    (tmp_path / "library").write_bytes(library.dump())
    script = """
        import pathlib, sys
        sys.modules["llvmlite"] = None
        from wasmark.baseline.assembler import Context
        from wasmark.baseline.image import FragmentImage
        from wasmark.baseline.library import Library
        from wasmark.baseline.translator import Translator
        from wasmark.binary import decode_body
        from wasmark.compile.check import escaping_signatures, validated_layout
        from wasmark.config import Config
        from wasmark.module import read_module
        library = Library.load(pathlib.Path(sys.argv[1]).read_bytes())
        model = read_module(
            '(module (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
        )
        layout = validated_layout(model, Config().features)
        library.require(["ii:i"])
        function = model.functions[0]
        body = decode_body(model, function.start, function.end)
        fragment = Translator(Context(model, layout, library), 0).translate(body)
        code = FragmentImage([[fragment]], library, escaping_signatures(model, layout)).load()
        print(len(code.modules[0].functions), list(code.trampolines))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "library")],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "1 ['ii:i']\n"), run.stderr
