"""Table rows -> the bodies of stencils, in LLVM IR.

A stencil is a function of the vmctx, the frame and the base of memory 0, and ends in a jump to the next one. Operands
are in 8-byte slots of the frame; where, is a hole. Holes are addresses of symbols that do not exist:

    A B C   the slot of an operand, in bytes from the frame      X Y Z   constants
    D       the slot of the result                               next, taken   where to go on

An instruction gets the shapes that pay, by name: `i32.add` has its operands in slots, `i32.add const` the second one in
X. A comparison also has `if` and `unless`, which branch to `taken` on the outcome and store nothing.
"""

from __future__ import annotations

from wasmark.compile.abi import LETTER_TO_LLVM
from wasmark.compile.access import ACCESS, ACCESSORS, ADDRESS_32_OFFSET, ADDRESS_CHECKED, LOADS, STORES, TIER_UP_CALLEE
from wasmark.compile.atomics import ATOMICS, FENCE, UNSHARED_WAITS
from wasmark.compile.numeric import NUMERIC
from wasmark.compile.vector import LANES, NATURAL, V128, VECTORS
from wasmark.compile.wide_arithmetic import WIDE
from wasmark.core.opcodes import BY_NAME, OPCODES
from wasmark.registry.line_table import SAME_ACTIVATION
from wasmark.runtime.layout import SLOT_SIZE, VMLayout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

SCOPE: Final = "!SCOPE"
"""Stands for the number of the stencil's debug scope."""

DEBUG: Final = f", !dbg !DILocation(line: 1, scope: {SCOPE}"

PARAMETERS: Final = "(ptr %vm, ptr %fp, ptr %mb)"
_NEXT: Final = f"musttail call preserve_nonecc void @next{PARAMETERS}\nret void\n"
_TAKEN: Final = f"musttail call preserve_nonecc void @taken{PARAMETERS}\nret void\n"

COMPARISON_END: Final = "zext i1 %c{n} to i32{d})"
"""How the templates of comparisons end."""

_COMMON: Final = {"r": "%r", "n": "_", "d": DEBUG, "vm": "%vm", "a": "%a", "b": "%b", "c": "%c"}


def constant(hole: str, type_: str = "i64") -> str:
    """A hole as a constant expression."""
    return f"ptrtoint (ptr @{hole} to {type_})"


def load_slot(value: str, type_: str, hole: str, more: int = 0) -> str:
    """Load `value` from the slot at a hole, plus `more` bytes."""
    address = f"{value}.p = getelementptr i8, ptr %fp, i64 {constant(hole)}\n"
    if more:
        address += f"{value}.q = getelementptr i8, ptr {value}.p, i64 {more}\n"
    return f"{address}{value} = load {type_}, ptr {value}.{'q' if more else 'p'}, align {SLOT_SIZE}{DEBUG})\n"


def store_slot(value: str, type_: str, hole: str = "D") -> str:
    """Store `value` to the slot at a hole."""
    address = f"%to.p = getelementptr i8, ptr %fp, i64 {constant(hole)}\n"
    return f"{address}store {type_} {value}, ptr %to.p, align {SLOT_SIZE}{DEBUG})\n"


def _operands(letters: str, *, const_last: bool = False) -> str:
    text = ""
    for i, letter in enumerate(letters):
        type_ = LETTER_TO_LLVM[letter]
        if const_last and i == len(letters) - 1:
            text += f"%{'abc'[i]} = add {type_} {constant('X', type_)}, 0\n"
        else:
            text += load_slot(f"%{'abc'[i]}", type_, "ABC"[i])
    return text


def _branch(condition: str, *, unless: bool = False) -> str:
    labels = "label %go.on, label %go" if unless else "label %go, label %go.on"
    return f"%test = icmp ne i32 {condition}, 0\nbr i1 %test, {labels}\ngo:\n{_TAKEN}go.on:\n{_NEXT}"


def _plain(body: str, result: str = "") -> str:
    """A whole stencil: the body, its result `%r` of an LLVM type stored to D, and on."""
    return f"{body}\n{store_slot('%r', result) if result else ''}{_NEXT}"


_INTEGERS: Final = frozenset({"i", "I"})


