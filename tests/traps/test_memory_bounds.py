"""Every load and store of the opcode table at the edge of its memory: whatever becomes of the value, whatever the
offset, the kind and the number of the memory."""

from __future__ import annotations

import random
import struct
from typing import Any, Final

import pytest

import wasmark
from tests.traps.support import ENGINES, catch, check, place
from wasmark import TrapCode
from wasmark.core.features import Feature
from wasmark.core.opcodes import OPCODES, Opcode

PAGE: Final = 1 << 16
GUARD: Final = 64 << 20
"""Up to here a constant offset needs no check of its own; both sides of it are tried."""

ACCESSES: Final = [
    row
    for row in OPCODES
    if row.access and row.feature not in (Feature.SIMD, Feature.THREADS)  # those are in tests of their own
]
LOADS: Final = [row for row in ACCESSES if row.sig.startswith("a:")]
STORES: Final = [row for row in ACCESSES if row.sig.endswith(":")]
TYPES: Final = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}

# What becomes of a loaded value, by its type; `$x` is the load. All of it is where a compiler would like to fold the
# load into the instruction that uses it, or to do without it.
_INTEGER: Final = (
    "(drop $x)",
    "(local.set 1 $x)",
    "(local.set 1 (T.add $x (T.const 1)))",
    "(local.set 1 (T.add (local.get 1) $x)) (call $use (local.get 1))",
    "(call $use (T.sub $x (local.get 1)))",
    "(call $use (T.mul (local.get 1) $x))",
    "(call $use (T.and $x (T.const 0xff)))",
    "(call $use (T.and $x (T.const 0)))",
    "(call $use (T.shl (local.get 1) $x))",
    "(call $use (T.rotr $x (T.const 8)))",
    "(call $use (T.extend8_s $x))",
    "(call $use (T.popcnt $x))",
    "(call $use (T.div_u (T.const 100) $x))",
    "(if (T.eqz $x) (then (call $use (T.const 1))))",
    "(if (T.lt_s $x (local.get 1)) (then (call $use (T.const 1))))",
    "(block (br_if 0 (T.eq $x (T.const 7))) (call $use (T.const 2)))",
    "(call $use (select $x (local.get 1) (local.get 0)))",
    "(call $use (T.xor $x $x))",
    "(T.store $to (local.get 1))".replace("$to", "(i32.const 16)") + " (T.store (i32.const 24) $x)",
    "(global.set $kept $x)",
    "(return (drop $x))",
)
_FLOAT: Final = (
    "(drop $x)",
    "(local.set 1 $x)",
    "(call $use (T.add (local.get 1) $x))",
    "(call $use (T.mul $x (T.const 0)))",
    "(call $use (T.neg $x))",
    "(call $use (T.abs $x))",
    "(call $use (T.sqrt $x))",
    "(call $use (T.min $x (local.get 1)))",
    "(call $use (T.copysign (local.get 1) $x))",
    "(if (T.lt $x (local.get 1)) (then (call $use (T.const 1))))",
    "(if (T.ne $x $x) (then (call $use (T.const 1))))",
    "(drop (i64.trunc_sat_T_s $x))",
    "(T.store (i32.const 24) $x)",
    "(global.set $kept $x)",
)
_EXTRA: Final = {
    "i32": ("(drop (i64.extend_i32_s $x))", "(drop (f64.convert_i32_u $x))", "(drop (f32.reinterpret_i32 $x))"),
    "i64": ("(drop (i32.wrap_i64 $x))", "(call $use (i64.extend32_s $x))", "(drop (f64.reinterpret_i64 $x))"),
    "f32": ("(drop (f64.promote_f32 $x))", "(drop (i32.reinterpret_f32 $x))"),
    "f64": ("(drop (f32.demote_f64 $x))", "(drop (i64.reinterpret_f64 $x))"),
}


@pytest.fixture(params=["eager", "baseline"], scope="module")
def engine(request: pytest.FixtureRequest) -> wasmark.Engine:
    return ENGINES[request.param]


def instantiate(module: wasmark.Module) -> wasmark.Instance:
    """An instance in a store of its own."""
    return wasmark.Instance(module, store=wasmark.Store(module.engine))


def value_type(row: Opcode) -> str:
    """The type of the value that is loaded or stored."""
    return TYPES[row.sig.strip("a:")]


