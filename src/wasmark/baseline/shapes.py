"""Table rows -> the bodies of stencils, in LLVM IR.

A stencil is a function of the vmctx, the frame and the base of memory 0, and ends in a jump to the next one. Operands
are in 8-byte slots of the frame; where, is a hole. Holes are addresses of symbols that do not exist:

    A B C   the slot of an operand, in bytes from the frame      X Y Z   constants
    D       the slot of the result                               next, taken   where to go on

An instruction gets the shapes that pay, by name: `i32.add` has its operands in slots, `i32.add const` the second one in
X. A comparison also has `if` and `unless`, which branch to `taken` on the outcome and store nothing.
"""

from __future__ import annotations

from wasmark.baseline.object_shapes import object_shapes
from wasmark.baseline.shape import (
    COMMON,
    COMPARISON_END,
    DEBUG,
    NEXT,
    PARAMETERS,
    TAKEN,
    constant,
    load_slot,
    operands,
    plain,
    store_slot,
)
from wasmark.compile.abi import LETTER_TO_LLVM
from wasmark.compile.access import ACCESS, ACCESSORS, ADDRESS_32_OFFSET, ADDRESS_CHECKED, LOADS, STORES, TIER_UP_CALLEE
from wasmark.compile.atomics import ATOMICS, FENCE, UNSHARED_WAITS
from wasmark.compile.fuel import PAY
from wasmark.compile.numeric import NUMERIC
from wasmark.compile.vector import LANES, NATURAL, V128, VECTORS
from wasmark.compile.wide_arithmetic import WIDE
from wasmark.core.opcodes import BY_NAME, OPCODES
from wasmark.registry.line_table import SAME_ACTIVATION
from wasmark.runtime.layout import VMLayout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final


def _branch(condition: str, *, unless: bool = False) -> str:
    labels = "label %go.on, label %go" if unless else "label %go, label %go.on"
    return f"%test = icmp ne i32 {condition}, 0\nbr i1 %test, {labels}\ngo:\n{TAKEN}go.on:\n{NEXT}"


_INTEGERS: Final = frozenset({"i", "I"})


def _numeric() -> Iterator[tuple[str, str]]:
    for op in OPCODES:
        template = NUMERIC.get(op.name)
        if template is None or op.sig is None:
            continue
        letters, _, result = op.sig.partition(":")
        traps = "ubsantrap" in template
        forms = [("", operands(letters))]
        if len(letters) == 2 and set(letters) <= _INTEGERS and not traps:
            forms.append((" const", operands(letters, const_last=True)))
        for suffix, loads in forms:
            body = loads + template.format(**COMMON)
            yield f"{op.name}{suffix}", plain(body, LETTER_TO_LLVM[result])
            if template.endswith(COMPARISON_END):
                yield f"{op.name}{suffix} if", body + "\n" + _branch("%r")
                yield f"{op.name}{suffix} unless", body + "\n" + _branch("%r", unless=True)


def _vectors() -> Iterator[tuple[str, str]]:
    """A relaxed instruction has one more shape where it may be what the machine likes best: `natural`. One on a lane
    has a shape for each."""
    for op in OPCODES:
        if op.sig is None or not (op.name in VECTORS or op.name in LANES):
            continue
        letters, _, result = op.sig.partition(":")
        templates = {"": VECTORS[op.name]} if op.name in VECTORS else {f" {i}": LANES[op.name] for i in range(op.lanes)}
        if op.name in NATURAL:
            templates[" natural"] = NATURAL[op.name]
        for suffix, template in templates.items():
            body = operands(letters) + template.format(**COMMON, l=suffix.strip())
            yield f"{op.name}{suffix}", plain(body, LETTER_TO_LLVM[result])


_MEMORY_N: Final = f"%mn.p = getelementptr i8, ptr %vm, i64 {constant('Y')}\n%mn = load ptr, ptr %mn.p\n"


_STATIC: Final = " static"


def _addresses() -> dict[str, str]:
    """Ways to the address `%p_` of an access: where its memory, its operand and its constant offset come from."""
    definition = ACCESSORS["memory.length"].format(**{**COMMON, "n": "d", "o": constant("Y")}) + "\n"
    checked = {"base": "%based", "length": "%lend"}
    return {
        "": load_slot("%a", "i32", "A") + ADDRESS_32_OFFSET.format(**COMMON, base="%mb", o=constant("X")),
        _STATIC: ADDRESS_32_OFFSET.format(**{**COMMON, "a": "0"}, base="%mb", o=constant("X")),
        " memory": load_slot("%a", "i32", "A")
        + _MEMORY_N
        + ADDRESS_32_OFFSET.format(**COMMON, base="%mn", o=constant("X")),
        " checked": load_slot("%a", "i64", "A")
        + definition
        + ADDRESS_CHECKED.format(**COMMON, **checked, o=constant("X"), extent=constant("Z")),
        " checked wide": load_slot("%a", "i64", "A")
        + definition
        + load_slot("%offset", "i64", "C")
        + load_slot("%extent", "i64", "C", 8)
        + ADDRESS_CHECKED.format(**COMMON, **checked, o="%offset", extent="%extent"),
    }


