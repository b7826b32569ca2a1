"""Instructions in the text format (core §6.5), folded and flat, written straight out as binary code.

There is no tree in between. What a folded instruction still has to write when its operands are done, and what an open
block is called, lies on an explicit stack: the depth of nesting is bounded by memory and not by Python's own stack.

`_IMMEDIATES` has one reader for each kind of immediate of the opcode table; it answers with what a decoded instruction
would carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from wasmark.binary import encode_instruction
from wasmark.binary.metadata import CODE_METADATA
from wasmark.core.opcodes import (
    BY_NAME,
    CATCH,
    CATCH_ALL,
    CATCH_ALL_REF,
    CATCH_REF,
    NULLABLE,
    SELECT_TYPED,
    Imm,
    Opcode,
)
from wasmark.core.types import HeapType, RefType, ValType
from wasmark.text.lexer import ANNOTATION, Tokens
from wasmark.text.numbers import (
    NOT_A_NUMBER,
    SHAPES,
    join_lanes,
    parse_f32,
    parse_f64,
    parse_int,
    parse_uint,
)
from wasmark.text.types import TypeParser

_END: Final = BY_NAME["end"].code
_ELSE: Final = BY_NAME["else"].code

_STRUCTURED: Final = frozenset(
    ("block", "loop", "if", "else", "end", "try_table", "try", "catch", "catch_all", "delegate")
)

_PLAIN: Final = {
    name: encode_instruction(row, None)
    for name, row in BY_NAME.items()
    if row.imm is Imm.NONE and name not in _STRUCTURED | {"select"}
}
"""Instructions that are nothing but their opcode."""

_WITH_IMMEDIATE: Final = {name: row for name, row in BY_NAME.items() if name not in _PLAIN and name not in _STRUCTURED}

_SELECT: Final = BY_NAME["select"]

_OPENING: Final = ("block", "loop", "try_table", "try")
"""Words that open a block and have no condition."""

# What may lie on the stack of open forms. Those from _OPERATOR on take folded instructions only.
_BLOCK: Final = 0  # flat, closed by `end`
_IF: Final = 1  # flat `if`, which may still have an `else`
_FOLDED: Final = 2  # a folded block or loop
_THEN: Final = 3  # the first arm of a folded `if`
_OTHERWISE: Final = 4  # its second arm
_CLOSED_BY_BRACKET: Final = (_FOLDED, _THEN, _OTHERWISE)
_TRY: Final = 5  # flat `try`, which may have handlers
_CATCH: Final = 6  # the same behind a `catch`
_ARM: Final = 7  # the `do`, `catch` or `catch_all` of a folded `try`
_OPERATOR: Final = 8  # a folded instruction whose operands are being written
_CONDITION: Final = 9  # a folded `if` before its `then`
_FOLDED_TRY: Final = 10  # a folded `try` before its `do`; from here on there are no instructions, but arms
_DONE: Final = 11  # the same behind its `do`
_CAUGHT: Final = 12  # the same behind a `catch`
_CAUGHT_ALL: Final = 13  # the same behind the `catch_all`
_DELEGATED: Final = 14  # the same behind the `delegate`
_ENDS: Final = (_DONE, _CAUGHT, _CAUGHT_ALL)
_CLAUSES: Final = {"catch": CATCH, "catch_ref": CATCH_REF, "catch_all": CATCH_ALL, "catch_all_ref": CATCH_ALL_REF}

_Frame = tuple[int, bytes, str | None]
"""Kind, code still to be written, label."""


class InstructionParser(TypeParser):
    """Writes expressions to `out`; the name spaces are those of the module, and of the function being read."""

    def __init__(self, tokens: Tokens, pos: int = 0) -> None:
        super().__init__(tokens, pos)
        self.out = bytearray()
        self.funcs: dict[str, int] = {}
        self.tables: dict[str, int] = {}
        self.memories: dict[str, int] = {}
        self.globals: dict[str, int] = {}
        self.tags: dict[str, int] = {}
        self.elems: dict[str, int] = {}
        self.datas: dict[str, int] = {}
        self.locals: dict[str, int] = {}
        self.names_data = False  # whether an instruction names a data segment (core §5.5.16)
        self.label_names: dict[int, str] = {}  # of the expression that was read last, by the number of the block
        self.code_metadata: list[tuple[int, int]] = []  # of the same: place in `out`, and the annotation's token
        self._blocks = 0
        self._labels: dict[str, list[int]] = {}
        self._depth = 0
        self._pending: list[int] = []  # the metadata of the next instruction, by their tokens
        self._carried: dict[int, list[int]] = {}  # those of folded instructions, by the place on the stack

    def expression(self) -> None:
        """Write instructions up to the closing bracket of the form around them, which is not passed, and an `end`."""
        self._instructions(single=False)
        self.out.append(_END)

    def folded_expression(self) -> None:
        """Write one folded instruction, and an `end`."""
        if self.toks[self.pos] != "(":
            raise self.unexpected("a folded instruction")
        self._instructions(single=True)
        self.out.append(_END)

    def _instructions(self, *, single: bool) -> None:
        toks = self.toks
        out = self.out
        plain = _PLAIN
        stack: list[_Frame] = []
        top = _BLOCK  # kind of the innermost form
        i = self.pos
        self._labels = {}
        self._depth = 0
        self._blocks = 0
        self.label_names = {}
        self.code_metadata = []
        pending = self._pending = []
        carried = self._carried = {}
        while True:
            token = toks[i]
            i += 1
            if token == "(":
                token = toks[i]
                i += 1
                code = plain.get(token) if top < _FOLDED_TRY else None
                if code is None:
                    row = _WITH_IMMEDIATE.get(token) if top < _FOLDED_TRY else None
                    if row is None:
                        top, i = self._open_form(token, i, stack, top)
                        continue
                    self.pos = i
                    code = self._instruction(row)
                    i = self.pos
                if toks[i] != ")":
                    if pending:
                        self._carry(len(stack))
                    stack.append((_OPERATOR, code, None))
                    top = _OPERATOR
                    continue
                i += 1
                if pending:
                    self._settle()
                out += code
            elif token == ")":
                if pending:
                    raise self.unexpected("an instruction", i - 2)
                if not stack:
                    self.pos = i - 1
                    return
                kind, code, label = stack.pop()
                if kind == _OPERATOR:
                    if carried:
                        self._settle(carried.pop(len(stack), []))
                    out += code
                elif kind == _THEN and toks[i] == "(" and toks[i + 1] == "else":
                    stack.append((_OTHERWISE, b"", label))
                    out.append(_ELSE)
                    i += 2
                elif kind in _CLOSED_BY_BRACKET:
                    if kind != _FOLDED:
                        if toks[i] != ")":
                            raise self.unexpected("')'" if kind == _OTHERWISE else "'(else' or ')'", i)
                        i += 1
                    out.append(_END)
                    self._close_label(label)
                elif kind == _CONDITION:
                    raise self.unexpected("'(then'", i - 1)
                elif kind == _FOLDED_TRY:
                    raise self.unexpected("'(do'", i - 1)
                elif kind in _ENDS:
                    out.append(_END)
                    self._close_label(label)
                elif kind != _ARM and kind != _DELEGATED:
                    raise self.unexpected("'end'", i - 1)
                top = stack[-1][0] if stack else _BLOCK
            else:
                if top >= _OPERATOR and token != ANNOTATION:
                    raise self.unexpected("a folded instruction or ')'", i - 1)
                code = plain.get(token)
                if code is None:
                    row = _WITH_IMMEDIATE.get(token)
                    if row is None:
                        top, i = self._flat_form(token, i, stack)
                        continue
                    self.pos = i
                    code = self._instruction(row)
                    i = self.pos
                if pending:
                    self._settle()
                out += code
                continue
            if single and not stack:
                self.pos = i
                return

    def _open_form(self, token: str, i: int, stack: list[_Frame], top: int) -> tuple[int, int]:
        """A `(` with a word that opens a block, or an arm of one; answers with the new top and position."""
        if top >= _FOLDED_TRY:
            return self._open_arm(token, i, stack, top)
        if token in _OPENING:
            label = self._open_block(token, i)
            kind = _FOLDED_TRY if token == "try" else _FOLDED
            stack.append((kind, b"", label))
            self._open_label(label)
            return kind, self.pos
        if token == "if":
            start = len(self.out)
            label = self._open_block(token, i)
            code = bytes(self.out[start:])
            del self.out[start:]
            if self._pending:
                self._carry(len(stack))
            stack.append((_CONDITION, code, label))
            return _CONDITION, self.pos
        if token == "then" and top == _CONDITION and not self._pending:
            _, code, label = stack[-1]
            self._settle(self._carried.pop(len(stack) - 1, []))
            self.out += code
            stack[-1] = (_THEN, b"", label)
            self._open_label(label)
            return _THEN, i
        raise self.unexpected("an instruction", i - (3 if self._pending else 1))

    def _open_arm(self, token: str, i: int, stack: list[_Frame], top: int) -> tuple[int, int]:
        """The same for the arms of a folded `try`."""
        label = stack[-1][2]
        self.pos = i
        if token == "do" and top == _FOLDED_TRY:
            behind = _DONE
        elif token in ("catch", "catch_all") and top in (_DONE, _CAUGHT):
            behind = self._handler(token)
        elif token == "delegate" and top == _DONE:
            self._delegate(label)
            self.expect(")")
            stack[-1] = (_DELEGATED, b"", None)
            return _DELEGATED, self.pos
        else:
            raise self.unexpected("'(do'" if top == _FOLDED_TRY else "a handler or ')'", i - 1)
        stack[-1] = (behind, b"", label)
        stack.append((_ARM, b"", None))
        return _ARM, self.pos

    def _handler(self, token: str) -> int:
        """Write a `catch` or `catch_all`; what a folded `try` is behind it."""
        imm = self.index(self.tags, "tag") if token == "catch" else None
        self.out += encode_instruction(BY_NAME[token], imm)
        return _CAUGHT if token == "catch" else _CAUGHT_ALL

    def _delegate(self, label: str | None) -> None:
        self._close_label(label)
        self.out += encode_instruction(BY_NAME["delegate"], self.label())

    def _flat_form(self, token: str, i: int, stack: list[_Frame]) -> tuple[int, int]:
        """The parts of flat blocks; answers as `_open_form`."""
        if token == ANNOTATION:
            self._annotate(i - 1)
            return stack[-1][0] if stack else _BLOCK, i
        kind = stack[-1][0] if stack else -1
        if token in _OPENING or token == "if":
            label = self._open_block(token, i)
            kind = {"if": _IF, "try": _TRY}.get(token, _BLOCK)
            stack.append((kind, b"", label))
            self._open_label(label)
            return kind, self.pos
        if self._pending:
            raise self.unexpected("an instruction", i - 2)
        if token in ("catch", "catch_all") and kind in (_TRY, _CATCH):
            self.pos = i
            kind = _CATCH if self._handler(token) == _CAUGHT else _BLOCK
            stack[-1] = (kind, b"", stack[-1][2])
            return kind, self.pos
        if token == "delegate" and kind == _TRY:
            self.pos = i
            self._delegate(stack.pop()[2])
            return stack[-1][0] if stack else _BLOCK, self.pos
        if (token == "end" and kind in (_BLOCK, _IF, _TRY, _CATCH)) or (token == "else" and kind == _IF):
            label = stack.pop()[2]
            self.pos = i
            repeated = self.optional_id()
            if repeated is not None and repeated != label:
                raise self.error(f"mismatching label {repeated}, expected {label or 'none'}", i)
            if token == "else":
                self.out.append(_ELSE)
                stack.append((_BLOCK, b"", label))
            else:
                self.out.append(_END)
                self._close_label(label)
            return stack[-1][0] if stack else _BLOCK, self.pos
        raise self.unexpected("an instruction", i - 1)

    def _open_block(self, token: str, i: int) -> str | None:
        """Write the beginning of a block; its label."""
        self.pos = i
        label = self.optional_id()
        if label is not None:
            self.label_names[self._blocks] = label[1:]
        self._blocks += 1
        if token != "if" or self.toks[i - 2] != "(":
            self._settle()
        imm: Any = self._block_type()
        if token == "try_table":
            imm = imm, tuple(self._clauses())
        self.out += encode_instruction(BY_NAME[token], imm)
        return label

    def _clauses(self) -> Iterator[tuple[int, int, int]]:
        """The catch clauses of a `try_table`, whose own label is not open yet."""
        while self.toks[self.pos] == "(" and self.toks[self.pos + 1] in _CLAUSES:
            kind = _CLAUSES[self.toks[self.pos + 1]]
            self.pos += 2
            tag = self.index(self.tags, "tag") if kind < CATCH_ALL else 0
            yield kind, tag, self.label()
            self.expect(")")

    def _block_type(self) -> int | tuple[tuple[ValType, ...], tuple[ValType, ...]]:
        """A type index, or the parameters and results of a type that can be written without one (§6.5.3)."""
        if self.at_form("type"):
            return self.type_use(None)
        type_ = self.func_type(None)
        if type_.params or len(type_.results) > 1:
            return self.types.implicit(type_)
        return (), type_.results

    def _instruction(self, row: Opcode) -> bytes:
        if row is _SELECT and self.at_form("result"):
            row = SELECT_TYPED
        imm = _IMMEDIATES[row.imm](self, row)
        if row in NULLABLE and isinstance(imm, RefType) and imm.nullable:
            row = NULLABLE[row]
        return encode_instruction(row, imm)

    # Metadata of instructions: a folded one is written when its operands are done

    def _annotate(self, at: int) -> None:
        """Keep the metadata at this token for the next instruction."""
        annotations = self.tokens.annotations
        kind = annotations[at].kind
        if not kind.startswith(CODE_METADATA):
            raise self.unexpected("an instruction", at)
        if any(annotations[other].kind == kind for other in self._pending):
            raise self.error(f"@{kind} annotation: duplicate annotation", at)
        self._pending.append(at)

    def _carry(self, place: int) -> None:
        """What is pending is about the folded instruction at this place of the stack."""
        self._carried[place] = self._pending[:]
        self._pending.clear()

    def _settle(self, carried: list[int] | None = None) -> None:
        """What was carried, by default what is pending, is about the instruction that is written next."""
        place = len(self.out)
        about = self._pending if carried is None else carried
        self.code_metadata += [(place, at) for at in about]
        about.clear()

    def _open_label(self, label: str | None) -> None:
        self._depth += 1
        if label is not None:
            self._labels.setdefault(label, []).append(self._depth)

    def _close_label(self, label: str | None) -> None:
        self._depth -= 1
        if label is not None:
            self._labels[label].pop()

    def label(self) -> int:
        """A label index, numeric or by name."""
        token = self.toks[self.pos]
        if token[:1] != "$":
            return self.uint(32, "a label index")
        depths = self._labels.get(self.canonical_id(token, self.pos))
        if not depths:
            raise self.error(f"unknown label {token}")
        self.pos += 1
        return self._depth - depths[-1]

    def at_index(self) -> bool:
        """Whether an index stands here."""
        token = self.toks[self.pos]
        return token[:1] == "$" or token[:1].isdecimal()

    def optional_index(self, names: dict[str, int], space: str) -> int:
        """An index, 0 where there is none."""
        return self.index(names, space) if self.at_index() else 0

    def number(self, parse: Callable[[str], int], what: str) -> int:
        """A number literal for `parse`."""
        try:
            value = parse(self.toks[self.pos])
        except ValueError as error:
            if str(error) == NOT_A_NUMBER:
                raise self.unexpected(what) from None
            raise self.error(f"{error}: {self.toks[self.pos]}") from None
        self.pos += 1
        return value


_Immediate = int | tuple[int, ...] | tuple[ValType, ...] | tuple[int, RefType, RefType] | RefType | HeapType | None


def _labels(parser: InstructionParser, row: Opcode) -> _Immediate:
    labels = [parser.label()]
    while parser.at_index():
        labels.append(parser.label())
    return tuple(labels)


def _two(parser: InstructionParser, names: dict[str, int], space: str) -> _Immediate:
    """Both indices or none."""
    if not parser.at_index():
        return 0, 0
    return parser.index(names, space), parser.index(names, space)


def _segment(
    parser: InstructionParser, segments: dict[str, int], segment: str, targets: dict[str, int], target: str
) -> _Immediate:
    """A segment, and before it the table or memory, which may be left out; in binary code they change places."""
    behind = 0
    parser.pos += 1
    both = parser.at_index()
    parser.pos -= 1
    if both:
        behind = parser.index(targets, target)
    return parser.index(segments, segment), behind


def _type_table(parser: InstructionParser, row: Opcode) -> _Immediate:
    table = parser.optional_index(parser.tables, "table")
    return parser.type_use(None), table


def _data(parser: InstructionParser, row: Opcode) -> _Immediate:
    parser.names_data = True
    return parser.index(parser.datas, "data segment")


def _data_memory(parser: InstructionParser, row: Opcode) -> _Immediate:
    parser.names_data = True
    return _segment(parser, parser.datas, "data segment", parser.memories, "memory")


def _memarg(parser: InstructionParser, row: Opcode) -> tuple[int, int, int]:
    memory = parser.optional_index(parser.memories, "memory")
    offset = _keyed_number(parser, "offset=")
    align = _keyed_number(parser, "align=")
    if align is None:
        align = row.access
    elif align & (align - 1) or not align:
        raise parser.error(f"alignment must be a power of two: {align}", parser.pos - 1)
    return align.bit_length() - 1, memory, offset or 0


def _memarg_lane(parser: InstructionParser, row: Opcode) -> _Immediate:
    """A number is the memory only where a lane index, or the rest of the memory's operand, is still to come."""
    here, behind = parser.toks[parser.pos : parser.pos + 2]
    if here[:1].isdecimal() and not (behind[:1].isdecimal() or behind.startswith(("offset=", "align="))):
        return row.access.bit_length() - 1, 0, 0, _lane(parser, row)
    return *_memarg(parser, row), _lane(parser, row)


