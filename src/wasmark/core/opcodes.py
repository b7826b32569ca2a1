"""THE instruction table: one row an instruction, read by decoder, validator, text parser, printer, disassembler and
compiler.

A row says how an instruction is written (prefix, code, text name), what follows it (`Imm`), what it does to the operand
stack (`sig`), how many bytes of memory it touches (`access`), and which feature it belongs to. Nobody keeps a second
list.

A signature is `params:results`, the last operand on top, one letter a type:
`i` i32, `I` i64, `f` f32, `F` f64, `v` v128; `a` the address type of the memory named by the immediate, `t` that of the
table, `r` the element type of the table. A signature of None means that the validator and the compiler have a rule of
their own for the instruction (control, parametric and variable instructions, and those that relate two memories or
tables).
"""

from __future__ import annotations

import enum

from wasmark.core.features import Feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Imm(enum.Enum):
    """What follows an opcode (core §5.4), and what a decoded instruction carries for it."""

    NONE = "nothing; carries None"
    BLOCK = "a block type; carries (params, results), two tuples of value types"
    LABEL = "a label index"
    LABELS = "a vector of label indices and a default one; carries a tuple, the default last"
    FUNC = "a function index"
    TYPE = "a type index"
    TYPE_TABLE = "a type index and a table index; carries (type, table)"
    SELECT = "a vector of value types; carries a tuple"
    LOCAL = "a local index"
    GLOBAL = "a global index"
    TABLE = "a table index"
    TABLE_TABLE = "destination and source table; carries (destination, source)"
    ELEM = "an element segment index"
    ELEM_TABLE = "an element segment and a table; carries (segment, table)"
    MEMORY = "a memory index"
    MEMORY_MEMORY = "destination and source memory; carries (destination, source)"
    DATA = "a data segment index"
    DATA_MEMORY = "a data segment and a memory; carries (segment, memory)"
    MEMARG = "alignment, memory and offset; carries (align_log2, memory, offset)"
    I32 = "a signed 32-bit integer; carries a signed int"
    I64 = "a signed 64-bit integer; carries a signed int"
    F32 = "4 bytes; carries them as an unsigned int, so that NaN payloads survive"
    F64 = "8 bytes; carries them as an unsigned int"
    HEAP = "a heap type; carries a HeapType or a type index"

    __hash__ = object.__hash__


class Opcode:
    """A row. `prefix` is 0 for one-byte opcodes; `code` follows it as a byte, or as a LEB128 number behind a prefix."""

    __slots__ = ("access", "code", "feature", "imm", "name", "prefix", "sig")

    def __init__(
        self, prefix: int, code: int, name: str, imm: Imm, sig: str | None, feature: Feature, *, access: int = 0
    ) -> None:
        self.prefix = prefix
        self.code = code
        self.name = name
        self.imm = imm
        self.sig = sig
        self.feature = feature
        self.access = access

    def __repr__(self) -> str:
        return f"<Opcode {self.name}>"