def _accesses() -> Iterator[tuple[str, str]]:
    addresses = _addresses()
    for name, (_, _, result) in LOADS.items():
        for suffix, address in addresses.items():
            if suffix != _STATIC or result != V128:
                yield name + suffix, plain(address + ACCESS[name].format(**COMMON), result)
    for name, (operand, memory) in STORES.items():
        value = load_slot("%b", operand, "B")
        for suffix, address in addresses.items():
            if suffix != _STATIC or operand != V128:
                yield name + suffix, plain(value + address + ACCESS[name].format(**COMMON))
        if operand == memory and operand[0] == "i":
            value = f"%b = add {operand} {constant('Z', operand)}, 0\n"
            yield f"{name} const", plain(value + addresses[""] + ACCESS[name].format(**COMMON))


def _atomics() -> Iterator[tuple[str, str]]:
    """Their operands are in slots that follow each other from B on."""
    for name, template in [*ATOMICS.items(), *((f"{name} unshared", text) for name, text in UNSHARED_WAITS.items())]:
        sig = BY_NAME[name.removesuffix(" unshared")].sig
        assert sig is not None
        params, _, result = sig.partition(":")
        loads = "".join(
            load_slot(f"%{'bc'[i]}", LETTER_TO_LLVM[letter], "B", 8 * i) for i, letter in enumerate(params[1:])
        )
        for suffix, address in _addresses().items():
            if suffix != _STATIC:
                body = loads + address + template.format(**COMMON)
                if name in ATOMICS:
                    yield name + suffix, plain(body, LETTER_TO_LLVM[result] if result else "")
                else:
                    yield name + suffix, body + "\n"
    yield "atomic.fence", FENCE + "\n" + NEXT


def _wide() -> Iterator[tuple[str, str]]:
    """Operands in slots that follow each other from A on, the results from D on."""
    for name, template in WIDE.items():
        sig = BY_NAME[name].sig
        assert sig is not None
        body = "".join(load_slot(f"%{'abce'[i]}", "i64", "A", 8 * i) for i in range(sig.index(":")))
        body += template.format(**COMMON, e="%e", s="%s") + "\n"
        both = "%both.1 = insertvalue [2 x i64] poison, i64 %r, 0\n%both = insertvalue [2 x i64] %both.1, i64 %s, 1\n"
        yield name, body + both + store_slot("%both", "[2 x i64]") + NEXT


# Instructions (and steps of calls) that are one template: the types of their operands, and of their result. 32-bit
# indices and lengths have been widened before; "w" is an index that is widened here, for the frequent ones.
_STEPS: Final[dict[str, tuple[str, str]]] = {
    "memory.size": ("", "i64"),
    "memory.grow": ("I", "i64"),
    "memory.fill": ("IiI", ""),
    "memory.copy": ("III", ""),
    "memory.init": ("III", ""),
    "data.drop": ("", ""),
    "table.size": ("", "i64"),
    "table.get": ("I", "ptr"),
    "table.set": ("Ir", ""),
    "table.grow": ("rI", "i64"),
    "table.fill": ("IrI", ""),
    "table.copy": ("III", ""),
    "table.init": ("III", ""),
    "elem.drop": ("", ""),
    "ref.func": ("", "ptr"),
    "ref.func imported": ("", "ptr"),
    "ref.as_non_null": ("r", ""),
}


def _steps() -> Iterator[tuple[str, str]]:
    holes = {"o": constant("X"), "o2": constant("Y"), "shift": constant("Z")}
    for name, (letters, result) in _STEPS.items():
        body = operands(letters) + ACCESSORS[name].format(**COMMON, **holes)
        yield name, plain(body, result)
    yield "fuel", plain(PAY.format(**COMMON, **holes), "")
    for action in ("global.get", "global.set"):
        for where in ("", " imported"):
            for name, type_ in (("i32", "i32"), ("i64", "i64"), ("v128", V128)):
                body = ACCESSORS[action + where].format(**COMMON, o=constant("X"), type=type_)
                if action == "global.get":
                    yield f"{action}{where} {name}", plain(body, type_)
                else:
                    yield f"{action}{where} {name}", plain(load_slot("%a", type_, "A") + body)
    is_null = load_slot("%a", "ptr", "A") + ACCESSORS["ref.is_null"].format(**COMMON) + "\n"
    yield "ref.is_null", plain(is_null, "i32")
    yield "ref.is_null if", is_null + _branch("%r")
    yield "ref.is_null unless", is_null + _branch("%r", unless=True)


