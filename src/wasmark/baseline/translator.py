"""One validated function body -> its code in the first tier.

The loop here is what the speed of the tier depends on: the frequent instructions are handled in place, with the numbers
of their stencils taken out of a rule (see `rules`), all others by a method. An instruction whose result goes straight
into a local, and a comparison that only a branch looks at, are taken together with what follows them.
"""

from __future__ import annotations

from wasmark.baseline import rules as R  # noqa: N812 - a page of names, read like a table
from wasmark.baseline.assembler import DEEP, M32, Context, Fragment, Label
from wasmark.baseline.compose import ENTRY, LEAF, LEAVING
from wasmark.baseline.library import Library
from wasmark.baseline.objects import Objects
from wasmark.baseline.shapes import ZEROED_AT_ONCE
from wasmark.baseline.vectors import VECTOR_METHODS
from wasmark.compile.abi import slot_count
from wasmark.compile.atomics import ATOMICS
from wasmark.compile.fuel import FUEL, with_fuel
from wasmark.compile.method_names import METHOD_NAMES
from wasmark.compile.tail_calls import leaves_by_tail_call
from wasmark.compile.wide_arithmetic import WIDE
from wasmark.core.opcodes import BY_NAME, OPCODES, Opcode
from wasmark.core.types import V128
from wasmark.runtime.layout import OFFSET_GUARD, SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.binary import Instr

_LOCAL_SET: Final = BY_NAME["local.set"]
_LOCAL_TEE: Final = BY_NAME["local.tee"]
_BR_IF: Final = BY_NAME["br_if"]
_IF: Final = BY_NAME["if"]
_OPENERS: Final = frozenset(BY_NAME[name] for name in ("block", "loop", "if", "try_table", "try"))
_ENDS: Final = frozenset(BY_NAME[name] for name in ("end", "delegate"))
_ARMS: Final = frozenset(BY_NAME[name] for name in ("else", "catch", "catch_all"))
_MANY_ZEROS: Final = 32
_LEAF_FRAME_LIMIT: Final = 4096
"""A function that calls nothing and has a frame of at most so many bytes needs no stack check: it fits the headroom
below the limit many times over."""


