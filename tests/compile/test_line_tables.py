"""Places survive optimisation: a trap is looked up as the very instruction that trapped, a return address as its call.

Random functions mix *sites*, instructions that can trap, with arithmetic on what they give, in and out of blocks, so
that LLVM folds, moves and merges what it may. The parameter `$k` says which site traps.
"""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from wasmark import Instance, Module, Store, Trap, TrapCode
from wasmark.binary import decode_body
from wasmark.compile.atomics import WAITS
from wasmark.core.opcodes import BY_NAME, OPCODES
from wasmark.registry.line_table import MEMORY_ACCESS

HEAD: Final = """
(module
  (type $t (func (param i32 i32) (result i32)))
  (type $other (func (param i64) (result i64)))
  (memory $m 1) (memory $wide i64 1)
  (table $f 10 funcref) (table $e 4 externref)
  (elem (table $f) (i32.const 0) func $callee $stranger)
  (elem $segment func $callee)
  (data $bytes "0123456789")
  (func $callee (type $t) (if (local.get 0) (then (unreachable))) (i32.add (local.get 1) (i32.const 1)))
  (func $stranger (type $other) (local.get 0))
  (func $tail (param $k i32) (result i32) (if (local.get $k) (then (unreachable))) (i32.const 3))
"""

TYPES: Final = ("i32", "i64", "f32", "f64")
BAD_FLOATS: Final = ("nan", "inf", "-inf", "1e30")

TRAPPING: Final = {
    *(op.name for op in OPCODES if op.access),  # atomic ones among them
    *(f"{t}.{action}_{s}" for t in ("i32", "i64") for action in ("div", "rem") for s in "su"),
    *(f"{t}.trunc_{f}_{s}" for t in ("i32", "i64") for f in ("f32", "f64") for s in "su"),
    *("memory.fill", "memory.copy", "memory.init", "table.get", "table.set", "table.fill", "table.copy", "table.init"),
    *("call", "call_indirect", "call_ref", "ref.as_non_null", "unreachable"),
}
"""Rows that can trap, or whose callee can."""

CODES: Final = {
    **{name: {TrapCode.INTEGER_DIVISION_BY_ZERO, TrapCode.INTEGER_OVERFLOW} for name in TRAPPING if ".div_s" in name},
    **{name: {TrapCode.INTEGER_DIVISION_BY_ZERO} for name in TRAPPING if ".div_u" in name or ".rem_" in name},
    **{name: {TrapCode.BAD_CONVERSION_TO_INTEGER, TrapCode.INTEGER_OVERFLOW} for name in TRAPPING if ".trunc" in name},
    **{name: {TrapCode.TABLE_OUT_OF_BOUNDS} for name in TRAPPING if name.startswith("table.")},
    "unreachable": {TrapCode.UNREACHABLE},
    "ref.as_non_null": {TrapCode.NULL_REFERENCE},
    "call_ref": {TrapCode.NULL_FUNCTION_REFERENCE},
    "call_indirect": {
        TrapCode.UNDEFINED_ELEMENT,
        TrapCode.UNINITIALIZED_ELEMENT,
        TrapCode.INDIRECT_CALL_TYPE_MISMATCH,
    },
    "call": set(),
    **{name: {TrapCode.MEMORY_OUT_OF_BOUNDS, TrapCode.UNALIGNED_ATOMIC} for name in TRAPPING if ".atomic." in name},
    **{
        name: {TrapCode.MEMORY_OUT_OF_BOUNDS, TrapCode.UNALIGNED_ATOMIC, TrapCode.EXPECTED_SHARED_MEMORY}
        for name in WAITS
    },
}
"""What a row's own code can trap with; what is not named here with MEMORY_OUT_OF_BOUNDS."""