def _lane(parser: InstructionParser, row: Opcode) -> int:
    return parser.number(_parse_u8, "a lane index")


def _lanes(parser: InstructionParser, row: Opcode) -> _Immediate:
    lanes: list[int] = []
    while parser.toks[parser.pos][:1] not in "()$" and len(lanes) < 16:
        lanes.append(_lane(parser, row))
    if len(lanes) != 16 or parser.at_index():
        raise parser.error(f"invalid lane length: {row.name} has 16 lane indices")
    return tuple(lanes)


def _v128(parser: InstructionParser, row: Opcode) -> int:
    shape = parser.toks[parser.pos]
    if shape not in SHAPES:
        raise parser.unexpected("a shape such as i32x4")
    parser.pos += 1
    count, _, parse = SHAPES[shape]
    kind = "an integer" if shape[0] == "i" else "a floating-point number"
    lanes = [parser.number(parse, kind) for _ in range(count)]
    if parser.toks[parser.pos][:1].isdecimal():
        raise parser.error(f"wrong number of lane literals: {shape} has {count}")
    return join_lanes(lanes)


def _type_field(parser: InstructionParser, row: Opcode) -> _Immediate:
    type_index = parser.index(parser.types.names, "type")
    known = parser.types.field_ids
    return type_index, parser.index(known[type_index] if type_index < len(known) else {}, "field")