def load_users(row: Opcode, address: str = "(local.get 0)") -> list[str]:
    """Bodies that load and use what they loaded; local 0 is the address, local 1 has the value's type."""
    type_ = value_type(row)
    users = [*(_INTEGER if type_[0] == "i" else _FLOAT), *_EXTRA[type_]]
    return [user.replace("T", type_).replace("$x", f"({row.name} {address})") for user in users]


@pytest.mark.parametrize("row", LOADS, ids=lambda row: row.name)
def test_a_load_traps_at_its_own_offset_whatever_uses_its_value(row: Opcode, engine: wasmark.Engine) -> None:
    type_ = value_type(row)
    users = load_users(row)
    functions = "\n".join(
        f'(func $user{n} (export "user{n}") (param i32) (local {type_}) {user})' for n, user in enumerate(users)
    )
    module = wasmark.Module(
        f"(module (memory 1) (global $kept (mut {type_}) ({type_}.const 0)) (func $use (param {type_})) {functions})",
        engine,
    )
    instance = instantiate(module)
    for n in range(len(users)):
        function = instance.exports[f"user{n}"]
        trap = catch(function, PAGE - row.access + 1)
        check(trap, instance.store, TrapCode.MEMORY_OUT_OF_BOUNDS, [place(module, f"user{n}", row.name)])
        trap = catch(function, -1)
        check(trap, instance.store, TrapCode.MEMORY_OUT_OF_BOUNDS, [place(module, f"user{n}", row.name)])
        if "div_u" not in users[n]:
            assert function(PAGE - row.access) is None


@pytest.mark.parametrize("row", STORES, ids=lambda row: row.name)
def test_a_store_traps_at_its_own_offset_whatever_it_stores(row: Opcode, engine: wasmark.Engine) -> None:
    type_ = value_type(row)
    values = [
        "(local.get 1)",
        f"({type_}.const 0)",
        f"({type_}.const -1)",
        f"({type_}.load (i32.const 8))",
        f"({type_}.add (local.get 1) ({type_}.const 3))",
        f"({type_}.sub ({type_}.load (i32.const 0)) (local.get 1))",
        "(call $give)",
    ]
    bodies = [f"({row.name} (local.get 0) {value})" for value in values]
    # Stores next to each other, which could be one, and a store that a later one hides.
    pair = f"({row.name} (i32.const 64) (local.get 1)) ({row.name} (local.get 0) (local.get 1))"
    hidden = f"({row.name} (local.get 0) (local.get 1)) ({row.name} (local.get 0) ({type_}.const 5))"
    functions = "\n".join(
        f'(func $user{n} (export "user{n}") (param i32 {type_}) {body})'
        for n, body in enumerate([*bodies, pair, hidden])
    )
    module = wasmark.Module(
        f'(module (memory (export "memory") 1) (func $give (result {type_}) ({type_}.const 9)) {functions})',
        engine,
    )
    instance = instantiate(module)
    argument = 7 if type_[0] == "i" else 7.0
    last = len(bodies)
    for n in range(last + 2):
        function = instance.exports[f"user{n}"]
        expected = [place(module, f"user{n}", row.name, nth=1 if n == last else 0)]
        for address in (PAGE - row.access + 1, -1):
            trap = catch(function, address, argument)
            check(trap, instance.store, TrapCode.MEMORY_OUT_OF_BOUNDS, expected)
        assert instance.exports.memory[PAGE - row.access :] == bytes(row.access)
        assert function(PAGE - row.access, argument) is None
        instance.exports.memory[PAGE - row.access :] = bytes(row.access)
    assert any(instance.exports.memory[64 : 64 + row.access])  # the store before the one that trapped has happened


@pytest.mark.parametrize("row", LOADS, ids=lambda row: row.name)
def test_two_loads_of_which_the_second_traps_blame_the_second(row: Opcode, engine: wasmark.Engine) -> None:
    type_ = value_type(row)
    add = f"{type_}.add"
    module = wasmark.Module(
        f"""(module (memory 1)
        (func $both (export "both") (param i32 i32) (result {type_})
          ({add} ({row.name} (local.get 0)) ({row.name} (local.get 1))))
        (func $chosen (export "chosen") (param i32 i32 i32) (result {type_})
          (if (result {type_}) (local.get 2)
            (then ({row.name} (local.get 0))) (else ({row.name} (local.get 1))))))""",
        engine,
    )
    instance = instantiate(module)
    for bad, arguments in ((1, (0, -8)), (0, (-8, 0)), (0, (-8, -8))):
        trap = catch(instance.exports.both, *arguments)
        check(trap, instance.store, TrapCode.MEMORY_OUT_OF_BOUNDS, [place(module, "both", row.name, bad)])
    for which, arguments in ((0, (-8, 0, 1)), (1, (0, -8, 0))):
        assert instance.exports.chosen(*reversed(arguments[:2]), arguments[2]) == 0
        trap = catch(instance.exports.chosen, *arguments)
        check(trap, instance.store, TrapCode.MEMORY_OUT_OF_BOUNDS, [place(module, "chosen", row.name, which)])