def _callees() -> Iterator[tuple[str, str]]:
    """Checks of indirect calls; the FuncRef that is to be called is left in slot D."""
    for width, load in (
        ("i32", load_slot("%index", "i32", "A") + "%a = zext i32 %index to i64\n"),
        ("i64", load_slot("%a", "i64", "A")),
    ):
        for kind in ("final", "open"):
            steps = [
                ACCESSORS["callee table"].format(**COMMON, o=constant("X")),
                ACCESSORS["callee type"].format(**COMMON, o=constant("Y")),
                ACCESSORS[f"callee type {kind}"].format(**COMMON),
            ]
            yield f"call_indirect {width} {kind}", f"{load}{''.join(steps)}\n{store_slot('%ref_', 'ptr')}{NEXT}"
    check = load_slot("%a", "ptr", "A") + ACCESSORS["callee ref"].format(**COMMON)
    yield "call_ref", f"{check}\n{store_slot('%ref_', 'ptr')}{NEXT}"


def function_table(hole: str) -> str:
    """Load the address `%at` of what is at a hole, in bytes, from the start of the table of functions."""
    return (
        f"%table.p = getelementptr i8, ptr %vm, i64 {VMLayout.FUNCTION_TABLE}\n%table = load ptr, ptr %table.p\n"
        f"%at = getelementptr i8, ptr %table, i64 {constant(hole)}\n"
    )


def _hot() -> Iterator[tuple[str, str]]:
    """Where a function, or a loop in it, notices that it is hot.

    `count` takes one from the function's counter, at X in the table of functions, and branches when it falls below
    zero. `tier up` asks for optimised code of function X that goes on at loop Y: it runs that in its own stead, or
    branches where there is none yet.
    """
    yield (
        "count",
        f"{function_table('X')}%n = load i32, ptr %at\n%less = sub i32 %n, 1\nstore i32 %less, ptr %at\n"
        f"%hot = icmp slt i32 %less, 0\nbr i1 %hot, label %go, label %go.on, !prof !2\ngo:\n{TAKEN}go.on:\n{NEXT}",
    )
    ask, run = tier_up_steps()
    yield "tier up", f"{ask}go:\n{TAKEN}run:\ncall void {run}ret void\n"


def tier_up_steps() -> tuple[str, str]:
    """Ask for optimised code, and go on at `run` or, where there is none, at `go`; how it is called."""
    ask = (
        f"{TIER_UP_CALLEE.format(**COMMON)}"
        f"%code = call ptr %code_(ptr %ctx_, ptr %vm, i64 {constant('X')}, i64 {constant('Y')}){DEBUG})\n"
        "%none = icmp eq ptr %code, null\nbr i1 %none, label %go, label %run\n"
    )
    return ask, f"%code{PARAMETERS}{DEBUG}, column: {SAME_ACTIVATION})\n"


ZEROED_AT_ONCE: Final = (16, 8, 4, 2, 1)
"""Numbers of slots that there are stencils to zero; more take `zero many`, with the bytes in X."""


def _moves() -> Iterator[tuple[str, str]]:
    for name, type_ in (("", "i64"), (" v128", V128)):
        yield f"copy{name}", load_slot("%r", type_, "A") + store_slot("%r", type_) + NEXT
        slots = load_slot("%a", type_, "A") + load_slot("%b", type_, "B") + load_slot("%c", "i32", "C")
        choose = f"%test = icmp ne i32 %c, 0\n%r = select i1 %test, {type_} %a, {type_} %b\n"
        yield f"select{name}", slots + choose + store_slot("%r", type_) + NEXT
    yield "constant", store_slot(constant("X"), "i64") + NEXT
    high = f"%high = getelementptr i8, ptr %to.p, i64 4\nstore i32 {constant('Y', 'i32')}, ptr %high\n"
    yield "constant wide", store_slot(constant("X", "i32"), "i32") + high + NEXT
    for count in ZEROED_AT_ONCE:
        yield f"zero {count}", store_slot("zeroinitializer", f"[{count} x i64]") + NEXT
    to = f"%to.p = getelementptr i8, ptr %fp, i64 {constant('D')}\n"
    yield "zero many", f"{to}call void @llvm.memset.p0.i64(ptr %to.p, i8 0, i64 {constant('X')}, i1 false)\n{NEXT}"
    yield "jump", TAKEN
    yield "return", "ret void\n"
    yield "if", load_slot("%a", "i32", "A") + _branch("%a")
    yield "unless", load_slot("%a", "i32", "A") + _branch("%a", unless=True)
    yield "unreachable", f"call void @llvm.ubsantrap(i8 1) #1{DEBUG}, column: 1)\nunreachable\n"


def shapes() -> dict[str, str]:
    """The body of every stencil that does not depend on a signature, by name."""
    found: dict[str, str] = {}
    parts = (_numeric(), _vectors(), _accesses(), _atomics(), _wide(), _steps(), _callees(), _hot(), _moves())
    for part in (*parts, object_shapes()):
        found.update(part)
    return found