def _numeric() -> Iterator[tuple[str, str]]:
    for op in OPCODES:
        template = NUMERIC.get(op.name)
        if template is None or op.sig is None:
            continue
        letters, _, result = op.sig.partition(":")
        traps = "ubsantrap" in template
        forms = [("", _operands(letters))]
        if len(letters) == 2 and set(letters) <= _INTEGERS and not traps:
            forms.append((" const", _operands(letters, const_last=True)))
        for suffix, operands in forms:
            body = operands + template.format(**_COMMON)
            yield f"{op.name}{suffix}", _plain(body, LETTER_TO_LLVM[result])
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
            body = _operands(letters) + template.format(**_COMMON, l=suffix.strip())
            yield f"{op.name}{suffix}", _plain(body, LETTER_TO_LLVM[result])


_MEMORY_N: Final = f"%mn.p = getelementptr i8, ptr %vm, i64 {constant('Y')}\n%mn = load ptr, ptr %mn.p\n"


_STATIC: Final = " static"


def _addresses() -> dict[str, str]:
    """Ways to the address `%p_` of an access: where its memory, its operand and its constant offset come from."""
    definition = ACCESSORS["memory.length"].format(**{**_COMMON, "n": "d", "o": constant("Y")}) + "\n"
    checked = {"base": "%based", "length": "%lend"}
    return {
        "": load_slot("%a", "i32", "A") + ADDRESS_32_OFFSET.format(**_COMMON, base="%mb", o=constant("X")),
        _STATIC: ADDRESS_32_OFFSET.format(**{**_COMMON, "a": "0"}, base="%mb", o=constant("X")),
        " memory": load_slot("%a", "i32", "A")
        + _MEMORY_N
        + ADDRESS_32_OFFSET.format(**_COMMON, base="%mn", o=constant("X")),
        " checked": load_slot("%a", "i64", "A")
        + definition
        + ADDRESS_CHECKED.format(**_COMMON, **checked, o=constant("X"), extent=constant("Z")),
        " checked wide": load_slot("%a", "i64", "A")
        + definition
        + load_slot("%offset", "i64", "C")
        + load_slot("%extent", "i64", "C", 8)
        + ADDRESS_CHECKED.format(**_COMMON, **checked, o="%offset", extent="%extent"),
    }


def _accesses() -> Iterator[tuple[str, str]]:
    addresses = _addresses()
    for name, (_, _, result) in LOADS.items():
        for suffix, address in addresses.items():
            if suffix != _STATIC or result != V128:
                yield name + suffix, _plain(address + ACCESS[name].format(**_COMMON), result)
    for name, (operand, memory) in STORES.items():
        value = load_slot("%b", operand, "B")
        for suffix, address in addresses.items():
            if suffix != _STATIC or operand != V128:
                yield name + suffix, _plain(value + address + ACCESS[name].format(**_COMMON))
        if operand == memory and operand[0] == "i":
            value = f"%b = add {operand} {constant('Z', operand)}, 0\n"
            yield f"{name} const", _plain(value + addresses[""] + ACCESS[name].format(**_COMMON))


def _atomics() -> Iterator[tuple[str, str]]:
    """Their operands are in slots that follow each other from B on."""
    for name, template in [*ATOMICS.items(), *((f"{name} unshared", text) for name, text in UNSHARED_WAITS.items())]:
        sig = BY_NAME[name.removesuffix(" unshared")].sig
        assert sig is not None
        params, _, result = sig.partition(":")
        operands = "".join(
            load_slot(f"%{'bc'[i]}", LETTER_TO_LLVM[letter], "B", 8 * i) for i, letter in enumerate(params[1:])
        )
        for suffix, address in _addresses().items():
            if suffix != _STATIC:
                body = operands + address + template.format(**_COMMON)
                yield name + suffix, _plain(body, LETTER_TO_LLVM[result] if result else "")
    yield "atomic.fence", FENCE + "\n" + _NEXT


