"""The validation algorithm (core, appendix "Validation Algorithm") for function bodies and constant expressions.

Three stacks, as there: operand types, control frames, and the locals that a block initialised. One thing is
different: every control frame puts a *floor mark* on the operand stack, and `POLYMORPHIC` instead of `FLOOR` is what
makes the rest of a block unreachable. So the fast path needs no look at the control stack: it compares the top of the
stack with the expected type by identity, and underflow, bottom types and subtyping alike end in the slow path.
"""

from __future__ import annotations

import enum
import functools

from wasmark.core.checked import Any, NamedTuple
from wasmark.core.opcodes import BY_NAME, Opcode
from wasmark.core.types import (
    I32,
    I64,
    FuncType,
    HeapType,
    NumType,
    RefType,
    ValType,
    is_defaultable,
)
from wasmark.errors import InvalidError
from wasmark.validate.context import address_type, lookup, unknown
from wasmark.validate.immediates import LETTERS, MAX_OFFSETS
from wasmark.validate.leaving import LEAVING_RULES
from wasmark.validate.plan import (
    BINARY,
    DISABLED_RULE,
    FIXED_LETTERS,
    LOAD,
    PUSH,
    SIGNATURE_RULE,
    STORE,
    UNARY,
    plan_for,
)
from wasmark.validate.references import REFERENCE_RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final, NoReturn

    from wasmark.validate.context import Context

Instr = tuple[Opcode, Any, int]


class Mark(enum.Enum):
    """What can be on the operand stack besides value types."""

    FLOOR = "nothing"
    POLYMORPHIC = "anything"
    BOTTOM = "any type"
    BOTTOM_REF = "any reference"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value


FLOOR: Final = Mark.FLOOR
POLYMORPHIC: Final = Mark.POLYMORPHIC
BOTTOM: Final = Mark.BOTTOM
BOTTOM_REF: Final = Mark.BOTTOM_REF

Operand = ValType | Mark
Types = tuple[ValType, ...]


class Frame(NamedTuple):
    """A control frame. `label` is what a branch to it takes; `floor` the index of its mark on the operand stack;
    `set_locals` the number of initialised locals when it was entered."""

    op: Opcode | None
    params: Types
    results: Types
    label: Types
    floor: int
    set_locals: int


_new_frame: Final = functools.partial(tuple.__new__, Frame)
"""A frame of a tuple of its fields: half of what the class itself takes for it."""


_LOCAL_GET: Final = BY_NAME["local.get"]
_LOCAL_SET: Final = BY_NAME["local.set"]
_LOCAL_TEE: Final = BY_NAME["local.tee"]
_LOOP: Final = BY_NAME["loop"]
_IF: Final = BY_NAME["if"]
_ELSE: Final = BY_NAME["else"]
_END: Final = BY_NAME["end"]
_NULLABLE_FUNC: Final = RefType.of(True, HeapType.FUNC)