def _type_data(parser: InstructionParser, row: Opcode) -> _Immediate:
    parser.names_data = True
    return parser.index(parser.types.names, "type"), parser.index(parser.datas, "data segment")


def _keyed_number(parser: InstructionParser, key: str) -> int | None:
    token = parser.toks[parser.pos]
    if not token.startswith(key):
        return None
    number = token[len(key) :]
    if not number[:1].isdecimal():
        raise parser.error(f"unknown operator {token}, expected a number behind {key}")
    return parser.number(lambda _: parse_uint(number, 64), "a number")


_IMMEDIATES: Final[dict[Imm, Callable[[InstructionParser, Opcode], _Immediate]]] = {
    Imm.NONE: lambda parser, row: None,
    Imm.LABEL: lambda parser, row: parser.label(),
    Imm.LABELS: _labels,
    Imm.FUNC: lambda parser, row: parser.index(parser.funcs, "func"),
    Imm.TYPE: lambda parser, row: parser.index(parser.types.names, "type"),
    Imm.TYPE_TABLE: _type_table,
    Imm.SELECT: lambda parser, row: tuple(parser.results()),
    Imm.LOCAL: lambda parser, row: parser.index(parser.locals, "local"),
    Imm.GLOBAL: lambda parser, row: parser.index(parser.globals, "global"),
    Imm.TABLE: lambda parser, row: parser.optional_index(parser.tables, "table"),
    Imm.TABLE_TABLE: lambda parser, row: _two(parser, parser.tables, "table"),
    Imm.ELEM: lambda parser, row: parser.index(parser.elems, "elem segment"),
    Imm.ELEM_TABLE: lambda parser, row: _segment(parser, parser.elems, "elem segment", parser.tables, "table"),
    Imm.MEMORY: lambda parser, row: parser.optional_index(parser.memories, "memory"),
    Imm.MEMORY_MEMORY: lambda parser, row: _two(parser, parser.memories, "memory"),
    Imm.DATA: _data,
    Imm.DATA_MEMORY: _data_memory,
    Imm.MEMARG: _memarg,
    Imm.ZERO: lambda parser, row: None,
    Imm.I32: lambda parser, row: parser.number(_parse_i32, "an integer"),
    Imm.I64: lambda parser, row: parser.number(_parse_i64, "an integer"),
    Imm.F32: lambda parser, row: parser.number(parse_f32, "a floating-point number"),
    Imm.F64: lambda parser, row: parser.number(parse_f64, "a floating-point number"),
    Imm.TAG: lambda parser, row: parser.index(parser.tags, "tag"),
    Imm.V128: _v128,
    Imm.LANE: _lane,
    Imm.LANES: _lanes,
    Imm.MEMARG_LANE: _memarg_lane,
    Imm.HEAP: lambda parser, row: parser.heap_type(),
    Imm.REF: lambda parser, row: parser.ref_type(),
    Imm.TYPE_FIELD: _type_field,
    Imm.TYPE_COUNT: lambda parser, row: (
        parser.index(parser.types.names, "type"),
        parser.uint(32, "a number of operands"),
    ),
    Imm.TYPE_DATA: _type_data,
    Imm.TYPE_ELEM: lambda parser, row: (
        parser.index(parser.types.names, "type"),
        parser.index(parser.elems, "elem segment"),
    ),
    Imm.TYPE_TYPE: lambda parser, row: (
        parser.index(parser.types.names, "type"),
        parser.index(parser.types.names, "type"),
    ),
    Imm.CAST: lambda parser, row: (parser.label(), parser.ref_type(), parser.ref_type()),
}


def _parse_i32(text: str) -> int:
    return parse_int(text, 32)


def _parse_u8(text: str) -> int:
    return parse_uint(text, 8)


def _parse_i64(text: str) -> int:
    return parse_int(text, 64)