# fmt: off
OPCODES: Final[tuple[Opcode, ...]] = (
    Opcode(0x00, 0x00, "unreachable", Imm.NONE, None, Feature.MVP),
    Opcode(0x00, 0x01, "nop", Imm.NONE, ":", Feature.MVP),
    Opcode(0x00, 0x02, "block", Imm.BLOCK, None, Feature.MVP),
    Opcode(0x00, 0x03, "loop", Imm.BLOCK, None, Feature.MVP),
    Opcode(0x00, 0x04, "if", Imm.BLOCK, None, Feature.MVP),
    Opcode(0x00, 0x05, "else", Imm.NONE, None, Feature.MVP),
    Opcode(0x00, 0x0b, "end", Imm.NONE, None, Feature.MVP),
    Opcode(0x00, 0x0c, "br", Imm.LABEL, None, Feature.MVP),
    Opcode(0x00, 0x0d, "br_if", Imm.LABEL, None, Feature.MVP),
    Opcode(0x00, 0x0e, "br_table", Imm.LABELS, None, Feature.MVP),
    Opcode(0x00, 0x0f, "return", Imm.NONE, None, Feature.MVP),
    Opcode(0x00, 0x10, "call", Imm.FUNC, None, Feature.MVP),
    Opcode(0x00, 0x11, "call_indirect", Imm.TYPE_TABLE, None, Feature.MVP),
    Opcode(0x00, 0x14, "call_ref", Imm.TYPE, None, Feature.FUNCTION_REFERENCES),
    Opcode(0x00, 0x1a, "drop", Imm.NONE, None, Feature.MVP),
    Opcode(0x00, 0x1b, "select", Imm.NONE, None, Feature.MVP),
    Opcode(0x00, 0x1c, "select", Imm.SELECT, None, Feature.REFERENCE_TYPES),
    Opcode(0x00, 0x20, "local.get", Imm.LOCAL, None, Feature.MVP),
    Opcode(0x00, 0x21, "local.set", Imm.LOCAL, None, Feature.MVP),
    Opcode(0x00, 0x22, "local.tee", Imm.LOCAL, None, Feature.MVP),
    Opcode(0x00, 0x23, "global.get", Imm.GLOBAL, None, Feature.MVP),
    Opcode(0x00, 0x24, "global.set", Imm.GLOBAL, None, Feature.MVP),
    Opcode(0x00, 0x25, "table.get", Imm.TABLE, None, Feature.REFERENCE_TYPES),
    Opcode(0x00, 0x26, "table.set", Imm.TABLE, None, Feature.REFERENCE_TYPES),
    Opcode(0x00, 0x28, "i32.load", Imm.MEMARG, "a:i", Feature.MVP, access=4),
    Opcode(0x00, 0x29, "i64.load", Imm.MEMARG, "a:I", Feature.MVP, access=8),
    Opcode(0x00, 0x2a, "f32.load", Imm.MEMARG, "a:f", Feature.MVP, access=4),
    Opcode(0x00, 0x2b, "f64.load", Imm.MEMARG, "a:F", Feature.MVP, access=8),
    Opcode(0x00, 0x2c, "i32.load8_s", Imm.MEMARG, "a:i", Feature.MVP, access=1),
    Opcode(0x00, 0x2d, "i32.load8_u", Imm.MEMARG, "a:i", Feature.MVP, access=1),
    Opcode(0x00, 0x2e, "i32.load16_s", Imm.MEMARG, "a:i", Feature.MVP, access=2),
    Opcode(0x00, 0x2f, "i32.load16_u", Imm.MEMARG, "a:i", Feature.MVP, access=2),
    Opcode(0x00, 0x30, "i64.load8_s", Imm.MEMARG, "a:I", Feature.MVP, access=1),
    Opcode(0x00, 0x31, "i64.load8_u", Imm.MEMARG, "a:I", Feature.MVP, access=1),
    Opcode(0x00, 0x32, "i64.load16_s", Imm.MEMARG, "a:I", Feature.MVP, access=2),
    Opcode(0x00, 0x33, "i64.load16_u", Imm.MEMARG, "a:I", Feature.MVP, access=2),
    Opcode(0x00, 0x34, "i64.load32_s", Imm.MEMARG, "a:I", Feature.MVP, access=4),
    Opcode(0x00, 0x35, "i64.load32_u", Imm.MEMARG, "a:I", Feature.MVP, access=4),
    Opcode(0x00, 0x36, "i32.store", Imm.MEMARG, "ai:", Feature.MVP, access=4),
    Opcode(0x00, 0x37, "i64.store", Imm.MEMARG, "aI:", Feature.MVP, access=8),
    Opcode(0x00, 0x38, "f32.store", Imm.MEMARG, "af:", Feature.MVP, access=4),
    Opcode(0x00, 0x39, "f64.store", Imm.MEMARG, "aF:", Feature.MVP, access=8),
    Opcode(0x00, 0x3a, "i32.store8", Imm.MEMARG, "ai:", Feature.MVP, access=1),
    Opcode(0x00, 0x3b, "i32.store16", Imm.MEMARG, "ai:", Feature.MVP, access=2),
    Opcode(0x00, 0x3c, "i64.store8", Imm.MEMARG, "aI:", Feature.MVP, access=1),
    Opcode(0x00, 0x3d, "i64.store16", Imm.MEMARG, "aI:", Feature.MVP, access=2),
    Opcode(0x00, 0x3e, "i64.store32", Imm.MEMARG, "aI:", Feature.MVP, access=4),
    Opcode(0x00, 0x3f, "memory.size", Imm.MEMORY, ":a", Feature.MVP),
    Opcode(0x00, 0x40, "memory.grow", Imm.MEMORY, "a:a", Feature.MVP),
    Opcode(0x00, 0x41, "i32.const", Imm.I32, ":i", Feature.MVP),
    Opcode(0x00, 0x42, "i64.const", Imm.I64, ":I", Feature.MVP),
    Opcode(0x00, 0x43, "f32.const", Imm.F32, ":f", Feature.MVP),
    Opcode(0x00, 0x44, "f64.const", Imm.F64, ":F", Feature.MVP),
    Opcode(0x00, 0x45, "i32.eqz", Imm.NONE, "i:i", Feature.MVP),
    Opcode(0x00, 0x46, "i32.eq", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x47, "i32.ne", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x48, "i32.lt_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x49, "i32.lt_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x4a, "i32.gt_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x4b, "i32.gt_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x4c, "i32.le_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x4d, "i32.le_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x4e, "i32.ge_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x4f, "i32.ge_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x50, "i64.eqz", Imm.NONE, "I:i", Feature.MVP),
    Opcode(0x00, 0x51, "i64.eq", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x52, "i64.ne", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x53, "i64.lt_s", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x54, "i64.lt_u", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x55, "i64.gt_s", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x56, "i64.gt_u", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x57, "i64.le_s", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x58, "i64.le_u", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x59, "i64.ge_s", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x5a, "i64.ge_u", Imm.NONE, "II:i", Feature.MVP),
    Opcode(0x00, 0x5b, "f32.eq", Imm.NONE, "ff:i", Feature.MVP),
    Opcode(0x00, 0x5c, "f32.ne", Imm.NONE, "ff:i", Feature.MVP),
    Opcode(0x00, 0x5d, "f32.lt", Imm.NONE, "ff:i", Feature.MVP),
    Opcode(0x00, 0x5e, "f32.gt", Imm.NONE, "ff:i", Feature.MVP),
    Opcode(0x00, 0x5f, "f32.le", Imm.NONE, "ff:i", Feature.MVP),
    Opcode(0x00, 0x60, "f32.ge", Imm.NONE, "ff:i", Feature.MVP),
    Opcode(0x00, 0x61, "f64.eq", Imm.NONE, "FF:i", Feature.MVP),
    Opcode(0x00, 0x62, "f64.ne", Imm.NONE, "FF:i", Feature.MVP),
    Opcode(0x00, 0x63, "f64.lt", Imm.NONE, "FF:i", Feature.MVP),
    Opcode(0x00, 0x64, "f64.gt", Imm.NONE, "FF:i", Feature.MVP),
    Opcode(0x00, 0x65, "f64.le", Imm.NONE, "FF:i", Feature.MVP),
    Opcode(0x00, 0x66, "f64.ge", Imm.NONE, "FF:i", Feature.MVP),
    Opcode(0x00, 0x67, "i32.clz", Imm.NONE, "i:i", Feature.MVP),
    Opcode(0x00, 0x68, "i32.ctz", Imm.NONE, "i:i", Feature.MVP),
    Opcode(0x00, 0x69, "i32.popcnt", Imm.NONE, "i:i", Feature.MVP),
    Opcode(0x00, 0x6a, "i32.add", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x6b, "i32.sub", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x6c, "i32.mul", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x6d, "i32.div_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x6e, "i32.div_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x6f, "i32.rem_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x70, "i32.rem_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x71, "i32.and", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x72, "i32.or", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x73, "i32.xor", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x74, "i32.shl", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x75, "i32.shr_s", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x76, "i32.shr_u", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x77, "i32.rotl", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x78, "i32.rotr", Imm.NONE, "ii:i", Feature.MVP),
    Opcode(0x00, 0x79, "i64.clz", Imm.NONE, "I:I", Feature.MVP),
    Opcode(0x00, 0x7a, "i64.ctz", Imm.NONE, "I:I", Feature.MVP),
    Opcode(0x00, 0x7b, "i64.popcnt", Imm.NONE, "I:I", Feature.MVP),
    Opcode(0x00, 0x7c, "i64.add", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x7d, "i64.sub", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x7e, "i64.mul", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x7f, "i64.div_s", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x80, "i64.div_u", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x81, "i64.rem_s", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x82, "i64.rem_u", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x83, "i64.and", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x84, "i64.or", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x85, "i64.xor", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x86, "i64.shl", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x87, "i64.shr_s", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x88, "i64.shr_u", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x89, "i64.rotl", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x8a, "i64.rotr", Imm.NONE, "II:I", Feature.MVP),
    Opcode(0x00, 0x8b, "f32.abs", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x8c, "f32.neg", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x8d, "f32.ceil", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x8e, "f32.floor", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x8f, "f32.trunc", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x90, "f32.nearest", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x91, "f32.sqrt", Imm.NONE, "f:f", Feature.MVP),
    Opcode(0x00, 0x92, "f32.add", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x93, "f32.sub", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x94, "f32.mul", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x95, "f32.div", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x96, "f32.min", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x97, "f32.max", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x98, "f32.copysign", Imm.NONE, "ff:f", Feature.MVP),
    Opcode(0x00, 0x99, "f64.abs", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0x9a, "f64.neg", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0x9b, "f64.ceil", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0x9c, "f64.floor", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0x9d, "f64.trunc", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0x9e, "f64.nearest", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0x9f, "f64.sqrt", Imm.NONE, "F:F", Feature.MVP),
    Opcode(0x00, 0xa0, "f64.add", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa1, "f64.sub", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa2, "f64.mul", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa3, "f64.div", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa4, "f64.min", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa5, "f64.max", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa6, "f64.copysign", Imm.NONE, "FF:F", Feature.MVP),
    Opcode(0x00, 0xa7, "i32.wrap_i64", Imm.NONE, "I:i", Feature.MVP),
    Opcode(0x00, 0xa8, "i32.trunc_f32_s", Imm.NONE, "f:i", Feature.MVP),
    Opcode(0x00, 0xa9, "i32.trunc_f32_u", Imm.NONE, "f:i", Feature.MVP),
    Opcode(0x00, 0xaa, "i32.trunc_f64_s", Imm.NONE, "F:i", Feature.MVP),
    Opcode(0x00, 0xab, "i32.trunc_f64_u", Imm.NONE, "F:i", Feature.MVP),
    Opcode(0x00, 0xac, "i64.extend_i32_s", Imm.NONE, "i:I", Feature.MVP),
    Opcode(0x00, 0xad, "i64.extend_i32_u", Imm.NONE, "i:I", Feature.MVP),
    Opcode(0x00, 0xae, "i64.trunc_f32_s", Imm.NONE, "f:I", Feature.MVP),
    Opcode(0x00, 0xaf, "i64.trunc_f32_u", Imm.NONE, "f:I", Feature.MVP),
    Opcode(0x00, 0xb0, "i64.trunc_f64_s", Imm.NONE, "F:I", Feature.MVP),
    Opcode(0x00, 0xb1, "i64.trunc_f64_u", Imm.NONE, "F:I", Feature.MVP),
    Opcode(0x00, 0xb2, "f32.convert_i32_s", Imm.NONE, "i:f", Feature.MVP),
    Opcode(0x00, 0xb3, "f32.convert_i32_u", Imm.NONE, "i:f", Feature.MVP),
    Opcode(0x00, 0xb4, "f32.convert_i64_s", Imm.NONE, "I:f", Feature.MVP),
    Opcode(0x00, 0xb5, "f32.convert_i64_u", Imm.NONE, "I:f", Feature.MVP),
    Opcode(0x00, 0xb6, "f32.demote_f64", Imm.NONE, "F:f", Feature.MVP),
    Opcode(0x00, 0xb7, "f64.convert_i32_s", Imm.NONE, "i:F", Feature.MVP),
    Opcode(0x00, 0xb8, "f64.convert_i32_u", Imm.NONE, "i:F", Feature.MVP),
    Opcode(0x00, 0xb9, "f64.convert_i64_s", Imm.NONE, "I:F", Feature.MVP),
    Opcode(0x00, 0xba, "f64.convert_i64_u", Imm.NONE, "I:F", Feature.MVP),
    Opcode(0x00, 0xbb, "f64.promote_f32", Imm.NONE, "f:F", Feature.MVP),
    Opcode(0x00, 0xbc, "i32.reinterpret_f32", Imm.NONE, "f:i", Feature.MVP),
    Opcode(0x00, 0xbd, "i64.reinterpret_f64", Imm.NONE, "F:I", Feature.MVP),
    Opcode(0x00, 0xbe, "f32.reinterpret_i32", Imm.NONE, "i:f", Feature.MVP),
    Opcode(0x00, 0xbf, "f64.reinterpret_i64", Imm.NONE, "I:F", Feature.MVP),
    Opcode(0x00, 0xc0, "i32.extend8_s", Imm.NONE, "i:i", Feature.SIGN_EXTENSION),
    Opcode(0x00, 0xc1, "i32.extend16_s", Imm.NONE, "i:i", Feature.SIGN_EXTENSION),
    Opcode(0x00, 0xc2, "i64.extend8_s", Imm.NONE, "I:I", Feature.SIGN_EXTENSION),
    Opcode(0x00, 0xc3, "i64.extend16_s", Imm.NONE, "I:I", Feature.SIGN_EXTENSION),
    Opcode(0x00, 0xc4, "i64.extend32_s", Imm.NONE, "I:I", Feature.SIGN_EXTENSION),
    Opcode(0x00, 0xd0, "ref.null", Imm.HEAP, None, Feature.REFERENCE_TYPES),
    Opcode(0x00, 0xd1, "ref.is_null", Imm.NONE, None, Feature.REFERENCE_TYPES),
    Opcode(0x00, 0xd2, "ref.func", Imm.FUNC, None, Feature.REFERENCE_TYPES),
    Opcode(0x00, 0xd4, "ref.as_non_null", Imm.NONE, None, Feature.FUNCTION_REFERENCES),
    Opcode(0x00, 0xd5, "br_on_null", Imm.LABEL, None, Feature.FUNCTION_REFERENCES),
    Opcode(0x00, 0xd6, "br_on_non_null", Imm.LABEL, None, Feature.FUNCTION_REFERENCES),
    Opcode(0xFC, 0x00, "i32.trunc_sat_f32_s", Imm.NONE, "f:i", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x01, "i32.trunc_sat_f32_u", Imm.NONE, "f:i", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x02, "i32.trunc_sat_f64_s", Imm.NONE, "F:i", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x03, "i32.trunc_sat_f64_u", Imm.NONE, "F:i", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x04, "i64.trunc_sat_f32_s", Imm.NONE, "f:I", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x05, "i64.trunc_sat_f32_u", Imm.NONE, "f:I", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x06, "i64.trunc_sat_f64_s", Imm.NONE, "F:I", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x07, "i64.trunc_sat_f64_u", Imm.NONE, "F:I", Feature.SATURATING_TRUNCATION),
    Opcode(0xFC, 0x08, "memory.init", Imm.DATA_MEMORY, "aii:", Feature.BULK_MEMORY),
    Opcode(0xFC, 0x09, "data.drop", Imm.DATA, ":", Feature.BULK_MEMORY),
    Opcode(0xFC, 0x0a, "memory.copy", Imm.MEMORY_MEMORY, None, Feature.BULK_MEMORY),
    Opcode(0xFC, 0x0b, "memory.fill", Imm.MEMORY, "aia:", Feature.BULK_MEMORY),
    Opcode(0xFC, 0x0c, "table.init", Imm.ELEM_TABLE, "tii:", Feature.BULK_MEMORY),
    Opcode(0xFC, 0x0d, "elem.drop", Imm.ELEM, ":", Feature.BULK_MEMORY),
    Opcode(0xFC, 0x0e, "table.copy", Imm.TABLE_TABLE, None, Feature.BULK_MEMORY),
    Opcode(0xFC, 0x0f, "table.grow", Imm.TABLE, "rt:t", Feature.REFERENCE_TYPES),
    Opcode(0xFC, 0x10, "table.size", Imm.TABLE, ":t", Feature.REFERENCE_TYPES),
    Opcode(0xFC, 0x11, "table.fill", Imm.TABLE, "trt:", Feature.REFERENCE_TYPES),
)
# fmt: on

PREFIXES: Final[frozenset[int]] = frozenset(op.prefix for op in OPCODES if op.prefix)


def _single_byte_table() -> tuple[Opcode | None, ...]:
    table: list[Opcode | None] = [None] * 256
    for op in OPCODES:
        if not op.prefix:
            table[op.code] = op
    return tuple(table)


BY_BYTE: Final[tuple[Opcode | None, ...]] = _single_byte_table()
"""One-byte opcodes by their byte; None where there is none (or it is a prefix)."""

BY_PREFIX: Final[dict[int, dict[int, Opcode]]] = {
    prefix: {op.code: op for op in OPCODES if op.prefix == prefix} for prefix in PREFIXES
}
"""Prefixed opcodes: prefix -> code -> row."""

BY_NAME: Final[dict[str, Opcode]] = {op.name: op for op in reversed(OPCODES)}
"""Rows by text name. `select` has two rows; this is the one without types."""

SELECT_TYPED: Final[Opcode] = BY_BYTE[0x1C]  # type: ignore[assignment]
"""The `select` that names its types, which the text format writes with a `(result ...)`."""
