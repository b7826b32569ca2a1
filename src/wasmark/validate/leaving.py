"""Validity of what leads out of a function in other ways than by returning (core §3.4.2): tail calls, and exceptions
with their legacy instructions."""

from __future__ import annotations

from wasmark.core.opcodes import BY_NAME, CATCH_ALL, CATCH_ALL_REF, CATCH_REF, Opcode
from wasmark.core.types import FuncType, HeapType, RefType
from wasmark.errors import InvalidError
from wasmark.validate.context import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.validate.body import BodyValidator, Types
else:
    Any = object

_TRY: Final = BY_NAME["try"]
_CATCH: Final = BY_NAME["catch"]
_CATCH_ALL: Final = BY_NAME["catch_all"]
_NULLABLE_EXN: Final = RefType.of(True, HeapType.EXN)
_EXN: Final = RefType.of(False, HeapType.EXN)


def _return_call(body: BodyValidator, op: Opcode, imm: int) -> None:
    _leave_by(body, lookup(body.context.signatures, imm, "function"), op)


def _return_call_indirect(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    _leave_by(body, body.indirect_callee(op, imm), op)


def _return_call_ref(body: BodyValidator, op: Opcode, imm: int) -> None:
    _leave_by(body, body.referenced_callee(op, imm), op)


def _leave_by(body: BodyValidator, signature: FuncType, op: Opcode) -> None:
    """A tail call: what the callee returns is what the function returns."""
    body.pop_types(signature.params, op)
    found, expected = signature.results, body.returned
    if len(found) != len(expected) or not all(
        one is other or body.matches(one, other) for one, other in zip(found, expected, strict=True)
    ):
        body.mismatch(op, f"a callee that returns [{' '.join(map(str, expected))}]", signature)
    body.make_unreachable()


def _tag(body: BodyValidator, index: int) -> FuncType:
    return lookup(body.context.tags, index, "tag")


def _throw(body: BodyValidator, op: Opcode, imm: int) -> None:
    body.pop_types(_tag(body, imm).params, op)
    body.make_unreachable()


def _throw_ref(body: BodyValidator, op: Opcode, imm: None) -> None:
    body.pop(_NULLABLE_EXN, op)
    body.make_unreachable()


def _try_table(
    body: BodyValidator, op: Opcode, imm: tuple[tuple[Types, Types], tuple[tuple[int, int, int], ...]]
) -> None:
    block, clauses = imm
    for kind, tag, label in clauses:
        given: Types = _tag(body, tag).params if kind < CATCH_ALL else ()
        if kind in (CATCH_REF, CATCH_ALL_REF):
            given = (*given, _EXN)
        expected = body.label(label)
        if len(given) != len(expected) or not all(
            one is other or body.matches(one, other) for one, other in zip(given, expected, strict=True)
        ):
            wanted = " ".join(map(str, expected))
            body.mismatch(op, f"a clause that gives [{wanted}]", f"one of [{' '.join(map(str, given))}]")
    body.open_block(op, block)


def _catch(body: BodyValidator, op: Opcode, imm: int) -> None:
    _handler(body, op, _tag(body, imm).params)


def _catch_all(body: BodyValidator, op: Opcode, imm: None) -> None:
    _handler(body, op, ())


def _handler(body: BodyValidator, op: Opcode, given: Types) -> None:
    if body.frames[-1].op not in (_TRY, _CATCH):
        raise InvalidError(f"{op.name} without try")
    frame = body.leave(op)
    body.enter(op, given, frame.results)


def _delegate(body: BodyValidator, op: Opcode, imm: int) -> None:
    if body.frames[-1].op is not _TRY:
        raise InvalidError("delegate without try")
    frame = body.leave(op)
    body.label(imm)
    body.push(*frame.results)


def _rethrow(body: BodyValidator, op: Opcode, imm: int) -> None:
    body.label(imm)
    if body.frames[-1 - imm].op not in (_CATCH, _CATCH_ALL):
        raise InvalidError(f"invalid rethrow label {imm}")
    body.make_unreachable()


LEAVING_RULES: Final[dict[str, Any]] = {
    "return_call": _return_call,
    "return_call_indirect": _return_call_indirect,
    "return_call_ref": _return_call_ref,
    "throw": _throw,
    "throw_ref": _throw_ref,
    "try_table": _try_table,
    "catch": _catch,
    "catch_all": _catch_all,
    "delegate": _delegate,
    "rethrow": _rethrow,
}
"""What checks an instruction, by its name: called with the validator of the body, the row and the immediate."""