class Writer:
    """Writes one function. `sites` says of each what the innermost frame is: itself, or a callee."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.count = 0
        self.depth = 0

    def flag(self) -> str:
        """Code that pushes 1 where this site is to trap, else 0."""
        return f"(i32.eq (local.get $k) (i32.const {self.count}))"

    def address(self, memory: str) -> str:
        base = self.rng.choice(("(i32.const 16)", "(i32.and (local.get $i32) (i32.const 1020))"))
        if memory == "$wide":
            return f"(i64.or (i64.extend_i32_u {base}) (i64.shl (i64.extend_i32_u {self.flag()}) (i64.const 40)))"
        return f"(i32.or {base} (i32.shl {self.flag()} (i32.const 31)))"

    def site(self) -> None:
        """One instruction that can trap, and something made of what it gives."""
        rng, flag = self.rng, self.flag()
        name = rng.choice(sorted(TRAPPING))
        type_, _, action = name.partition(".")
        memory = rng.choice(("$m", "$m", "$wide"))
        length = f"(i32.shl {flag} (i32.const 30))"
        lane = str(rng.randrange(BY_NAME[name].lanes)) if name.endswith("_lane") else ""
        if ".atomic." in name:
            self.atomic(name, memory)
        elif ".load" in name:
            vector = "(local.get $v128)" if lane else ""
            offset = rng.choice((0, 4, 60000))
            self.give(type_, f"({name} {memory} offset={offset} {lane} {self.address(memory)} {vector})")
        elif ".store" in name:
            self.lines.append(f"({name} {memory} {lane} {self.address(memory)} (local.get ${type_}))")
        elif action.startswith(("div", "rem")):
            self.divide(type_, name)
        elif action.startswith("trunc"):
            source = action[6:9]
            bad = f"({source}.const {rng.choice(BAD_FLOATS)})"
            self.give(type_, f"({name} (select {bad} ({source}.const 1.5) {flag}))")
        elif name.startswith(("memory", "table")):
            self.bulk(name, flag, length)
        elif name == "call":
            self.give("i32", f"(call $callee {flag} (local.get $i32))")
        elif name == "call_indirect":
            index = rng.choice((1, 5, 10, -1)) if rng.random() < 0.7 else 0
            flags = flag if index == 0 else "(i32.const 0)"
            chosen = f"(select (i32.const {index}) (i32.const 0) {flag})"
            self.give("i32", f"(call_indirect $f (type $t) {flags} (local.get $i32) {chosen})")
        elif name == "call_ref":
            function = f"(select (result (ref null $t)) (ref.null $t) (ref.func $callee) {flag})"
            self.give("i32", f"(call_ref $t (i32.const 0) (local.get $i32) {function})")
        elif name == "ref.as_non_null":
            chosen = f"(select (result funcref) (ref.null func) (ref.func $callee) {flag})"
            self.give("i32", f"(ref.is_null (ref.as_non_null {chosen}))")
        else:
            self.lines.append(f"(if {flag} (then (unreachable)))")
        self.count += 1

    def atomic(self, name: str, memory: str) -> None:
        """At a place that is a multiple of 8. A wait on a memory that is not shared traps in any case."""
        signature = BY_NAME[name].sig
        assert signature is not None
        params, result = signature.split(":")
        locals_ = {"i": "(local.get $i32)", "I": "(local.get $i64)"}
        operands = " ".join(locals_[letter] for letter in params[1:])
        address = self.address(memory).replace("(i32.const 1020)", "(i32.const 1016)")
        text = f"({name} {memory} offset={self.rng.choice((0, 8, 60000))} {address} {operands})"
        if name in WAITS:
            self.lines.append(f"(if {self.flag()} (then (drop {text.replace(self.flag(), '(i32.const 0)')})))")
        elif result:
            self.give("i32" if result == "i" else "i64", text)
        else:
            self.lines.append(text)

    def divide(self, type_: str, name: str) -> None:
        widened = self.flag() if type_ == "i32" else f"(i64.extend_i32_u {self.flag()})"
        if name.endswith("div_s") and self.rng.random() < 0.5:
            lowest = "-0x80000000" if type_ == "i32" else "-0x8000000000000000"
            divisor = f"(select ({type_}.const -1) ({type_}.const 3) {self.flag()})"
            self.give(type_, f"({name} ({type_}.const {lowest}) {divisor})")
        else:
            divisor = f"({type_}.sub ({type_}.const 1) {widened})"
            self.give(type_, f"({name} (local.get ${type_}) {divisor})")

    def bulk(self, name: str, flag: str, length: str) -> None:
        here, zero = f"(i32.shl {flag} (i32.const 20))", "(i32.const 0)"
        forms = {
            "memory.fill": f"(memory.fill $m {zero} (local.get $i32) {length})",
            "memory.copy": f"(memory.copy $m $m (i32.const 8) {zero} {length})",
            "memory.init": f"(memory.init $m $bytes {zero} {here} (i32.const 3))",
            "table.get": f"(local.set $ref (table.get $f {here}))",
            "table.set": f"(table.set $e {here} (ref.null extern))",
            "table.fill": f"(table.fill $e {here} (ref.null extern) (i32.const 2))",
            "table.copy": f"(table.copy $f $f (i32.const 0) {zero} {length})",
            "table.init": f"(table.init $f $segment {here} {zero} (i32.const 1))",
        }
        self.lines.append(forms[name])

    def give(self, type_: str, value: str) -> None:
        """Combine a value with the local of its type, or with one of another."""
        rng = self.rng
        if type_[0] == "i":
            forms = [
                f"(local.set ${type_} ({type_}.{op} (local.get ${type_}) {value}))"
                for op in ("add", "xor", "and", "shl")
            ]
            forms.append(f"(local.set ${type_} ({type_}.mul {value} ({type_}.const 12)))")
            forms.append(f"(local.set $i32 (i32.lt_u ({type_}.const 7) {value}))".replace("i32.lt_u", f"{type_}.lt_u"))
            forms.append(f"(local.set $f64 (f64.convert_{type_}_s {value}))")
            other = "(i64.extend_i32_s VALUE)" if type_ == "i32" else "(i32.wrap_i64 VALUE)"
            forms.append(f"(local.set ${'i64' if type_ == 'i32' else 'i32'} {other.replace('VALUE', value)})")
            forms.append(f"(local.set ${type_} ({type_}.extend8_s {value}))")
            condition = value if type_ == "i32" else f"(i64.eqz {value})"
            forms.append(f"(if {condition} (then (local.set $i32 (i32.add (local.get $i32) (i32.const 1)))))")
        elif type_ == "v128":
            own = "(local.get $v128)"
            forms = [
                f"(local.set $v128 ({op} {own} {value}))"
                for op in ("i32x4.add", "f32x4.mul", "f64x2.add", "i8x16.eq", "i16x8.extmul_low_i8x16_s", "v128.xor")
            ]
            forms += [
                f"(local.set $v128 ({op} {value}))"
                for op in (
                    *("i32x4.extend_low_i16x8_u", "i64x2.extend_high_i32x4_s", "f64x2.promote_low_f32x4"),
                    *("f32x4.convert_i32x4_u", "i16x8.extadd_pairwise_i8x16_u", "i8x16.neg"),
                )
            ]
            lanes = " ".join(str(rng.randrange(32)) for _ in range(16))
            forms.append(f"(local.set $v128 (i8x16.shuffle {lanes} {value} {own}))")
            forms.append(f"(local.set $v128 (i8x16.shuffle {'0 ' * 16} {value} {value}))".replace(value, own, 1))
            forms.append(f"(local.set $i32 (i8x16.extract_lane_s {rng.randrange(16)} {value}))")
            forms.append(f"(local.set $i64 (i64x2.extract_lane {rng.randrange(2)} {value}))")
            forms.append(f"(local.set $f32 (f32x4.extract_lane {rng.randrange(4)} {value}))")
            forms.append(f"(if (v128.any_true {value}) (then (local.set $i32 (i32x4.bitmask {own}))))")
        else:
            forms = [
                f"(local.set ${type_} ({type_}.{op} (local.get ${type_}) {value}))" for op in ("add", "mul", "min")
            ]
            forms.append(f"(local.set $i32 ({type_}.lt {value} ({type_}.const 1)))")
        forms.append(f"(drop {value})")
        self.lines.append(rng.choice(forms))

    def region(self, sites: int) -> None:
        """Sites, some of them in blocks."""
        while sites > 0:
            inner = self.rng.randint(1, 4)
            kind = self.rng.choice(("plain", "plain", "block", "if", "else", "loop")) if self.depth < 4 else "plain"
            opened = {
                "block": "(block (br_if 0 (i32.eqz (local.get $yes)))",
                "if": "(if (local.get $yes) (then",
                "else": "(if (i32.eqz (local.get $yes)) (then (local.set $i64 (i64.const 4))) (else",
                "loop": "(local.set $n (i32.const 2)) (loop",
            }.get(kind, "")
            closed = {
                "block": ")",
                "if": "))",
                "else": "))",
                "loop": "(br_if 0 (local.tee $n (i32.sub (local.get $n) (local.get $yes)))))",
            }
            self.lines.append(opened)
            self.depth += 1
            if kind in ("plain", "loop"):
                for _ in range(inner):
                    self.site()
            else:
                self.region(inner)
            self.depth -= 1
            self.lines.append(closed.get(kind, ""))
            sites -= inner

    def function(self, name: str, sites: int) -> str:
        self.region(sites)
        body = "\n    ".join(filter(None, self.lines))
        return f"""
  (func (export "{name}") (param $k i32) (param $yes i32) (result i32)
    (local $i32 i32) (local $i64 i64) (local $f32 f32) (local $f64 f64) (local $v128 v128) (local $n i32)
    (local $ref funcref)
    {body}
    (local.get $i32))"""


FUNCTIONS: Final = 24
SITES: Final = 40


@pytest.fixture(scope="module")
def written() -> tuple[Module, Instance, list[int]]:
    """A module of random functions, an instance, and how many sites each function has."""
    writers = [Writer(seed) for seed in range(FUNCTIONS)]
    texts = [writer.function(f"f{i}", SITES) for i, writer in enumerate(writers)]
    module = Module(HEAD + "".join(texts) + ")")
    return module, Instance(module), [writer.count for writer in writers]


def places(module: Module, name: str) -> list[tuple[str, int]]:
    """(row, offset) of the sites of a function, in order."""
    model = module.model
    index = next(export.index for export in model.exports if export.name == name)
    function = model.functions[index - model.imported["func"]]
    body = decode_body(model, function.start, function.end)
    return [(row.name, offset) for row, _, offset in body if row.name in TRAPPING]


@pytest.mark.parametrize("number", range(FUNCTIONS))
def test_a_trap_is_looked_up_as_its_instruction(written: tuple[Module, Instance, list[int]], number: int) -> None:
    module, instance, counts = written
    call = instance.exports[f"f{number}"].call_bits
    sites = places(module, f"f{number}")
    assert len(sites) == counts[number]
    call([0xFFFFFFFF, 1])  # no site is meant, so none traps
    wrong = []
    for k, (row, offset) in enumerate(sites):
        with pytest.raises(Trap) as caught:
            call([k, 1])
        *_, frame = caught.value.frames
        if frame.module_offset != offset:
            wrong.append(f"site {k}, {row} at {offset}, is looked up as {frame.module_offset}")
        if len(caught.value.frames) == 1 and caught.value.code not in CODES.get(row, {TrapCode.MEMORY_OUT_OF_BOUNDS}):
            wrong.append(f"site {k}, {row}, trapped with {caught.value.code!r}")
        assert len(caught.value.frames) <= 2
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("number", range(FUNCTIONS))
def test_every_address_that_can_trap_belongs_to_such_an_instruction(
    written: tuple[Module, Instance, list[int]], number: int
) -> None:
    module, instance, _ = written
    registry = instance.store.registry
    index = next(export.index for export in module.model.exports if export.name == f"f{number}")
    sites = {offset: row for row, offset in places(module, f"f{number}")}
    entry = module.model.functions[index - module.model.imported["func"]].entry
    start, end = next((start, end) for func, start, end in module.finished_functions() if func == index)
    seen = set()
    for pc in range(start, end):
        code = registry.lookup_trap_code(pc)
        if code is None:
            continue
        frame = registry.lookup_frame_info(pc)
        assert frame is not None
        if code is TrapCode.STACK_OVERFLOW:
            assert frame.module_offset == entry
            continue
        row = sites.get(frame.module_offset)
        assert row is not None, f"{code!r} at the place of no such instruction: {frame.module_offset}"
        assert code in CODES.get(row, {TrapCode.MEMORY_OUT_OF_BOUNDS}), row
        seen.add(frame.module_offset)
    assert seen == {offset for offset, row in sites.items() if row != "call"}


def test_all_rows_that_can_trap_are_sites(written: tuple[Module, Instance, list[int]]) -> None:
    module, _, _ = written
    assert {row for number in range(FUNCTIONS) for row, _ in places(module, f"f{number}")} == TRAPPING
    assert not TRAPPING - set(BY_NAME)
    assert max(TrapCode) < MEMORY_ACCESS


# --- particular shapes ----------------------------------------------------------------------------


def trap_of(text: str, *args: Any) -> tuple[Module, Trap]:
    module = Module(text)
    with pytest.raises(Trap) as caught:
        Instance(module, store=Store()).exports.f(*args)
    return module, caught.value


def offsets(module: Module, func: int, name: str) -> list[int]:
    function = module.model.functions[func]
    body = decode_body(module.model, function.start, function.end)
    return [offset for row, _, offset in body if row.name == name]


@pytest.mark.parametrize("offset", [8, 0xFFFFFFF0])
def test_a_trap_before_anything_else_has_its_caller(offset: int) -> None:
    """The function's frame is there although only what comes later needs registers that have to be saved."""
    loads = " ".join(f"(local.set {i} (i64.load offset={8 * i} (i32.const 0)))" for i in range(1, 30))
    sums = " ".join(f"(i64.mul (local.get {i}) (local.get {30 - i})) (i64.xor)" for i in range(1, 30))
    module, trap = trap_of(
        f"""(module (memory 1)
          (func $g (param i32) (result i64) (local {"i64 " * 29})
            (if (i32.lt_s (local.get 0) (i32.const 0)) (then (return (i64.load8_u offset={offset} (local.get 0)))))
            {loads} (i64.const 5) {sums})
          (func (export "f") (param i32) (result i64) (i64.add (call $g (local.get 0)) (i64.const 1))))""",
        -10,
    )
    expected = [(0, offsets(module, 0, "i64.load8_u")[0]), (1, offsets(module, 1, "call")[0])]
    assert [(frame.func_index, frame.module_offset) for frame in trap.frames] == expected


