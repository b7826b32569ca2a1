"""What the loads and stores of vectors do (core §4.6.3), in the terms of `access`.

A vector that is made of what was loaded leaves its template through an empty piece of assembly: up to there everything
is located at the load, for LLVM may make one instruction of it and give it any of the locations, and behind it nothing
can be merged with the load.
"""

from __future__ import annotations

from wasmark.compile.vector import TYPES, V128

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

VECTOR_LOADS: Final[dict[str, tuple[str, str, str]]] = {
    "v128.load": (V128, "", V128),
    **{
        f"v128.load{bits}x{64 // bits}_{sign}": (f"<{64 // bits} x i{bits}>", "sext" if sign == "s" else "zext", V128)
        for bits in (8, 16, 32)
        for sign in "su"
    },
    **{f"v128.load{bits}_splat": (f"i{bits}", "splat", V128) for bits in (8, 16, 32, 64)},
    **{f"v128.load{bits}_zero": (f"i{bits}", "zero", V128) for bits in (32, 64)},
}
"""Load instruction -> (type in memory, what is made of it or "", result type)."""

LANE_LOADS: Final[dict[str, tuple[str, str]]] = {
    "v128.load8_lane": ("i32.load8_u", "i8x16.replace_lane"),
    "v128.load16_lane": ("i32.load16_u", "i16x8.replace_lane"),
    "v128.load32_lane": ("i32.load", "i32x4.replace_lane"),
    "v128.load64_lane": ("i64.load", "i64x2.replace_lane"),
}
"""A load of one lane -> the two instructions that it is made of."""

LANE_STORES: Final[dict[str, tuple[str, str]]] = {
    "v128.store8_lane": ("i8x16.extract_lane_u", "i32.store8"),
    "v128.store16_lane": ("i16x8.extract_lane_u", "i32.store16"),
    "v128.store32_lane": ("i32x4.extract_lane", "i32.store"),
    "v128.store64_lane": ("i64x2.extract_lane", "i64.store"),
}
"""A store of one lane -> the two instructions that it is made of."""


def vector_load(memory: str, made: str) -> str:
    """The text of a load of less than a vector, of which one is made."""
    if made in ("sext", "zext"):
        count, bits = (int(part.strip("<>i")) for part in memory.split(" x "))
        wide = f"<{count} x i{2 * bits}>"
        text = f"%l{{n}} = load volatile i64, ptr %p{{n}}, align 1@M\n%h{{n}} = bitcast i64 %l{{n}} to {memory}@M\n"
        text += f"%w{{n}} = {made} {memory} %h{{n}} to {wide}@M\n"
    else:
        bits = int(memory[1:])
        wide = TYPES[f"i{bits}x{128 // bits}"]
        start = "poison" if made == "splat" else "zeroinitializer"
        lanes = "zeroinitializer" if made == "splat" else f"<{', '.join(f'i32 {i}' for i in range(128 // bits))}>"
        text = f"%l{{n}} = load volatile {memory}, ptr %p{{n}}, align 1@M\n"
        text += f"%h{{n}} = insertelement {wide} {start}, {memory} %l{{n}}, i32 0@M\n"
        text += f"%w{{n}} = shufflevector {wide} %h{{n}}, {wide} poison, <{128 // bits} x i32> {lanes}@M\n"
    text += f"%x{{n}} = bitcast {wide} %w{{n}} to {V128}@M\n"
    return text + f'{{r}} = call {V128} asm "", "=x,0"({V128} %x{{n}})@M'