# --- every offset, size of memory and kind of memory --------------------------------------------------

OFFSETS_32: Final = (0, 1, 8, 4095, 4096, PAGE - 8, PAGE - 1, PAGE, GUARD - 8, GUARD - 1, GUARD, 1 << 31, (1 << 32) - 1)
OFFSETS_64: Final = (*OFFSETS_32, 1 << 32, 1 << 40, (1 << 63) - 8, 1 << 63, (1 << 64) - 1)


def edges(offset: int, access: int, length: int, bits: int) -> list[int]:
    """Addresses around the one where an access ends with the memory, and those that a sum of 32 or 64 bits would
    wrap."""
    edge = length - offset - access
    rng = random.Random(offset * 8 + access)
    candidates = {edge - 1, edge, edge + 1, edge + access, 0, 1, length - 1, length, (1 << 31) - 1, 1 << 31}
    candidates |= {(1 << bits) - 1, (1 << bits) - access, (1 << bits) - offset, rng.randrange(1 << bits)}
    return [address for address in sorted(candidates) if 0 <= address < 1 << bits]


def pattern(length: int) -> bytes:
    """Bytes that tell where they come from, and have both signs."""
    return bytes((17 * i + (i >> 8)) & 0xFF for i in range(length))


def loaded(row: Opcode, data: bytes) -> int:
    """What a load makes of its bytes, as unsigned bits."""
    number = int.from_bytes(data, "little", signed=row.name.endswith("_s"))
    return number & ((1 << int(value_type(row)[1:])) - 1)


class Bounds:
    """A module with every access at every offset, to one memory."""

    def __init__(self, memory: str, index: int, bits: int, offsets: tuple[int, ...], engine: wasmark.Engine) -> None:
        self.bits = bits
        self.offsets = offsets
        parts = []
        for row in ACCESSES:
            type_ = value_type(row)
            for offset in offsets:
                where = f"{index} offset={offset} (local.get 0)"
                name = f"{row.name} {offset}"
                head = f'(func ${name.replace(" ", "-")} (export "{name}") (param i{bits}'
                if row in LOADS:
                    parts.append(f"{head}) (result {type_}) ({row.name} {where}))")
                else:
                    parts.append(f"{head} {type_}) ({row.name} {where} (local.get 1)))")
        grow = f'(func (export "grow") (param i{bits}) (result i{bits}) (memory.grow {index} (local.get 0)))'
        self.module = wasmark.Module(
            f'(module {memory} (export "memory" (memory {index})) {grow} {"".join(parts)})', engine
        )

    def run(self, instance: wasmark.Instance) -> None:
        """Every access at its edges: it traps exactly where it has to, and else it is right."""
        memory = instance.exports.memory
        length = len(memory)
        tail = pattern(min(length, PAGE))
        start = length - len(tail)
        memory[start:] = tail
        if length:
            memory[: len(tail)] = tail
        view = memoryview(memory)
        for row in ACCESSES:
            width = row.access
            for offset in self.offsets:
                function = instance.exports[f"{row.name} {offset}"]
                for address in edges(offset, width, length, self.bits):
                    at = address + offset
                    if at + width > length:
                        self.traps(instance, function, row, offset, address, tail)
                    elif row in LOADS:
                        assert function.call_bits([address]) == [loaded(row, bytes(view[at : at + width]))]
                    else:
                        before = bytes(view[at : at + width])
                        bits = 0xF1E2D3C4B5A69788
                        function.call_bits([address, bits])
                        assert view[at : at + width] == bits.to_bytes(8, "little")[:width]
                        view[at : at + width] = before
        assert memory[start:] == tail

    def traps(
        self, instance: wasmark.Instance, function: Any, row: Opcode, offset: int, address: int, tail: bytes
    ) -> None:
        arguments = [address] if row in LOADS else [address, (1 << 64) - 1]
        trap = catch(function.call_bits, arguments)
        assert trap.code is TrapCode.MEMORY_OUT_OF_BOUNDS
        expected = place(self.module, f"{row.name}-{offset}", row.name)
        assert (trap.frames[0].func_index, trap.frames[0].module_offset) == (
            expected.func_index,
            expected.module_offset,
        )
        assert instance.store.registry.lookup_trap_code(trap.pc) is TrapCode.MEMORY_OUT_OF_BOUNDS