def _wide() -> Iterator[tuple[str, str]]:
    """Operands in slots that follow each other from A on, the results from D on."""
    for name, template in WIDE.items():
        sig = BY_NAME[name].sig
        assert sig is not None
        body = "".join(load_slot(f"%{'abce'[i]}", "i64", "A", 8 * i) for i in range(sig.index(":")))
        body += template.format(**_COMMON, e="%e", s="%s") + "\n"
        both = "%both.1 = insertvalue [2 x i64] poison, i64 %r, 0\n%both = insertvalue [2 x i64] %both.1, i64 %s, 1\n"
        yield name, body + both + store_slot("%both", "[2 x i64]") + _NEXT


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
        body = _operands(letters) + ACCESSORS[name].format(**_COMMON, **holes)
        yield name, _plain(body, result)
    for action in ("global.get", "global.set"):
        for where in ("", " imported"):
            for name, type_ in (("i32", "i32"), ("i64", "i64"), ("v128", V128)):
                body = ACCESSORS[action + where].format(**_COMMON, o=constant("X"), type=type_)
                if action == "global.get":
                    yield f"{action}{where} {name}", _plain(body, type_)
                else:
                    yield f"{action}{where} {name}", _plain(load_slot("%a", type_, "A") + body)
    is_null = load_slot("%a", "ptr", "A") + ACCESSORS["ref.is_null"].format(**_COMMON) + "\n"
    yield "ref.is_null", _plain(is_null, "i32")
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
                ACCESSORS["callee table"].format(**_COMMON, o=constant("X")),
                ACCESSORS["callee type"].format(**_COMMON, o=constant("Y")),
                ACCESSORS[f"callee type {kind}"].format(**_COMMON),
            ]
            yield f"call_indirect {width} {kind}", f"{load}{''.join(steps)}\n{store_slot('%ref_', 'ptr')}{_NEXT}"
    check = load_slot("%a", "ptr", "A") + ACCESSORS["callee ref"].format(**_COMMON)
    yield "call_ref", f"{check}\n{store_slot('%ref_', 'ptr')}{_NEXT}"


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
        f"%hot = icmp slt i32 %less, 0\nbr i1 %hot, label %go, label %go.on, !prof !2\ngo:\n{_TAKEN}go.on:\n{_NEXT}",
    )
    ask = TIER_UP_CALLEE.format(**_COMMON)
    yield (
        "tier up",
        f"{ask}%code = call ptr %code_(ptr %ctx_, ptr %vm, i64 {constant('X')}, i64 {constant('Y')}){DEBUG})\n"
        f"%none = icmp eq ptr %code, null\nbr i1 %none, label %go, label %run\ngo:\n{_TAKEN}run:\n"
        f"call void %code{PARAMETERS}{DEBUG}, column: {SAME_ACTIVATION})\nret void\n",
    )


ZEROED_AT_ONCE: Final = (16, 8, 4, 2, 1)
"""Numbers of slots that there are stencils to zero; more take `zero many`, with the bytes in X."""


def _moves() -> Iterator[tuple[str, str]]:
    for name, type_ in (("", "i64"), (" v128", V128)):
        yield f"copy{name}", load_slot("%r", type_, "A") + store_slot("%r", type_) + _NEXT
        slots = load_slot("%a", type_, "A") + load_slot("%b", type_, "B") + load_slot("%c", "i32", "C")
        choose = f"%test = icmp ne i32 %c, 0\n%r = select i1 %test, {type_} %a, {type_} %b\n"
        yield f"select{name}", slots + choose + store_slot("%r", type_) + _NEXT
    yield "constant", store_slot(constant("X"), "i64") + _NEXT
    high = f"%high = getelementptr i8, ptr %to.p, i64 4\nstore i32 {constant('Y', 'i32')}, ptr %high\n"
    yield "constant wide", store_slot(constant("X", "i32"), "i32") + high + _NEXT
    for count in ZEROED_AT_ONCE:
        yield f"zero {count}", store_slot("zeroinitializer", f"[{count} x i64]") + _NEXT
    to = f"%to.p = getelementptr i8, ptr %fp, i64 {constant('D')}\n"
    yield "zero many", f"{to}call void @llvm.memset.p0.i64(ptr %to.p, i8 0, i64 {constant('X')}, i1 false)\n{_NEXT}"
    yield "jump", _TAKEN
    yield "return", "ret void\n"
    yield "if", load_slot("%a", "i32", "A") + _branch("%a")
    yield "unless", load_slot("%a", "i32", "A") + _branch("%a", unless=True)
    yield "unreachable", f"call void @llvm.ubsantrap(i8 1) #1{DEBUG}, column: 1)\nunreachable\n"


def shapes() -> dict[str, str]:
    """The body of every stencil that does not depend on a signature, by name."""
    found: dict[str, str] = {}
    for part in (_numeric(), _vectors(), _accesses(), _atomics(), _wide(), _steps(), _callees(), _hot(), _moves()):
        found.update(part)
    return found