class Translator(Objects):
    """Translates one body; make a new one for each function."""

    def translate(self, instrs: list[Instr]) -> Fragment:
        """The code of the function. `instrs` is the decoded, validated body."""
        if self.context.flavour.fuel:
            instrs = with_fuel(instrs)
        params, results, text = self.context.signature(self.function.type_index)
        runs = self.function.locals
        locals_ = params + sum(count * slot_count((type_,)) for count, type_ in runs)
        if "v" in text.partition(":")[0] or any(type_ is V128 for _, type_ in runs):
            instrs = self.with_slots(instrs)
        self.home = self.high = SLOT_SIZE * locals_
        self.leaves = leaves_by_tail_call(self.model.data, self.function, instrs)
        self._zero(params, locals_ - params)
        if self.context.counted:
            self.count(0)
        self.open(Label(results, results, 0))
        self._body(instrs)
        self.tier_up()
        self.home_of(results)
        size = self.high + SLOT_SIZE
        leaf = not self.calls and size <= _LEAF_FRAME_LIMIT
        form = LEAVING if self.leaves else LEAF if leaf else ENTRY
        entry = self.library[form + text]
        assert not entry.relocations
        number = entry.number + size * entry.X + self.home * entry.D
        head = (number.to_bytes(entry.size, "little"), self.function.entry, entry.mark)
        rows = self.starts, self.lines, self.marks
        return Fragment(self.func_index, head, self.out, self.relocations, rows, self.callees)

    def _zero(self, first: int, count: int) -> None:
        slot = SLOT_SIZE * first
        if count > _MANY_ZEROS:
            self.emit(self.library["zero many"], d=slot, x=SLOT_SIZE * count)
            return
        for at_once in ZEROED_AT_ONCE:
            while count >= at_once:
                self.emit(self.library[f"zero {at_once}"], d=slot)
                slot += SLOT_SIZE * at_once
                count -= at_once

    def _body(self, instrs: list[Instr]) -> None:
        rules = rules_of(self.library)
        stack, constants, labels = self.stack, self.constants, self.labels
        push, pop = stack.append, stack.pop
        out = self.out
        start, line, mark_at = self.starts.append, self.lines.append, self.marks.append
        relocate = self.relocate
        home = self.home
        high = self.high
        memory_types = self.model.memory_types
        reach = OFFSET_GUARD if memory_types and memory_types[0].is_guarded else -1
        p = 0
        count = len(instrs)
        while p < count:
            row, imm, offset = instrs[p]
            p += 1
            rule = rules[row]
            kind = rule[0]
            if kind == R.GET:
                if len(stack) < DEEP:
                    push(imm * 8)
                else:
                    self.offset = offset
                    self.put(imm * 8, self.push_home())
                continue
            if kind == R.CONST:
                if len(stack) < DEEP:
                    push(~len(constants))
                    constants.append(imm)
                else:
                    self.offset = offset
                    self.push_constant(imm)
                continue

            if kind == R.BINARY:
                b, a = pop(), pop()
                depth = len(stack)
                _, number, size, mark, fa, fb, fd, relocations, const, limit, commutes, if_, unless, c_if, c_unless = (
                    rule
                )
                x = -1
                if b < 0 or a < 0:
                    self.offset = offset
                    free = depth + 1  # whose home is for the constant
                    if a < 0:
                        if commutes and b >= 0:
                            a, b = b, a
                            free = depth
                        else:
                            a = self.slot_of(a, depth)
                    if b < 0:
                        x = constants[~b]
                        if const is not None and (not limit or 0 <= x <= limit):
                            x &= M32
                            if_, unless = c_if, c_unless
                            number, size, mark, fa, fb, fd = (
                                const.number,
                                const.size,
                                const.mark,
                                const.A,
                                const.X,
                                const.D,
                            )
                            relocations = const.relocations
                            b = x
                        else:
                            x = -1
                            b = self.slot_of(b, free)
                next_row, next_imm, _ = instrs[p]
                if if_ is not None and (next_row is _IF or (next_row is _BR_IF and not labels[-1 - next_imm].carried)):
                    p += 1
                    self.offset = offset
                    taken: Any
                    if next_row is _IF:
                        taken = self.begin_if(next_imm)
                        if_ = unless
                    else:
                        taken = labels[-1 - next_imm]
                    if x >= 0:
                        self.emit(if_, a=a, x=x, taken=taken)
                    else:
                        self.emit(if_, a=a, b=b, taken=taken)
                    continue
                number += a * fa + b * fb

            elif kind == R.SET:
                self.offset = offset
                entry = pop()
                d = imm * 8
                if entry != d:
                    if d in stack[:DEEP]:
                        self.save(d)
                    self.put(entry, d)
                continue

            elif kind == R.LOAD:
                _, memory, more = imm
                _, number, size, mark, fa, fx, fd, relocations, static, access = rule
                if memory or more + access > reach:
                    self.offset = offset
                    self.access(row, imm)
                    continue
                a = pop()
                depth = len(stack)
                if a < 0:
                    address = (constants[~a] & M32) + more
                    if address < 0x80000000:
                        number, size, mark, fa, fx, fd = static.number, static.size, static.mark, 0, static.X, static.D
                        relocations = static.relocations
                        more = address
                    else:
                        self.offset = offset
                        a = self.slot_of(a, depth)
                number += a * fa + more * fx
                next_row, next_imm, _ = instrs[p]

            elif kind == R.STORE:
                _, memory, more = imm
                _, number, size, mark, fa, fb, fx, relocations, static, access, const, limit = rule
                if memory or more + access > reach:
                    self.offset = offset
                    self.access(row, imm)
                    continue
                b, a = pop(), pop()
                if a < 0 or b < 0:
                    self.offset = offset
                    depth = len(stack)
                    if b < 0:
                        x = constants[~b]
                        if const is not None and a >= 0 and (not limit or 0 <= x <= limit):
                            self.emit(const, a=a, x=more, z=x & M32)
                            continue
                        b = self.slot_of(b, depth + 1)
                    if a < 0:
                        address = (constants[~a] & M32) + more
                        if address < 0x80000000:
                            self.emit(static, b=b, x=address)
                            continue
                        a = self.slot_of(a, depth)
                at = len(out)
                start(at)
                line(offset)
                mark_at(mark)
                out += (number + a * fa + b * fb + more * fx).to_bytes(size, "little")
                if relocations:
                    relocate(at, relocations)
                continue

            elif kind == R.UNARY:
                _, number, size, mark, fa, fd, relocations, if_, unless = rule
                a = pop()
                depth = len(stack)
                if a < 0:
                    self.offset = offset
                    a = self.slot_of(a, depth)
                next_row, next_imm, _ = instrs[p]
                if if_ is not None and (next_row is _IF or (next_row is _BR_IF and not labels[-1 - next_imm].carried)):
                    p += 1
                    self.offset = offset
                    if next_row is _IF:
                        self.emit(unless, a=a, taken=self.begin_if(next_imm))
                    else:
                        self.emit(if_, a=a, taken=labels[-1 - next_imm])
                    continue
                number += a * fa

            elif kind == R.TEE:
                self.offset = offset
                entry = stack[-1]
                d = imm * 8
                if entry != d:
                    if d in stack[:DEEP]:
                        self.save(d)
                    self.put(entry, d)
                continue

            elif kind == R.METHOD:
                self.offset = offset
                rule[1](self, row, imm)
                if self.dead and p < count:
                    p = _skip(instrs, p)
                continue

            else:
                continue

            # The result: into the local that it is for, or to its home.
            if next_row is _LOCAL_SET:
                p += 1
                fd *= next_imm * 8
                if next_imm * 8 in stack[:DEEP]:
                    self.offset = offset
                    self.save(next_imm * 8)
            elif next_row is _LOCAL_TEE and depth < DEEP:
                p += 1
                d = next_imm * 8
                fd *= d
                if d in stack[:DEEP]:
                    self.offset = offset
                    self.save(d)
                push(d)
            else:
                d = home + 8 * depth
                if d > high:
                    high = d
                push(d)
                fd *= d
            at = len(out)
            start(at)
            line(offset)
            mark_at(mark)
            out += (number + fd).to_bytes(size, "little")
            if relocations:
                relocate(at, relocations)
        self.high = max(self.high, high)