class BodyValidator:
    """Checks one instruction sequence, once: make one, then `run` it.

    `signature` are the types of the parameters and the results, `declared_locals` the runs of further locals, and
    `func_index` is what errors name as the function (None in a constant expression).
    """

    def __init__(
        self,
        context: Context,
        signature: FuncType,
        declared_locals: Iterable[tuple[int, ValType]] = (),
        func_index: int | None = None,
    ) -> None:
        self.context = context
        self.types = context.types
        self._block_types = context.types.checked_block_types
        self._func_index = func_index
        self._stack: list[Operand] = [FLOOR]
        self.frames: list[Frame] = [Frame(None, (), signature.results, signature.results, 0, 0)]
        self.returned = signature.results
        self._locals: list[ValType] = list(signature.params)
        self._readable: list[ValType | None] = list(signature.params)
        self._set_locals: list[int] = []  # in the order in which they were initialised
        self._add_locals(declared_locals)

    def _add_locals(self, runs: Iterable[tuple[int, ValType]]) -> None:
        for count, type_ in runs:
            self.types.check_value_type(type_)
            self._locals += [type_] * count
            self._readable += [type_ if is_defaultable(type_) else None] * count

    def run(self, instrs: Iterable[Instr]) -> None:
        """Check all instructions, the last of which is the final `end`. InvalidError carries offset and function
        index."""
        address = address_type(self.context.memories[0]) if self.context.memories else None
        steps = plan_for(self.context.features, address)
        max_offset = MAX_OFFSETS[address] if address is not None else 0
        rules = RULES
        stack, readable, locals_ = self._stack, self._readable, self._locals
        push, drop = stack.append, stack.pop
        local_get, local_set, local_tee = _LOCAL_GET, _LOCAL_SET, _LOCAL_TEE
        offset = 0
        try:
            for op, imm, offset in instrs:  # noqa: B007 - the offset serves the handler below
                if op is local_get:
                    try:
                        type_ = readable[imm]
                    except IndexError:
                        raise unknown("local", imm, len(locals_)) from None
                    if type_ is None:
                        raise InvalidError(f"uninitialized local {imm}")
                    push(type_)
                    continue
                shape, a, b, result = steps[op]
                if shape == PUSH:
                    push(a)
                elif shape == BINARY:
                    if stack[-1] is b and stack[-2] is a:
                        drop()
                        stack[-1] = result
                    else:
                        self.pop(b, op)
                        self.pop(a, op)
                        push(result)
                elif op is local_set or op is local_tee:
                    try:
                        type_ = locals_[imm]
                    except IndexError:
                        raise unknown("local", imm, len(locals_)) from None
                    if stack[-1] is type_:
                        drop()
                    else:
                        self.pop(type_, op)
                    if op is local_tee:
                        push(type_)
                    if readable[imm] is None:
                        readable[imm] = type_
                        self._set_locals.append(imm)
                elif shape == LOAD:
                    align, memory, static = imm
                    if align <= b and not memory and static <= max_offset and stack[-1] is a:
                        stack[-1] = result
                    else:
                        self._by_signature(op, imm)
                elif shape == UNARY:
                    if stack[-1] is a:
                        stack[-1] = result
                    else:
                        self.pop(a, op)
                        push(result)
                elif shape == STORE:
                    align, memory, static = imm
                    if align <= b and not memory and static <= max_offset and stack[-1] is result and stack[-2] is a:
                        drop()
                        drop()
                    else:
                        self._by_signature(op, imm)
                else:
                    rules[a](self, op, imm)
        except InvalidError as error:
            message = error.message
            if op.name not in message.split():
                what, colon, why = message.partition(":")
                message = f"{what} in {op.name}{colon}{why}"
            raise InvalidError(message, offset=offset, func_index=self._func_index) from None

    # Operands

    def mismatch(self, op: Opcode, expected: object, found: object) -> NoReturn:
        """Raise for what is not as `op` wants it."""
        raise InvalidError(f"type mismatch: {op.name} expected {expected}, found {found}")

    def _pop_any(self, op: Opcode, expected: object = "an operand") -> Operand:
        top = self._stack[-1]
        if top is FLOOR:
            self.mismatch(op, expected, "nothing: the stack is empty")
        if top is POLYMORPHIC:
            return BOTTOM
        return self._stack.pop()

    def pop(self, expected: ValType, op: Opcode) -> Operand:
        """Take an operand that matches `expected`, and return its own type."""
        found = self._pop_any(op, expected)
        if found is not expected and not self.matches(found, expected):
            self.mismatch(op, expected, found)
        return found

    def matches(self, found: Operand, expected: ValType) -> bool:
        """Whether an operand is of a type, or of one below it."""
        if isinstance(expected, RefType):
            if isinstance(found, RefType):
                return self.types.ref_matches(found, expected)
            return found is BOTTOM or found is BOTTOM_REF
        return found is BOTTOM

    def _pop_reference(self, op: Opcode) -> RefType | None:
        """Take a reference of any type; None stands for one of the bottom type."""
        found = self._pop_any(op, "a reference")
        if isinstance(found, RefType):
            return found
        if not isinstance(found, Mark):
            self.mismatch(op, "a reference", found)
        return None

    def push(self, *types: ValType) -> None:
        """Push operands, the last one on top."""
        self._stack.extend(types)

    def is_polymorphic(self) -> bool:
        """Whether there are any operands one may wish for, and no others above these."""
        return self._stack[-1] is POLYMORPHIC

    def may_be_null(self, found: Operand) -> bool:
        """Whether an operand that was popped as a reference can be null."""
        return isinstance(found, RefType) and found.nullable

    def pop_types(self, types: Types, op: Opcode) -> None:
        """Take operands that match these types, the last of which is on top."""
        stack = self._stack
        count = len(types)
        if count == 1:
            if stack[-1] is types[0]:
                stack.pop()
                return
        elif count and tuple(stack[-count:]) == types:  # types are equal where they are the same
            del stack[-count:]
            return
        for type_ in reversed(types):
            self.pop(type_, op)

    def _apply(self, signature: FuncType, op: Opcode) -> None:
        params = signature.params
        if params:
            self.pop_types(params, op)
        self._stack.extend(signature.results)

    def make_unreachable(self) -> None:
        """What follows in the block is never reached."""
        floor = self.frames[-1].floor
        del self._stack[floor + 1 :]
        self._stack[floor] = POLYMORPHIC

    # Control instructions (core §3.4.2)

    def enter(self, op: Opcode, params: Types, results: Types) -> None:
        """Open a block, on whose stack its parameters are."""
        stack = self._stack
        label = params if op is _LOOP else results
        self.frames.append(_new_frame((op, params, results, label, len(stack), len(self._set_locals))))
        stack.append(FLOOR)
        stack.extend(params)

    def leave(self, op: Opcode) -> Frame:
        """Check the end of the innermost block and take its frame away; its results are not pushed."""
        frame = self.frames[-1]
        stack = self._stack
        if frame.results:
            self.pop_types(frame.results, op)
        if len(stack) != frame.floor + 1:
            expected = f"[{' '.join(map(str, frame.results))}]"
            more = len(stack) - frame.floor - 1
            self.mismatch(op, expected, f"{more} operand{'s' * (more > 1)} more, the topmost of type {stack[-1]}")
        stack.pop()
        self._forget(frame.set_locals)
        self.frames.pop()
        return frame

    def _forget(self, count: int) -> None:
        """Only the first `count` locals that were initialised still are."""
        while len(self._set_locals) > count:
            self._readable[self._set_locals.pop()] = None

    def label(self, depth: int) -> Types:
        """What a branch to the label takes along."""
        frames = self.frames
        if depth >= len(frames):
            raise unknown("label", depth, len(frames))
        return frames[-1 - depth].label

    def open_block(self, op: Opcode, imm: tuple[Types, Types]) -> None:
        """Open a block with the types of its immediate."""
        if imm not in self._block_types:
            self.types.check_block_type(imm)
        params, results = imm
        if params:
            self.pop_types(params, op)
        self.enter(op, params, results)

    def _if(self, op: Opcode, imm: tuple[Types, Types]) -> None:
        if imm not in self._block_types:
            self.types.check_block_type(imm)
        if self._stack[-1] is I32:
            self._stack.pop()
        else:
            self.pop(I32, op)
        self.open_block(op, imm)

    def _else(self, op: Opcode, imm: None) -> None:
        if self.frames[-1].op is not _IF:
            raise InvalidError("else without if")
        frame = self.leave(op)
        self.enter(_ELSE, frame.params, frame.results)

    def _end(self, op: Opcode, imm: None) -> None:
        _, params, results, _, floor, set_locals = self.frames[-1]
        stack = self._stack
        if not params and not results and len(stack) == floor + 1:  # the commonest
            stack.pop()
            self.frames.pop()
            if len(self._set_locals) != set_locals:
                self._forget(set_locals)
            return
        frame = self.leave(op)
        if frame.op is _IF and frame.params != frame.results:
            # The missing branch passes its parameters on (core §5.4.2: an `if` without `else` has an empty one).
            self.enter(_ELSE, frame.params, frame.results)
            self.leave(op)
        self._stack.extend(frame.results)

    def _do_unreachable(self, op: Opcode, imm: None) -> None:
        self.make_unreachable()

    def _br(self, op: Opcode, imm: int) -> None:
        self.pop_types(self.label(imm), op)
        self.make_unreachable()

    def _br_if(self, op: Opcode, imm: int) -> None:
        stack = self._stack
        if stack[-1] is I32:
            stack.pop()
        else:
            self.pop(I32, op)
        frames = self.frames
        types = frames[-1 - imm].label if imm < len(frames) else self.label(imm)
        if types:
            self.pop_types(types, op)
            stack.extend(types)

    def _br_table(self, op: Opcode, imm: Sequence[int]) -> None:
        self.pop(I32, op)
        default = self.label(imm[-1])
        labels = {id(types): types for types in map(self.label, dict.fromkeys(imm))}
        for types in labels.values():
            if len(types) != len(default):
                raise InvalidError(
                    f"type mismatch: br_table expected labels of {len(default)} operands like the default, "
                    f"found one of {len(types)}"
                )
            # An operand that is bottom stays bottom: it may stand for a different type at each label.
            self._stack.extend(reversed([self.pop(type_, op) for type_ in reversed(types)]))
        self.pop_types(default, op)
        self.make_unreachable()

    def _br_on_null(self, op: Opcode, imm: int) -> None:
        found = self._pop_reference(op)
        types = self.label(imm)
        self.pop_types(types, op)
        self._stack.extend(types)
        self._stack.append(RefType.of(False, found.heap) if found is not None else BOTTOM_REF)

    def _br_on_non_null(self, op: Opcode, imm: int) -> None:
        types = self.label(imm)
        last = types[-1] if types else None
        if not isinstance(last, RefType):
            self.mismatch(op, "a label that ends in a reference", f"[{' '.join(map(str, types))}]")
        self.pop(RefType.of(True, last.heap), op)
        self.pop_types(types[:-1], op)
        self._stack.extend(types[:-1])

    def _do_return(self, op: Opcode, imm: None) -> None:
        self.pop_types(self.returned, op)
        self.make_unreachable()

    def _call(self, op: Opcode, imm: int) -> None:
        self._apply(lookup(self.context.signatures, imm, "function"), op)

    def _call_indirect(self, op: Opcode, imm: tuple[int, int]) -> None:
        self._apply(self.indirect_callee(op, imm), op)

    def indirect_callee(self, op: Opcode, imm: tuple[int, int]) -> FuncType:
        """The type of who is called through a table; its index is popped."""
        type_index, table_index = imm
        table = lookup(self.context.tables, table_index, "table")
        signature = self.types.func_type(type_index)
        if not self.types.ref_matches(table.element, _NULLABLE_FUNC):
            self.mismatch(op, "a table of functions", f"one of {table.element}")
        self.pop(address_type(table), op)
        return signature

    def _call_ref(self, op: Opcode, imm: int) -> None:
        self._apply(self.referenced_callee(op, imm), op)

    def referenced_callee(self, op: Opcode, imm: int) -> FuncType:
        """The type of who is called by a reference, which is popped."""
        signature = self.types.func_type(imm)
        self.pop(RefType.of(True, imm), op)
        return signature

    # Parametric instructions (core §3.4.1)

    def _drop(self, op: Opcode, imm: None) -> None:
        self._pop_any(op)

    def _select(self, op: Opcode, imm: Types | None) -> None:
        self.pop(I32, op)
        if imm is not None:
            if len(imm) != 1:
                raise InvalidError(f"invalid result arity: select names {len(imm)} types, but must name 1")
            self.types.check_value_type(imm[0])
            self.pop(imm[0], op)
            self.pop(imm[0], op)
            self._stack.append(imm[0])
            return
        second, first = self._pop_any(op), self._pop_any(op)
        for type_ in (second, first):
            if not isinstance(type_, NumType) and type_ is not BOTTOM:
                self.mismatch(op, "a number or vector", type_)
        if first is BOTTOM:
            first = second
        elif second is not first and second is not BOTTOM:
            self.mismatch(op, first, second)
        self._stack.append(first)

    # Variable instructions (core §3.4.3); those of locals are in `run`

    def _global_get(self, op: Opcode, imm: int) -> None:
        globals_ = self.context.globals
        self._stack.append(globals_[imm].value if imm < len(globals_) else lookup(globals_, imm, "global").value)

    def _global_set(self, op: Opcode, imm: int) -> None:
        type_ = lookup(self.context.globals, imm, "global")
        if not type_.mutable:
            raise InvalidError(f"immutable global {imm}")
        self.pop(type_.value, op)

    # Table and memory instructions (core §3.4.4, §3.4.5) that relate two of them or take an element type

    def _table_get(self, op: Opcode, imm: int) -> None:
        table = lookup(self.context.tables, imm, "table")
        self.pop(address_type(table), op)
        self._stack.append(table.element)

    def _table_set(self, op: Opcode, imm: int) -> None:
        table = lookup(self.context.tables, imm, "table")
        self.pop(table.element, op)
        self.pop(address_type(table), op)

    def _table_copy(self, op: Opcode, imm: tuple[int, int]) -> None:
        destination, source = (lookup(self.context.tables, index, "table") for index in imm)
        if not self.types.ref_matches(source.element, destination.element):
            self.mismatch(op, f"a source of {destination.element}", f"one of {source.element}")
        self._copy(op, address_type(destination), address_type(source))

    def _memory_copy(self, op: Opcode, imm: tuple[int, int]) -> None:
        destination, source = (lookup(self.context.memories, index, "memory") for index in imm)
        self._copy(op, address_type(destination), address_type(source))

    def _copy(self, op: Opcode, destination: NumType, source: NumType) -> None:
        self.pop(I64 if destination is source is I64 else I32, op)
        self.pop(source, op)
        self.pop(destination, op)

    # Reference instructions (core §3.4.6)

    def _ref_null(self, op: Opcode, imm: HeapType | int) -> None:
        self.types.check_heap_type(imm)
        self._stack.append(RefType.of(True, imm))

    def _ref_is_null(self, op: Opcode, imm: None) -> None:
        self._pop_reference(op)
        self._stack.append(I32)

    def _ref_func(self, op: Opcode, imm: int) -> None:
        type_ = self.context.function_reference(imm)
        if imm not in self.context.declared:
            raise InvalidError(f"undeclared function reference {imm}")
        self._stack.append(type_)

    def _ref_as_non_null(self, op: Opcode, imm: None) -> None:
        found = self._pop_reference(op)
        self._stack.append(RefType.of(False, found.heap) if found is not None else BOTTOM_REF)

    # Everything else follows its row's signature

    def _disabled(self, op: Opcode, imm: object) -> NoReturn:
        raise InvalidError(f"{op.name} is part of the {op.feature.value!r} feature, which is not enabled")

    def _by_signature(self, op: Opcode, imm: Any) -> None:
        letters = LETTERS[op.imm](self.context, op, imm) if op.imm in LETTERS else FIXED_LETTERS
        assert op.sig is not None
        params, results = op.sig.split(":")
        for letter in reversed(params):
            self.pop(letters[letter], op)
        for letter in results:
            self._stack.append(letters[letter])