@pytest.fixture(scope="module")
def single(engine: wasmark.Engine) -> Bounds:
    return Bounds("(memory 1)", 0, 32, OFFSETS_32, engine)


def test_bounds_of_a_32_bit_memory_before_and_after_it_grows(single: Bounds) -> None:
    instance = instantiate(single.module)
    single.run(instance)
    assert instance.exports.grow(1) == 1
    single.run(instance)


def test_bounds_of_a_memory_without_pages(engine: wasmark.Engine) -> None:
    bounds = Bounds("(memory 0)", 0, 32, (0, 1, PAGE, GUARD - 1, GUARD, (1 << 32) - 1), engine)
    instance = instantiate(bounds.module)
    bounds.run(instance)
    assert instance.exports.grow(1) == 0
    bounds.run(instance)


def test_bounds_of_a_memory_that_others_stand_before(engine: wasmark.Engine) -> None:
    bounds = Bounds("(memory 3) (memory i64 2) (memory 1)", 2, 32, (0, 8, PAGE, GUARD, (1 << 32) - 1), engine)
    bounds.run(instantiate(bounds.module))


def test_bounds_of_a_64_bit_memory_before_and_after_it_grows(engine: wasmark.Engine) -> None:
    bounds = Bounds("(memory i64 1)", 0, 64, OFFSETS_64, engine)
    instance = instantiate(bounds.module)
    bounds.run(instance)
    assert instance.exports.grow(2) == 1
    bounds.run(instance)


def test_bounds_of_a_64_bit_memory_with_a_number(engine: wasmark.Engine) -> None:
    bounds = Bounds("(memory 2) (memory i64 1)", 1, 64, (0, 1, GUARD, 1 << 32, (1 << 64) - 1), engine)
    bounds.run(instantiate(bounds.module))


def test_the_last_bytes_of_four_gibibytes_are_there_and_nothing_behind_them(engine: wasmark.Engine) -> None:
    module = wasmark.Module(
        """(module (memory (export "memory") 65536)
        (func $load (export "load") (param i32) (result i64) (i64.load (local.get 0)))
        (func $far (export "far") (param i32) (result i32) (i32.load8_u offset=0xffffffff (local.get 0))))""",
        engine,
    )
    instance = instantiate(module)
    memory = instance.exports.memory
    assert len(memory) == 1 << 32
    memory[(1 << 32) - 8 :] = bytes(range(1, 9))
    assert instance.exports.load(-8) == int.from_bytes(bytes(range(1, 9)), "little")
    assert instance.exports.far(0) == 8
    for address in range(-7, 0):
        assert catch(instance.exports.load, address).code is TrapCode.MEMORY_OUT_OF_BOUNDS
    for address in (1, -1, 1 << 31):
        assert catch(instance.exports.far, address).code is TrapCode.MEMORY_OUT_OF_BOUNDS
    assert memory.grow(0) == 65536
    with pytest.raises(ValueError, match="cannot grow"):
        memory.grow(1)


# --- bulk instructions --------------------------------------------------------------------------------

BULK: Final = """(module
  (memory (export "memory") 1) (memory $other 2)
  (table $table (export "table") 10 funcref) (table $second 4 funcref)
  (func $f) (elem $items func $f $f $f) (data $bytes "abcd")
  (func $fill (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func $copy (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func $across (export "across") (param i32 i32 i32)
    (memory.copy 0 $other (local.get 0) (local.get 1) (local.get 2)))
  (func $init (export "init") (param i32 i32 i32) (memory.init $bytes (local.get 0) (local.get 1) (local.get 2)))
  (func $drop (export "drop") (data.drop $bytes) (elem.drop $items))
  (func $table_fill (export "table_fill") (param i32 i32)
    (table.fill $table (local.get 0) (ref.func $f) (local.get 1)))
  (func $table_copy (export "table_copy") (param i32 i32 i32)
    (table.copy $table $second (local.get 0) (local.get 1) (local.get 2)))
  (func $table_init (export "table_init") (param i32 i32 i32)
    (table.init $table $items (local.get 0) (local.get 1) (local.get 2))))"""

