"""What the explorer shows of a function, as plain data that becomes JSON: lines of wasm and of machine code, and which
belong together.

A *row* is a line of the wasm text, counted from 0: the head of the function, its locals if it declares any, each
instruction, the closing parenthesis. Machine code that belongs to no instruction, such as a prologue, belongs to row 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.binary import decode_body
from wasmark.debug.disassembly import Disassembler
from wasmark.errors import TrapCode
from wasmark.registry.names import demangled
from wasmark.registry.process_table import find_code
from wasmark.registry.table import function_names
from wasmark.text.printer import print_functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wasmark import Module
    from wasmark.debug.explorer.sources import Sources
    from wasmark.registry import CodeObject

NO_ROW: Final = -1
"""The row of machine code whose instruction is not one of the function's own."""


class Lister:
    """Lists the functions of a module that was compiled once for each tier.

    modules: the same module, with all of its functions compiled. sources: where its source lines come from. Raises
    Error where capstone is not installed.
    """

    def __init__(self, modules: Sequence[Module], sources: Sources | None = None) -> None:
        self.model = modules[0].model
        self.sources = sources
        self.names = {index: demangled(name) for index, name in function_names(self.model).items()}
        self._disassembler = Disassembler()
        self._places: list[dict[int, list[tuple[int, int]]]] = []
        for module in modules:
            places: dict[int, list[tuple[int, int]]] = {}
            for index, start, end in module.finished_functions():
                places.setdefault(index, []).append((start, end))
            self._places.append(places)

    def functions(self) -> Iterator[dict[str, Any]]:
        """One dictionary for each function that the module defines:

        w: its wasm text, a row a line. o: the module offset of each row, as distances from the one before, the first
        from 0 (the row of the locals has the function's). t: for each tier, its machine code, as `_machine_code` has
        it. d: its source lines, as `Sources.of` has them; nothing without DWARF.
        """
        model = self.model
        for number, lines in enumerate(print_functions(model)):
            function = model.functions[number]
            places = [offset for _, _, offset in decode_body(model, function.start, function.end)]
            heads = len(lines) - len(places)  # the final `end` is the bracket
            offsets = [function.entry] * heads + places
            rows = {offset: row for row, offset in enumerate(offsets)}
            rows[function.entry] = rows[0] = 0
            index = model.imported["func"] + number
            listing: dict[str, Any] = {
                "w": "\n".join(line[2:] for line in lines),
                "o": _distances(offsets),
                "t": [self._machine_code(places.get(index, []), rows) for places in self._places],
            }
            if self.sources is not None:
                listing["d"] = self.sources.of(offsets)
            yield listing

    def _machine_code(self, ranges: Sequence[tuple[int, int]], rows: dict[int, int]) -> dict[str, Any]:
        """m: machine instructions, one a line. z: the size of each in bytes. r: the row of each, as the distance from
        that of the one before. x: the line and the trap code of those that may trap, one behind the other."""
        text: list[str] = []
        sizes: list[int] = []
        owners: list[int] = []
        traps: list[int] = []
        for start, end in ranges:
            code = find_code(start)
            assert code is not None, "the module keeps its code"
            stretches = iter(code.lines.stretches(start, end))
            behind, row = start, NO_ROW
            may_trap = code.trap_map(start, end)
            for address, size, mnemonic, operands in self._disassembler.instructions(start, end):
                while behind <= address:
                    _, behind, offset, _ = next(stretches)
                    row = rows.get(offset, NO_ROW)
                if may_trap[address - start] and (trap := _trap(code, address, mnemonic, operands)) is not None:
                    traps += (len(text), trap)
                if operands.startswith("0x") and mnemonic[0] in "cj":
                    operands = self._target(code, int(operands, 16), start, end)
                text.append(f"{mnemonic} {operands}" if operands else mnemonic)
                sizes.append(size)
                owners.append(row)
        return {"m": "\n".join(text), "z": sizes, "r": _distances(owners), "x": traps}

    def _target(self, code: CodeObject, target: int, start: int, end: int) -> str:
        """Where a call or a jump leads: a place in the same function, or in another one, or elsewhere."""
        if start <= target < end:
            return f"+{target - start:#x}"
        found = code.find_function(target)
        if found is None:
            return "outside"
        return self.names.get(found[1], f"func[{found[1]}]")


def _trap(code: CodeObject, address: int, mnemonic: str, operands: str) -> TrapCode | None:
    """The trap of an instruction. An access to a linear memory takes several, and the line table says of all of them
    that it may trap there: it is those that have an address which do, if that is not one on the native stack."""
    trap = code.trap_code(address)
    if trap is TrapCode.MEMORY_OUT_OF_BOUNDS and (
        "[" not in operands or "[rbp" in operands or "[rsp" in operands or mnemonic in ("lea", "nop")
    ):
        return None
    return trap


def _distances(values: Sequence[int]) -> list[int]:
    """Each value less the one before it: small numbers, which compress well."""
    return [value - before for before, value in zip([0, *values], values, strict=False)]