def test_equal_code_in_two_arms_is_told_apart() -> None:
    arms = """
      (if (result i32) (local.get 0)
        (then (i32.store (i32.const 0) (i32.const 1)) (CODE))
        (else (i32.store (i32.const 0) (i32.const 1)) (CODE)))
    """
    for code in (
        "i32.load (local.get 1)",
        "i32.div_u (i32.const 7) (i32.sub (local.get 1) (local.get 1))",
        "call $g (local.get 1)",
        "call_indirect (type 0) (local.get 1) (local.get 1)",
        "unreachable",
    ):
        name = code.split()[0]
        text = f"""(module (memory 1) (table 1 funcref)
          (func $g (param i32) (result i32) (unreachable))
          (func (export "f") (param i32 i32) (result i32) {arms.replace("CODE", code)}))"""
        for arm in (0, 1):
            module, trap = trap_of(text, 1 - arm, -1)
            assert trap.frames[-1].module_offset == offsets(module, 1, name)[arm], code


def test_each_frame_of_a_deep_stack_is_at_its_call() -> None:
    functions = "\n".join(
        f"(func $f{i} (param i32) (result i32) (i32.mul (call $f{i + 1} (local.get 0)) (i32.const {i})))"
        for i in range(20)
    )
    module, trap = trap_of(
        f"""(module {functions}
          (func $f20 (param i32) (result i32) (i32.div_s (i32.const 1) (i32.sub (local.get 0) (local.get 0))))
          (export "f" (func $f0)))""",
        5,
    )
    expected = [offsets(module, 20, "i32.div_s")[0], *(offsets(module, i, "call")[0] for i in reversed(range(20)))]
    assert [frame.module_offset for frame in trap.frames] == expected