# name -> (instruction, lengths of the spaces that each range has to fit, number of extra operands between)
_RANGES: Final[dict[str, tuple[str, tuple[int, ...], TrapCode]]] = {
    "fill": ("memory.fill", (PAGE,), TrapCode.MEMORY_OUT_OF_BOUNDS),
    "copy": ("memory.copy", (PAGE, PAGE), TrapCode.MEMORY_OUT_OF_BOUNDS),
    "across": ("memory.copy", (PAGE, 2 * PAGE), TrapCode.MEMORY_OUT_OF_BOUNDS),
    "init": ("memory.init", (PAGE, 4), TrapCode.MEMORY_OUT_OF_BOUNDS),
    "table_fill": ("table.fill", (10,), TrapCode.TABLE_OUT_OF_BOUNDS),
    "table_copy": ("table.copy", (10, 4), TrapCode.TABLE_OUT_OF_BOUNDS),
    "table_init": ("table.init", (10, 3), TrapCode.TABLE_OUT_OF_BOUNDS),
}


@pytest.mark.parametrize("name", _RANGES)
def test_bulk_instructions_trap_before_they_change_anything(name: str, engine: wasmark.Engine) -> None:
    instruction, spaces, code = _RANGES[name]
    module = wasmark.Module(BULK, engine)
    instance = instantiate(module)
    memory, table = instance.exports.memory, instance.exports.table
    memory[:] = pattern(PAGE)
    function = instance.exports[name]
    expected = [place(module, name, instruction)]
    lengths = sorted({0, 1, 2, *(n for s in spaces for n in (s - 1, s, s + 1)), 1 << 31, (1 << 32) - 1})
    starts = [sorted({0, 1, s - 2, s - 1, s, s + 1, 1 << 31, (1 << 32) - 1}) for s in spaces]
    for length in lengths:
        for first in starts[0]:
            for second in starts[1] if len(spaces) == 2 else [0xAB]:
                places = (first, second) if len(spaces) == 2 else (first,)
                middle = (second,) if name != "table_fill" else ()
                arguments = (first, *middle, length)
                before = memory[:], list(table)
                if all(start >= 0 and start + length <= space for start, space in zip(places, spaces, strict=True)):
                    assert function(*arguments) is None
                    memory[:] = before[0]
                else:
                    check(catch(function, *arguments), instance.store, code, expected)
                    assert (memory[:], list(table)) == before


def test_dropped_segments_are_empty(engine: wasmark.Engine) -> None:
    module = wasmark.Module(BULK, engine)
    instance = instantiate(module)
    instance.exports.drop()
    for name, instruction, code in (
        ("init", "memory.init", TrapCode.MEMORY_OUT_OF_BOUNDS),
        ("table_init", "table.init", TrapCode.TABLE_OUT_OF_BOUNDS),
    ):
        assert instance.exports[name](0, 0, 0) is None
        check(catch(instance.exports[name], 0, 0, 1), instance.store, code, [place(module, name, instruction)])
        check(catch(instance.exports[name], 0, 1, 0), instance.store, code, [place(module, name, instruction)])


def test_what_was_stored_before_a_trap_is_there_after_it(engine: wasmark.Engine) -> None:
    module = wasmark.Module(
        """(module (memory (export "memory") 1) (global $g (export "g") (mut i64) (i64.const 0))
        (func (export "run") (param i32 f64)
          (i32.store (i32.const 0) (i32.const 0x11223344))
          (global.set $g (i64.const 5))
          (f64.store offset=8 (i32.const 0) (local.get 1))
          (drop (i32.load (local.get 0)))
          (i32.store (i32.const 0) (i32.const -1))
          (global.set $g (i64.const 6))))""",
        engine,
    )
    instance = instantiate(module)
    catch(instance.exports.run, -1, 2.5)
    assert instance.exports.memory[:16] == struct.pack("<Iid", 0x11223344, 0, 2.5)
    assert instance.exports.g.value == 5
