"""A first look at bodies as they are: bytes, of which no list of instructions is made.

Nearly all bodies are valid, and to find that out this way takes half the time. It says "valid" or "look closer", never
what is wrong: of a body that is not plainly valid, the decoder and `BodyValidator.run` have to tell, in that order,
what is wrong with it, or that nothing is. So it may give up wherever that is simpler. What it must not do is call a
body valid that they would refuse; it applies the same plan and the same rules, and reads what takes more than two
bytes with the decoder's readers.
"""

from __future__ import annotations

import enum
import functools

from wasmark.binary.instructions import NAMES_DATA, READERS, SHORT_BLOCK_TYPES
from wasmark.binary.leb import read_u32
from wasmark.core.checked import Any
from wasmark.core.opcodes import BY_BYTE, BY_PREFIX, Imm, Opcode
from wasmark.errors import Error
from wasmark.validate.body import RULES, BodyValidator
from wasmark.validate.context import address_type
from wasmark.validate.immediates import MAX_OFFSETS
from wasmark.validate.plan import BINARY, LOAD, PUSH, RULE, SIGNATURE_RULE, STORE, UNARY, plan_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.features import Feature
    from wasmark.core.model import Function, ModuleModel
    from wasmark.core.types import FuncType, NumType
    from wasmark.validate.context import Context


class _Kind(enum.IntEnum):
    """What the loop does about an opcode, the commonest first."""

    GET = 0  # local.get
    CONST = 1  # push `a`, skip a signed integer
    BINARY = 2
    LOAD = 3
    STORE = 4
    SET = 5  # local.set
    TEE = 6  # local.tee
    INDEX = 7  # a u32; rule `a`
    END = 8
    BLOCK = 9  # a block type; rule `a`
    UNARY = 10
    PLAIN = 11  # no immediate; rule `a`
    READ = 12  # an immediate by its reader; rule `a`
    SKIP = 13  # push `a`, skip `b` bytes
    PREFIX = 14
    MISSING = 15


Entry = tuple[int, Opcode | None, Any, Any, Any]
"""(kind, row, a, b, result): the last three are those of the plan's step, or what the kind says."""

_OF_STEP: Final = {BINARY: _Kind.BINARY, LOAD: _Kind.LOAD, STORE: _Kind.STORE, UNARY: _Kind.UNARY}

_OF_NAME: Final = {"local.get": _Kind.GET, "local.set": _Kind.SET, "local.tee": _Kind.TEE}

_OF_IMM: Final = {Imm.NONE: _Kind.PLAIN, Imm.BLOCK: _Kind.BLOCK} | {
    imm: _Kind.INDEX for imm, reader in READERS.items() if reader is READERS[Imm.LABEL]
}

_WIDTHS: Final = {Imm.F32: 5, Imm.F64: 9}
"""Bytes of a constant whose length does not vary, with its opcode."""


def _entry(byte: int, features: frozenset[Feature], address: NumType | None) -> Entry:
    """Plain ints instead of `_Kind` members: comparing those is quicker."""
    op = BY_BYTE[byte]
    if op is None:
        return (int(_Kind.PREFIX if byte in BY_PREFIX else _Kind.MISSING), None, None, None, None)
    shape, a, b, result = plan_for(features, address)[op]
    if op.name in _OF_NAME:
        return (int(_OF_NAME[op.name]), op, None, None, None)
    if shape == PUSH:
        return (int(_Kind.SKIP if op.imm in _WIDTHS else _Kind.CONST), op, a, _WIDTHS.get(op.imm), None)
    if shape != RULE:
        return (int(_OF_STEP[shape]), op, a, b, result)
    kind = _Kind.END if op.name == "end" else _OF_IMM.get(op.imm, _Kind.READ)
    return (int(kind), op, RULES[a], None, None)


@functools.cache
def _entries(features: frozenset[Feature], address: NumType | None) -> tuple[Entry, ...]:
    """By the first byte of an instruction."""
    return tuple(_entry(byte, features, address) for byte in range(256))


def is_plainly_valid(model: ModuleModel, context: Context, signature: FuncType, function: Function) -> bool:
    """Whether a body is valid; False where that takes a closer look."""
    try:
        return _QuickValidator(context, signature, function.locals).end_of(model, function.start) == function.end
    except (Error, LookupError):
        return False


