"""The permanent addresses of the functions of a lazy module, and the way into its compiler.

A function that is compiled lazily has a *thunk*: a few bytes that jump through the function's slot in a table of the
module, which the vmctx points to. References, exports and calls know the thunk; what is behind it can change in one
store. At first the slot leads to the function's *opener*, which notes its number and goes on to code that keeps all
argument registers, asks the store to compile (see `layout.STORE_COMPILE`), and jumps to the answer.

This cannot be a stencil: it passes the arguments of every signature on without knowing them. So it is written in the
bytes of x86-64.
"""

from __future__ import annotations

from array import array

from wasmark.registry.code_object import THUNKS, CodeModule, CodeObject
from wasmark.runtime.code_memory import CodeMemory
from wasmark.runtime.layout import STORE_COMPILE, VMLayout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

_STEP: Final = 16
_SIZE: Final = 10  # of a thunk or an opener, padded to _STEP

# Each followed by bytes that are never reached. The zeros are filled in.
_THUNK: Final = (
    bytes.fromhex("48 8b 47") + bytes([VMLayout.FUNCTION_TABLE]) + bytes.fromhex("ff a0 00000000") + b"\xcc" * 6
)
"""mov rax, [context + FUNCTION_TABLE]; jmp [rax + 8 * number]"""
_THUNK_CONTEXT: Final = (2, (0x47, 0x46))  # the byte that says which register; its values for rdi and rsi
_THUNK_SLOT: Final = 6
_OPENER: Final = bytes.fromhex("b8 00000000 e9 00000000") + b"\xcc" * 6
"""mov eax, number; jmp opening"""
_OPENER_NUMBER: Final = 1
_OPENER_DISTANCE: Final = 6

_VECTORS: Final = bytes.fromhex("0424 4c2410 542420 5c2430 642440 6c2450 742460 7c2470")  # [rsp + 16 * k], xmm<k>


def _each_vector(opcode: bytes) -> bytes:
    """`movups` between each of xmm0 to xmm7 and the stack."""
    operands = [_VECTORS[:2], *(_VECTORS[at : at + 3] for at in range(2, len(_VECTORS), 3))]
    return b"".join(opcode + operand for operand in operands)


def _opening(context: int) -> bytes:
    """What all openers go on to; `context` is 0 where the vmctx is in rdi, 1 where it is in rsi."""
    keep = bytes.fromhex("55 4889e5 57 56 52 51 4150 4151 4881ec80000000") + _each_vector(b"\x0f\x11")
    call = b"" if context else b"\x48\x89\xfe"  # mov rsi, rdi
    call += b"\x89\xc2\x48\x8b\x46\x08"  # mov edx, eax; mov rax, [rsi + STORE_BLOCK]
    call += b"\x48\x8b\x78" + bytes([STORE_COMPILE + 8])  # mov rdi, [rax + the compiler's context]
    call += b"\xff\x50" + bytes([STORE_COMPILE])  # call [rax + the compiler's code]
    restore = _each_vector(b"\x0f\x10") + bytes.fromhex("4881c480000000 4159 4158 59 5a 5e 5f 5d")
    return keep + call + restore + b"\xff\xe0"  # jmp rax


_OPENINGS: Final = (_opening(0), _opening(1))


def _fill(rows: bytearray, at: int, numbers: Iterable[int]) -> None:
    """Write a 32-bit number into each row of _STEP bytes."""
    columns = array("i", numbers).tobytes()
    for byte in range(4):
        rows[at + byte :: _STEP] = columns[byte::4]


class Thunks:
    """The thunks of the functions from `first` on, one for each of `contexts`, which say where its vmctx is, and
    `trampolines`, the code of each signature's (see `ways_in`).

    code: published, with one module, in which each function has the ranges of its thunk and its opener.
    """

    def __init__(self, first: int, contexts: bytes, trampolines: Mapping[str, bytes]) -> None:
        count = len(contexts)
        openers_at = _STEP * count
        openings_at = 2 * openers_at
        thunks = bytearray(_THUNK * count)
        at, registers = _THUNK_CONTEXT
        thunks[at::_STEP] = contexts.translate(bytes(registers) + bytes(254))
        _fill(thunks, _THUNK_SLOT, range(0, 8 * count, 8))
        openers = bytearray(_OPENER * count)
        _fill(openers, _OPENER_NUMBER, range(count))
        ends = range(openers_at + _SIZE, openings_at + _SIZE, _STEP)
        openings = (openings_at, openings_at + len(_OPENINGS[0]))
        _fill(openers, _OPENER_DISTANCE, [openings[which] - end for which, end in zip(contexts, ends, strict=True)])
        code = thunks + openers + b"".join(_OPENINGS)
        places = {}
        for signature, trampoline in trampolines.items():
            code += b"\xcc" * (-len(code) % _STEP)
            places[signature] = len(code)
            code += trampoline
        memory = CodeMemory.allocate(len(code))
        base = self._base = memory.text_start
        memory.write(base, code)
        memory.publish()
        self._first = first
        self._count = count
        self._openers = base + openers_at

        def ranges() -> list[tuple[int, int, int]]:
            return [
                (first + number, start, start + _SIZE)
                for begin in (base, base + openers_at)
                for number, start in enumerate(range(begin, begin + openers_at, _STEP))
            ]

        addresses = {signature: base + at for signature, at in places.items()}
        self.code = CodeObject(memory, base, base + len(code), [CodeModule(ranges, THUNKS)], addresses)

    def address(self, func_index: int) -> int:
        """The permanent address of a function."""
        return self._base + _STEP * (func_index - self._first)

    def openers(self) -> range:
        """Where the slot of each function leads at first."""
        return range(self._openers, self._openers + _STEP * self._count, _STEP)
