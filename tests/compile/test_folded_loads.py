"""Float arithmetic reads an operand from memory by itself, and a fault there still is the load's."""

from __future__ import annotations

import ctypes
import itertools
import random
import re
from typing import Any, Final

import capstone
import pytest

from wasmark import Config, Engine, Instance, Module, Trap, TrapCode
from wasmark.binary import decode_body

OPERATIONS: Final = ("add", "sub", "mul", "div")
TYPES: Final = ("f32", "f64")
MEMORY: Final = '(memory (export "memory") 1)'


class Writer:
    """Expressions of one float type with loads in them; the parameter `$k` says which one is out of bounds."""

    def __init__(self, type_: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.type = type_

    def load(self) -> str:
        bad = "(i32.shl (i32.eq (local.get $k) (i32.const NUMBER)) (i32.const 31))"
        offset = f"offset={8 * self.rng.randrange(1, 100)} " if self.rng.random() < 0.5 else ""
        return f"({self.type}.load {offset}(i32.or (i32.const {8 * self.rng.randrange(100)}) {bad}))"

    def leaf(self) -> str:
        rng, t = self.rng, self.type
        forms = [
            "(local.get $x)",
            f"({t}.const {rng.choice((0, 1, -1, 2, 0.5, 1e9))})",
            f"({t}.convert_i32_s (local.get $k))",
            f"(local.tee $x {self.load()})",
            f"({t}.neg {self.load()})",
            f"(block (result {t}) {self.load()} (br_if 0 (i32.eq (local.get $k) (i32.const -1))))",
            f"(block (result {t}) ({t}.store (i32.const 2000) (local.get $x)) ({t}.const 3))",
        ]
        return rng.choice(forms) if rng.random() < 0.4 else self.load()

    def tree(self, depth: int) -> str:
        if depth == 0 or self.rng.random() < 0.1:
            return self.leaf()
        rng, t = self.rng, self.type
        value = f"({t}.{rng.choice(OPERATIONS)} {self.tree(depth - 1)} {self.tree(depth - 1)})"
        extra = rng.random()
        if extra < 0.15:
            return f"({t}.{rng.choice(('neg', 'abs', 'sqrt'))} {value})"
        if extra < 0.25:
            less = f"({t}.lt {value} {self.load()})"
            return f"(select (local.get $x) ({t}.const 4) {less})"
        if extra < 0.35:
            return f"(if (result {t}) (local.get $yes) (then {value}) (else ({t}.mul (local.get $x) {self.load()})))"
        return value

    def function(self) -> str:
        numbers = itertools.count()
        text = re.sub("NUMBER", lambda _: str(next(numbers)), self.tree(4))
        return f'(func (export "f") (param $k i32) (param $x {self.type}) (param $yes i32) (result {self.type}) {text})'


@pytest.fixture(scope="module", params=[(type_, seed) for type_ in TYPES for seed in range(25)], ids=str)
def written(request: pytest.FixtureRequest) -> tuple[str, str]:
    type_, seed = request.param
    return type_, f"(module {MEMORY} {Writer(type_, seed).function()})"


def load_offsets(module: Module, type_: str) -> list[int]:
    """Offsets of the loads of a module's only function, in the order in which they are written and run."""
    function = module.model.functions[0]
    body = decode_body(module.model, function.start, function.end)
    return [offset for row, _, offset in body if row.name == f"{type_}.load"]


def outcome(call: Any, *args: Any) -> Any:
    """The result as text (a NaN may have any sign), or (code, offset) of a trap."""
    try:
        return repr(call(*args))
    except Trap as trap:
        return trap.code, trap.frames[0].module_offset


def test_a_load_that_faults_is_looked_up_as_itself(written: tuple[str, str]) -> None:
    """And the first tier, where an instruction is never part of another one, gives the same results and traps."""
    type_, text = written
    module = Module(text)
    offsets = load_offsets(module, type_)
    first_tier = Module(text, Engine(Config(strategy="baseline")))
    calls = [Instance(m).exports.f for m in (module, first_tier)]
    trapped = set()
    for k in range(-1, len(offsets)):
        for yes in (0, 1):
            ours, theirs = (outcome(call, k, 1.5, yes) for call in calls)
            assert ours == theirs, (k, yes)
            if isinstance(ours, tuple):
                assert ours == (TrapCode.MEMORY_OUT_OF_BOUNDS, offsets[k])
                trapped.add(k)
    assert len(trapped) >= len(offsets) // 2


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_arithmetic_takes_its_operand_from_memory(type_: str, operation: str) -> None:
    loaded, other = f"({type_}.load offset=8 (local.get 0))", "(local.get 1)"
    orders = [(other, loaded), (loaded, other)] if operation in ("add", "mul") else [(other, loaded)]
    for first, second in orders:
        module = Module(
            f"(module {MEMORY} (func (param i32 {type_}) (result {type_}) ({type_}.{operation} {first} {second})))",
        )
        ((_, start, end),) = module.finished_functions()
        offset = load_offsets(module, type_)[0]
        disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        registry = Instance(module).store.registry
        code = disassembler.disasm(ctypes.string_at(start, end - start), start)
        arithmetic = [i.address for i in code if operation in i.mnemonic and "[" in i.op_str]
        assert len(arithmetic) == 1
        assert registry.lookup_trap_code(arithmetic[0]) is TrapCode.MEMORY_OUT_OF_BOUNDS
        frame = registry.lookup_frame_info(arithmetic[0])
        assert frame is not None
        assert frame.module_offset == offset


@pytest.mark.parametrize("load", ["i32.load8_u", "i32.load16_u", "i64.load8_u", "i64.load16_u", "i64.load32_u"])
def test_a_load_that_fills_up_with_zeros_is_an_index(load: str) -> None:
    """No bit above those in memory is set, whether it becomes an address, one side of a comparison or the index of a
    branch table."""
    type_, bits = load[:3], int(load[8:-2])
    most, value = (1 << bits) - 1, f"({load} (local.get 0))"
    index = value if type_ == "i32" else f"(i32.wrap_i64 {value})"
    exports = Instance(
        Module(
            f"""(module (memory 2)
          (data (i32.const 100) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff") (data (i32.const 200) "\\01")
          (func (export "value") (param i32) (result {type_}) {value})
          (func (export "more") (param i32) (result {type_}) ({type_}.add {value} ({type_}.const 1)))
          (func (export "high") (param i32) (result {type_}) ({type_}.shr_u {value} ({type_}.const {bits})))
          (func (export "above") (param i32) (result i32) ({type_}.gt_u {value} ({type_}.const {most - 1})))
          (func (export "at") (param i32) (result i32) (i32.load8_u offset=199 {index}))
          (func (export "case") (param i32) (result i32)
            (block (block (block (br_table 0 1 2 {index})) (return (i32.const 10))) (return (i32.const 11)))
            (i32.const 12)))""",
        )
    ).exports
    assert exports.value.call_bits([100]) == [most]
    assert exports.more.call_bits([100]) == [most + 1]
    assert exports.high.call_bits([100]) == [0]
    assert [exports.above(address) for address in (100, 200)] == [1, 0]
    assert exports.at(200) == 1
    assert [exports.case(address) for address in (0, 200, 100)] == [10, 11, 12]
    if bits == 32:
        with pytest.raises(Trap):
            exports.at(100)
    else:
        assert exports.at(100) == 0