class _QuickValidator(BodyValidator):
    """A validator that reads for itself."""

    def end_of(self, model: ModuleModel, pos: int) -> int:
        """Where the valid expression that begins at `pos` ends; any Error or LookupError where it is none, or where
        that is not plain."""
        data = model.data
        context = self.context
        address = address_type(context.memories[0]) if context.memories else None
        max_offset = MAX_OFFSETS[address] if address is not None else 0
        entries = _entries(context.features, address)
        by_signature = RULES[SIGNATURE_RULE]
        stack, frames, readable, locals_ = self._stack, self.frames, self._readable, self._locals
        push, drop = stack.append, stack.pop
        get, const, binary, load, store, set_, tee, index = map(int, tuple(_Kind)[:8])
        end, block, unary, plain, read, skip, prefix = map(int, tuple(_Kind)[8:15])
        imm: Any
        op: Any
        while True:
            kind, op, a, b, result = entries[data[pos]]
            if kind == get:
                imm = data[pos + 1]
                if imm < 0x80:
                    pos += 2
                else:
                    imm, pos = read_u32(data, pos + 1)
                type_ = readable[imm]
                if type_ is None:
                    raise LookupError
                push(type_)
            elif kind == const:
                if data[pos + 1] < 0x80:
                    pos += 2
                elif data[pos + 2] < 0x80:
                    pos += 3
                elif data[pos + 3] < 0x80:  # up to four bytes of a number are right, whatever they are
                    pos += 4
                else:
                    _, pos = READERS[op.imm](data, pos + 1, model)
                push(a)
            elif kind == binary:
                pos += 1
                if stack[-1] is b and stack[-2] is a:
                    drop()
                    stack[-1] = result
                else:
                    self.pop(b, op)
                    self.pop(a, op)
                    push(result)
            elif kind <= store:
                # An alignment that is not too large has no bit 6 either, which says that a memory index follows.
                if data[pos + 1] > b:
                    imm, pos = READERS[Imm.MEMARG](data, pos + 1, model)
                    by_signature(self, op, imm)
                    continue
                if data[pos + 2] < 0x80:
                    pos += 3
                elif data[pos + 3] < 0x80:
                    pos += 4
                else:
                    imm, pos = READERS[Imm.MEMARG](data, pos + 1, model)
                    if imm[2] > max_offset:
                        raise LookupError
                if kind == load:
                    if stack[-1] is a:
                        stack[-1] = result
                    else:
                        self.pop(a, op)
                        push(result)
                elif stack[-1] is result and stack[-2] is a:
                    drop()
                    drop()
                else:
                    self.pop(result, op)
                    self.pop(a, op)
            elif kind <= tee:
                imm = data[pos + 1]
                if imm < 0x80:
                    pos += 2
                else:
                    imm, pos = read_u32(data, pos + 1)
                type_ = locals_[imm]
                if stack[-1] is type_:
                    if kind == set_:
                        drop()
                else:
                    self.pop(type_, op)
                    if kind == tee:
                        push(type_)
                if readable[imm] is None:
                    readable[imm] = type_
                    self._set_locals.append(imm)
            elif kind == index:
                imm = data[pos + 1]
                if imm < 0x80:
                    pos += 2
                else:
                    imm, pos = read_u32(data, pos + 1)
                a(self, op, imm)
            elif kind == end:
                pos += 1
                a(self, op, None)
                if not frames:
                    return pos
            elif kind == block:
                imm = SHORT_BLOCK_TYPES.get(data[pos + 1])
                if imm is not None:
                    pos += 2
                else:
                    imm, pos = READERS[Imm.BLOCK](data, pos + 1, model)
                a(self, op, imm)
            elif kind == unary:
                pos += 1
                if stack[-1] is a:
                    stack[-1] = result
                else:
                    self.pop(a, op)
                    push(result)
            elif kind == plain:
                pos += 1
                a(self, op, None)
            elif kind == read:
                imm, pos = READERS[op.imm](data, pos + 1, model)
                a(self, op, imm)
            elif kind == skip:
                pos += b
                push(a)
            elif kind == prefix:
                op = BY_PREFIX[data[pos]]
                code, pos = read_u32(data, pos + 1)
                op = op[code]
                if op.imm in NAMES_DATA and model.data_count is None:
                    raise LookupError
                imm, pos = READERS[op.imm](data, pos, model)
                shape, a, _, _ = plan_for(context.features, address)[op]
                (RULES[a] if shape == RULE else by_signature)(self, op, imm)
            else:
                raise LookupError
