"""Stencils: valid, free of surprises, and the same after being dumped and loaded; what is damaged is refused."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from wasmark.baseline import builder
from wasmark.baseline.compose import is_composed, pieces
from wasmark.baseline.compose import names as names_of
from wasmark.baseline.library import Library
from wasmark.baseline.stencil import HOLES
from wasmark.compile.numeric import NUMERIC

SIGNATURES = ("ii:i", "iIfFr:iIfF", "IIIIIIIIII:I", ":", "FiFiFiFiFiFiFiFiFiFiFi:", "iiiiiifi:fi")


@pytest.fixture(scope="module")
def library() -> Library:
    made = Library()
    made.require(SIGNATURES)
    return made


def names(library: Library) -> list[str]:
    """Of all stencils: the pieces, and what is composed of them."""
    return library.names() + [name for signature in SIGNATURES for name in names_of(signature)]


def test_their_ir_is_valid() -> None:
    wanted = pieces(s for s in SIGNATURES if is_composed(s))
    wanted |= {name for s in SIGNATURES if not is_composed(s) for name in names_of(s)}
    sources = builder.base_sources() + builder.sources_of(wanted)
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
        assert changes == name.removeprefix("piece ").startswith(("entry", "trampoline")), name


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


def test_a_library_made_of_rows_is_the_one_that_had_them(library: Library) -> None:
    loaded = Library.from_bytes(library.to_bytes())
    assert loaded.rows() == library.rows()
    assert loaded.rodata == library.rodata
    for name in names(library):
        one, other = library[name], loaded[name]
        assert [getattr(one, slot) for slot in HOLES] == [getattr(other, slot) for slot in HOLES]
        assert (one.number, one.size) == (other.number, other.size)
        assert library.marks[one.mark] == loaded.marks[other.mark]
        assert one.relocations == other.relocations


def test_a_library_made_of_rows_grows_like_any_other(library: Library) -> None:
    loaded = Library(*library.rows())
    assert not loaded.grown
    loaded.require([*SIGNATURES, "f:f"])
    assert loaded.grown
    assert loaded["entry f:f"].size > 0
    assert set(loaded.names()) - set(library.names()) == {
        *("piece entry :F", "piece entry leaf :F", "piece entry leaving :F", "piece call 0:F", "piece slot 0:F"),
        *("piece through 0:F", "piece guarded 0:F", "piece code 0:F"),
    }


def test_signatures_with_the_same_classes_share_their_stencils(library: Library) -> None:
    assert library["call ii:i"] is library["call II:I"] is library["call rr:r"]


def test_nothing_is_made_for_signatures_of_pieces_that_are_there(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "build", None)
    library.require(["FFFFFFFFi:I", "rIf:", "iiIii:r"])
    assert library["entry FFFFFFFFi:I"].size > 0
    with pytest.raises(KeyError):
        library["no such stencil"]


def test_translating_with_a_loaded_library_needs_no_llvm(library: Library, tmp_path: Path) -> None:
    (tmp_path / "library").write_bytes(library.to_bytes())
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
        from wasmark.core.flavour import STANDARD
        from wasmark.module import read_module
        library = Library.from_bytes(pathlib.Path(sys.argv[1]).read_bytes())
        model = read_module(
            '(module (func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
        )
        layout = validated_layout(model, Config().features)
        library.require(["ii:i"])
        function = model.functions[0]
        body = decode_body(model, function.start, function.end)
        fragment = Translator(Context(model, layout, library, STANDARD), 0).translate(body)
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
