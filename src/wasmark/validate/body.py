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
from wasmark.core.features import Feature
from wasmark.core.opcodes import BY_NAME, CATCH_ALL, CATCH_ALL_REF, CATCH_REF, Imm, Opcode
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
from wasmark.validate.plan import (
    BINARY,
    DISABLED_RULE,
    FIXED_LETTERS,
    LOAD,
    PUSH,
    SIGNATURE_RULE,
    STORE,
    UNARY,
    natural_alignment,
    plan_for,
)
from wasmark.validate.references import REFERENCE_RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final, NoReturn

    from wasmark.validate.context import Context

Instr = tuple[Opcode, Any, int]

MAX_OFFSETS: Final = {I32: (1 << 32) - 1, I64: (1 << 64) - 1}
"""The largest static offset of a memory access, by address type (core §3.4.5)."""


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
_TRY: Final = BY_NAME["try"]
_CATCH: Final = BY_NAME["catch"]
_CATCH_ALL: Final = BY_NAME["catch_all"]
_NULLABLE_FUNC: Final = RefType.of(True, HeapType.FUNC)
_NULLABLE_EXN: Final = RefType.of(True, HeapType.EXN)
_EXN: Final = RefType.of(False, HeapType.EXN)


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
        self._frames: list[Frame] = [Frame(None, (), signature.results, signature.results, 0, 0)]
        self._return = signature.results
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

    def _mismatch(self, op: Opcode, expected: object, found: object) -> NoReturn:
        raise InvalidError(f"type mismatch: {op.name} expected {expected}, found {found}")

    def _pop_any(self, op: Opcode, expected: object = "an operand") -> Operand:
        top = self._stack[-1]
        if top is FLOOR:
            self._mismatch(op, expected, "nothing: the stack is empty")
        if top is POLYMORPHIC:
            return BOTTOM
        return self._stack.pop()

    def pop(self, expected: ValType, op: Opcode) -> Operand:
        """Take an operand that matches `expected`, and return its own type."""
        found = self._pop_any(op, expected)
        if found is not expected and not self._matches(found, expected):
            self._mismatch(op, expected, found)
        return found

    def _matches(self, found: Operand, expected: ValType) -> bool:
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
            self._mismatch(op, "a reference", found)
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

    def _unreachable(self) -> None:
        floor = self._frames[-1].floor
        del self._stack[floor + 1 :]
        self._stack[floor] = POLYMORPHIC

    # Control instructions (core §3.4.2)

    def _enter(self, op: Opcode, params: Types, results: Types) -> None:
        stack = self._stack
        label = params if op is _LOOP else results
        self._frames.append(_new_frame((op, params, results, label, len(stack), len(self._set_locals))))
        stack.append(FLOOR)
        stack.extend(params)

    def _leave(self, op: Opcode) -> Frame:
        """Check the end of the innermost block and take its frame away; its results are not pushed."""
        frame = self._frames[-1]
        stack = self._stack
        if frame.results:
            self.pop_types(frame.results, op)
        if len(stack) != frame.floor + 1:
            expected = f"[{' '.join(map(str, frame.results))}]"
            more = len(stack) - frame.floor - 1
            self._mismatch(op, expected, f"{more} operand{'s' * (more > 1)} more, the topmost of type {stack[-1]}")
        stack.pop()
        self._forget(frame.set_locals)
        self._frames.pop()
        return frame

    def _forget(self, count: int) -> None:
        """Only the first `count` locals that were initialised still are."""
        while len(self._set_locals) > count:
            self._readable[self._set_locals.pop()] = None

    def label(self, depth: int) -> Types:
        """What a branch to the label takes along."""
        frames = self._frames
        if depth >= len(frames):
            raise unknown("label", depth, len(frames))
        return frames[-1 - depth].label

    def _block(self, op: Opcode, imm: tuple[Types, Types]) -> None:
        if imm not in self._block_types:
            self.types.check_block_type(imm)
        params, results = imm
        if params:
            self.pop_types(params, op)
        self._enter(op, params, results)

    def _if(self, op: Opcode, imm: tuple[Types, Types]) -> None:
        if imm not in self._block_types:
            self.types.check_block_type(imm)
        if self._stack[-1] is I32:
            self._stack.pop()
        else:
            self.pop(I32, op)
        self._block(op, imm)

    def _else(self, op: Opcode, imm: None) -> None:
        if self._frames[-1].op is not _IF:
            raise InvalidError("else without if")
        frame = self._leave(op)
        self._enter(_ELSE, frame.params, frame.results)

    def _end(self, op: Opcode, imm: None) -> None:
        _, params, results, _, floor, set_locals = self._frames[-1]
        stack = self._stack
        if not params and not results and len(stack) == floor + 1:  # the commonest
            stack.pop()
            self._frames.pop()
            if len(self._set_locals) != set_locals:
                self._forget(set_locals)
            return
        frame = self._leave(op)
        if frame.op is _IF and frame.params != frame.results:
            # The missing branch passes its parameters on (core §5.4.2: an `if` without `else` has an empty one).
            self._enter(_ELSE, frame.params, frame.results)
            self._leave(op)
        self._stack.extend(frame.results)

    def _do_unreachable(self, op: Opcode, imm: None) -> None:
        self._unreachable()

    def _br(self, op: Opcode, imm: int) -> None:
        self.pop_types(self.label(imm), op)
        self._unreachable()

    def _br_if(self, op: Opcode, imm: int) -> None:
        stack = self._stack
        if stack[-1] is I32:
            stack.pop()
        else:
            self.pop(I32, op)
        frames = self._frames
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
        self._unreachable()

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
            self._mismatch(op, "a label that ends in a reference", f"[{' '.join(map(str, types))}]")
        self.pop(RefType.of(True, last.heap), op)
        self.pop_types(types[:-1], op)
        self._stack.extend(types[:-1])

    def _do_return(self, op: Opcode, imm: None) -> None:
        self.pop_types(self._return, op)
        self._unreachable()

    def _call(self, op: Opcode, imm: int) -> None:
        self._apply(lookup(self.context.signatures, imm, "function"), op)

    def _call_indirect(self, op: Opcode, imm: tuple[int, int]) -> None:
        self._apply(self._indirect_callee(op, imm), op)

    def _indirect_callee(self, op: Opcode, imm: tuple[int, int]) -> FuncType:
        type_index, table_index = imm
        table = lookup(self.context.tables, table_index, "table")
        signature = self.types.func_type(type_index)
        if not self.types.ref_matches(table.element, _NULLABLE_FUNC):
            self._mismatch(op, "a table of functions", f"one of {table.element}")
        self.pop(address_type(table), op)
        return signature

    def _call_ref(self, op: Opcode, imm: int) -> None:
        self._apply(self._referenced_callee(op, imm), op)

    def _referenced_callee(self, op: Opcode, imm: int) -> FuncType:
        signature = self.types.func_type(imm)
        self.pop(RefType.of(True, imm), op)
        return signature

    def _return_call(self, op: Opcode, imm: int) -> None:
        self._leave_by(lookup(self.context.signatures, imm, "function"), op)

    def _return_call_indirect(self, op: Opcode, imm: tuple[int, int]) -> None:
        self._leave_by(self._indirect_callee(op, imm), op)

    def _return_call_ref(self, op: Opcode, imm: int) -> None:
        self._leave_by(self._referenced_callee(op, imm), op)

    def _leave_by(self, signature: FuncType, op: Opcode) -> None:
        """A tail call: what the callee returns is what the function returns."""
        self.pop_types(signature.params, op)
        found, expected = signature.results, self._return
        if len(found) != len(expected) or not all(
            one is other or self._matches(one, other) for one, other in zip(found, expected, strict=True)
        ):
            self._mismatch(op, f"a callee that returns [{' '.join(map(str, expected))}]", signature)
        self._unreachable()

    # Exceptions (core §3.4.2, and the legacy instructions)

    def _tag(self, index: int) -> FuncType:
        return lookup(self.context.tags, index, "tag")

    def _throw(self, op: Opcode, imm: int) -> None:
        self.pop_types(self._tag(imm).params, op)
        self._unreachable()

    def _throw_ref(self, op: Opcode, imm: None) -> None:
        self.pop(_NULLABLE_EXN, op)
        self._unreachable()

    def _try_table(self, op: Opcode, imm: tuple[tuple[Types, Types], tuple[tuple[int, int, int], ...]]) -> None:
        block, clauses = imm
        for kind, tag, label in clauses:
            given: Types = self._tag(tag).params if kind < CATCH_ALL else ()
            if kind in (CATCH_REF, CATCH_ALL_REF):
                given = (*given, _EXN)
            expected = self.label(label)
            if len(given) != len(expected) or not all(
                one is other or self._matches(one, other) for one, other in zip(given, expected, strict=True)
            ):
                wanted = " ".join(map(str, expected))
                self._mismatch(op, f"a clause that gives [{wanted}]", f"one of [{' '.join(map(str, given))}]")
        self._block(op, block)

    def _catch(self, op: Opcode, imm: int) -> None:
        self._handler(op, self._tag(imm).params)

    def _catch_all(self, op: Opcode, imm: None) -> None:
        self._handler(op, ())

    def _handler(self, op: Opcode, given: Types) -> None:
        if self._frames[-1].op not in (_TRY, _CATCH):
            raise InvalidError(f"{op.name} without try")
        frame = self._leave(op)
        self._enter(op, given, frame.results)

    def _delegate(self, op: Opcode, imm: int) -> None:
        if self._frames[-1].op is not _TRY:
            raise InvalidError("delegate without try")
        frame = self._leave(op)
        self.label(imm)
        self._stack.extend(frame.results)

    def _rethrow(self, op: Opcode, imm: int) -> None:
        self.label(imm)
        if self._frames[-1 - imm].op not in (_CATCH, _CATCH_ALL):
            raise InvalidError(f"invalid rethrow label {imm}")
        self._unreachable()

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
                self._mismatch(op, "a number or vector", type_)
        if first is BOTTOM:
            first = second
        elif second is not first and second is not BOTTOM:
            self._mismatch(op, first, second)
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
            self._mismatch(op, f"a source of {destination.element}", f"one of {source.element}")
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
        letters = _LETTERS[op.imm](self, op, imm) if op.imm in _LETTERS else FIXED_LETTERS
        assert op.sig is not None
        params, results = op.sig.split(":")
        for letter in reversed(params):
            self.pop(letters[letter], op)
        for letter in results:
            self._stack.append(letters[letter])

    def _memory_letters(self, index: int) -> dict[str, ValType]:
        return {**FIXED_LETTERS, "a": address_type(lookup(self.context.memories, index, "memory"))}

    def _table_letters(self, index: int) -> dict[str, ValType]:
        table = lookup(self.context.tables, index, "table")
        return {**FIXED_LETTERS, "t": address_type(table), "r": table.element}

    def _of_memarg(self, op: Opcode, imm: tuple[int, int, int]) -> dict[str, ValType]:
        align, memory, static = imm
        letters = self._memory_letters(memory)
        if op.feature is Feature.THREADS and align != natural_alignment(op):
            raise InvalidError(
                f"atomic alignment must be natural: {op.name} is aligned to {1 << align} bytes and touches {op.access}"
            )
        if align > natural_alignment(op):
            raise InvalidError(
                f"alignment must not be larger than natural: {op.name} is aligned to {1 << align} bytes "
                f"and touches {op.access}"
            )
        if static > MAX_OFFSETS[address_type(self.context.memories[memory])]:
            raise InvalidError(f"offset out of range: {static} is beyond every address of the memory")
        return letters

    def _of_memarg_and_lane(self, op: Opcode, imm: tuple[int, int, int, int]) -> dict[str, ValType]:
        letters = self._of_memarg(op, imm[:3])
        self._of_lane(op, imm[3])
        return letters

    def _of_lane(self, op: Opcode, imm: int) -> dict[str, NumType]:
        if imm >= op.lanes:
            raise InvalidError(f"invalid lane index {imm}: {op.name} has {op.lanes} lanes")
        return FIXED_LETTERS

    def _of_lanes(self, op: Opcode, imm: tuple[int, ...]) -> dict[str, NumType]:
        return self._of_lane(op, max(imm))

    def _of_data_and_memory(self, op: Opcode, imm: tuple[int, int]) -> dict[str, ValType]:
        letters = self._memory_letters(imm[1])
        self.context.check_data(imm[0])
        return letters

    def _of_data(self, op: Opcode, imm: int) -> dict[str, NumType]:
        self.context.check_data(imm)
        return FIXED_LETTERS

    def _of_element_and_table(self, op: Opcode, imm: tuple[int, int]) -> dict[str, ValType]:
        letters = self._table_letters(imm[1])
        segment = lookup(self.context.elements, imm[0], "elem segment")
        element = self.context.tables[imm[1]].element
        if not self.types.ref_matches(segment, element):
            self._mismatch(op, f"a segment of {element}", f"one of {segment}")
        return letters

    def _of_element(self, op: Opcode, imm: int) -> dict[str, NumType]:
        lookup(self.context.elements, imm, "elem segment")
        return FIXED_LETTERS