RULES: Final[dict[str, Any]] = {
    SIGNATURE_RULE: BodyValidator._by_signature,
    DISABLED_RULE: BodyValidator._disabled,
    "unreachable": BodyValidator._do_unreachable,
    "block": BodyValidator.open_block,
    "loop": BodyValidator.open_block,
    "if": BodyValidator._if,
    "else": BodyValidator._else,
    "end": BodyValidator._end,
    "br": BodyValidator._br,
    "br_if": BodyValidator._br_if,
    "br_table": BodyValidator._br_table,
    "br_on_null": BodyValidator._br_on_null,
    "br_on_non_null": BodyValidator._br_on_non_null,
    "return": BodyValidator._do_return,
    "call": BodyValidator._call,
    "call_indirect": BodyValidator._call_indirect,
    "call_ref": BodyValidator._call_ref,
    "try": BodyValidator.open_block,
    "drop": BodyValidator._drop,
    "select": BodyValidator._select,
    "global.get": BodyValidator._global_get,
    "global.set": BodyValidator._global_set,
    "table.get": BodyValidator._table_get,
    "table.set": BodyValidator._table_set,
    "table.copy": BodyValidator._table_copy,
    "memory.copy": BodyValidator._memory_copy,
    "ref.null": BodyValidator._ref_null,
    "ref.is_null": BodyValidator._ref_is_null,
    "ref.func": BodyValidator._ref_func,
    "ref.as_non_null": BodyValidator._ref_as_non_null,
    **LEAVING_RULES,
    **REFERENCE_RULES,
}
"""What checks the instructions that have no shape of their own in the plan."""