def _skip(instrs: list[Instr], p: int) -> int:
    """Where code that can be reached may go on: at the next arm or the end of the innermost label."""
    depth = 0
    while True:
        row = instrs[p][0]
        if row in _ENDS:
            if not depth:
                return p
            depth -= 1
        elif row in _ARMS:
            if not depth:
                return p
        elif row in _OPENERS:
            depth += 1
        p += 1


_IRREGULAR: Final = {
    **METHOD_NAMES,
    **dict.fromkeys(R.RARE_ACCESSES, "access"),
    **dict.fromkeys(ATOMICS, "atomic"),
    **dict.fromkeys(WIDE, "wide"),
}


def _method(name: str) -> Callable[[Translator, Opcode, Any], None]:
    found: Callable[[Translator, Opcode, Any], None] = getattr(Translator, _IRREGULAR.get(name, name.replace(".", "_")))
    return found


_METHODS: Final = {
    op: _method(op.name) for op in (*OPCODES, FUEL) if R.has_method(op) and op not in VECTOR_METHODS
} | VECTOR_METHODS
"""Rows with a rule of their own -> the method that translates them. A row without one fails here, at import."""

_rules: dict[int, tuple[Library, dict[Opcode, R.Rule]]] = {}


def rules_of(library: Library) -> dict[Opcode, R.Rule]:
    """The rules over a library that has its stencils."""
    found = _rules.get(id(library))
    if found is None:
        found = _rules.setdefault(id(library), (library, R.rules(library, _METHODS)))
    return found[1]


__all__ = ["Context", "Fragment", "Translator", "rules_of"]