_LETTERS: Final[dict[Imm, Any]] = {
    Imm.MEMARG: BodyValidator._of_memarg,
    Imm.MEMARG_LANE: BodyValidator._of_memarg_and_lane,
    Imm.LANE: BodyValidator._of_lane,
    Imm.LANES: BodyValidator._of_lanes,
    Imm.MEMORY: lambda self, _op, imm: self._memory_letters(imm),
    Imm.DATA_MEMORY: BodyValidator._of_data_and_memory,
    Imm.DATA: BodyValidator._of_data,
    Imm.TABLE: lambda self, _op, imm: self._table_letters(imm),
    Imm.ELEM_TABLE: BodyValidator._of_element_and_table,
    Imm.ELEM: BodyValidator._of_element,
}
"""Immediates that are to be checked or that give the letters of the signature a meaning: what does so."""

RULES: Final[dict[str, Any]] = {
    SIGNATURE_RULE: BodyValidator._by_signature,
    DISABLED_RULE: BodyValidator._disabled,
    "unreachable": BodyValidator._do_unreachable,
    "block": BodyValidator._block,
    "loop": BodyValidator._block,
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
    "return_call": BodyValidator._return_call,
    "return_call_indirect": BodyValidator._return_call_indirect,
    "return_call_ref": BodyValidator._return_call_ref,
    "try_table": BodyValidator._try_table,
    "throw": BodyValidator._throw,
    "throw_ref": BodyValidator._throw_ref,
    "try": BodyValidator._block,
    "catch": BodyValidator._catch,
    "catch_all": BodyValidator._catch_all,
    "delegate": BodyValidator._delegate,
    "rethrow": BodyValidator._rethrow,
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
    **REFERENCE_RULES,
}
"""What checks the instructions that have no shape of their own in the plan."""
