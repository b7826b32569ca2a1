"""The stencils of instructions on structures, arrays, i31 references and casts, made of the templates of
`compile.objects`; see `shapes` for what a stencil is.

Where there are more operands than holes, they are in successive slots, of which A is the first.
"""

from __future__ import annotations

from wasmark.baseline.shape import COMMON, constant, load_slot, operands, plain
from wasmark.compile.abi import slot_places, split_signature
from wasmark.compile.objects import OBJECTS, WIDTHS
from wasmark.compile.vector import V128
from wasmark.runtime.layout import SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_HOLES: Final = {
    "o": constant("X"),
    "o2": constant("Y"),
    "size": constant("Y"),
    "place": constant("Y"),
    "length": constant("Z", "i32"),
}

_VALUES: Final = {"i64": ("I", "i64"), "v128": ("v", V128)}
"""(letter, LLVM type) of the values of fields, but for an i32."""

_SUCCESSIVE: Final = ("a", "b", "c", "c2", "c3")


def _one(name: str, letters: str, result: str = "") -> tuple[str, str]:
    """A stencil that is one template, with the types of its operands and of its result."""
    if len(letters) <= 3:
        before, named = operands(letters), {}
    else:
        types, _ = split_signature(f"{letters}:")
        before = "".join(
            load_slot(f"%{operand}", type_, "A", SLOT_SIZE * place)
            for operand, type_, place in zip(_SUCCESSIVE, types, slot_places(types), strict=False)
        )
        named = {"c2": "%c2", "c3": "%c3"}
    return name, plain(before + OBJECTS[name].format(**COMMON, **_HOLES, **named), result)


def object_shapes() -> Iterator[tuple[str, str]]:
    """(name, body) of each."""
    for memory in WIDTHS:
        letter, value = _VALUES.get(memory, ("i", "i32"))
        for sign in ("_s", "_u") if memory in ("i8", "i16") else ("",):
            yield _one(f"struct.get{sign} {memory}", "r", value)
            yield _one(f"array.get{sign} {memory}", "ri", value)
        yield _one(f"struct.set {memory}", "r" + letter)
        yield _one(f"array.set {memory}", "ri" + letter)
        yield _one(f"initial {memory}", "r" + letter)
        yield _one(f"array.new {memory}", letter + "i", "ptr")
        yield _one(f"array.fill {memory}", "ri" + letter + "i")
    for shift in range(len(WIDTHS)):
        yield _one(f"array.new_default {shift}", "i", "ptr")
        yield _one(f"array.new_data {shift}", "ii", "ptr")
        yield _one(f"array.init_data {shift}", "riii")
        yield _one(f"array.copy {shift}", "ririi")
    yield _one("struct.new", "", "ptr")
    yield _one("array.new_fixed", "", "ptr")
    yield _one("array.new_elem", "ii", "ptr")
    yield _one("array.init_elem", "riii")
    yield _one("array.len", "r", "i32")
    yield _one("ref.eq", "rr", "i32")
    yield _one("ref.i31", "i", "ptr")
    yield _one("i31.get_s", "r", "i32")
    yield _one("i31.get_u", "r", "i32")
    for name in OBJECTS:
        if name.startswith("ref.test"):
            yield _one(name, "r", "i32")
        elif name.startswith("ref.cast"):
            yield _one(name, "r")
