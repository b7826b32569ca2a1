"""One stencil: as data, and ready to be copied."""

from __future__ import annotations

from wasmark.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

HOLES: Final = "ABCDXYZ"
TAKEN, CALLEE, RODATA, EXTERNAL = range(4)


class StencilData:
    """What there is to know of a stencil.

    holes: (offset, hole, addend) of 4-byte fields that hold a number. taken, callee: (offset, addend) of 4-byte
    fields that hold a distance. rodata: (offset, place, addend) likewise to the library's constants; external: (offset,
    name, addend) to a function of the process. marks: (offset, column), where the column of the line table changes (it
    starts as 0). unsigned: the constants whose holes do not extend their sign.
    """

    __slots__ = ("callee", "code", "external", "holes", "marks", "name", "rodata", "taken", "unsigned")

    def __init__(self, name: str, code: bytes) -> None:
        self.name = name
        self.code = code
        self.holes: list[tuple[int, str, int]] = []
        self.taken: list[tuple[int, int]] = []
        self.callee: list[tuple[int, int]] = []
        self.rodata: list[tuple[int, int, int]] = []
        self.external: list[tuple[int, str, int]] = []
        self.marks: list[tuple[int, int]] = []
        self.unsigned: set[str] = set()

    def row(self) -> tuple[Any, ...]:
        """Everything but the name, as plain values."""
        return (
            *(self.code, self.holes, self.taken, self.callee, self.rodata, self.external, self.marks),
            "".join(sorted(self.unsigned)),
        )

    @staticmethod
    def from_row(name: str, row: tuple[Any, ...]) -> StencilData:
        """The inverse of `row`."""
        found = StencilData(name, row[0])
        *(_, found.holes, found.taken, found.callee, found.rodata, found.external, found.marks), unsigned = row
        found.unsigned = set(unsigned)
        return found


class Stencil:
    """A stencil, ready to be copied: `(number + a * A + ... + z * Z).to_bytes(size, "little")` is its code with all
    holes of numbers filled in.

    A hole's factor is the sum of 256 ** offset over its fields, or 0 where the stencil has no such hole. Values are
    below 2 ** 32, so that nothing is carried from one field into what follows. `mark` numbers its marks in the
    library. `relocations` are the fields that hold distances: (offset, kind, target, addend), where the kind is
    TAKEN, CALLEE, RODATA or EXTERNAL.
    """

    __slots__ = ("A", "B", "C", "D", "X", "Y", "Z", "data", "mark", "number", "relocations", "size", "unsigned")

    def __init__(self, data: StencilData, mark: int) -> None:
        self.data = data
        self.size = len(data.code)
        self.mark = mark
        self.unsigned = data.unsigned
        self.number = int.from_bytes(data.code, "little")
        factors = dict.fromkeys(HOLES, 0)
        for offset, hole, addend in data.holes:
            if addend and hole in "XYZ" and "const" in data.name:
                raise Error(f"stencil {data.name!r} adds to a constant that may be of any size")
            factors[hole] += 1 << 8 * offset
            self.number += addend << 8 * offset
        self.A, self.B, self.C, self.D, self.X, self.Y, self.Z = factors.values()
        rows: list[tuple[int, int, Any, int]] = [(at, TAKEN, None, add) for at, add in data.taken]
        rows += [(at, CALLEE, None, add) for at, add in data.callee]
        rows += [(at, RODATA, place, add) for at, place, add in data.rodata]
        rows += [(at, EXTERNAL, name, add) for at, name, add in data.external]
        self.relocations = tuple(rows)
