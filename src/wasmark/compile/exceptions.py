"""Exceptions (core §4.6.8): throwing and catching, with the legacy instructions.

A call in the body of a `try_table` or `try` is *guarded*. It is a call like any other, but for two things. The line
table says that it has a handler (`line_table.CATCHES`), so the unwinder lets it return when there is an exception on
its way, which it leaves in a word of the store. And no register but the frame pointer is expected to be as it was: the
frames between have not put them back. What comes behind it looks at that word and goes to the handler. Code outside of
handlers knows nothing of exceptions.

LLVM has such calls in its convention `preserve_none`. That has four registers of its own for the first arguments, then
those of the C convention, then two more. So the true arguments come fifth, and the callee does not see the difference.

A handler asks for one tag after the other. Where none is right it goes to the one around it in the same function, or
throws again from there, in a call that is not guarded. What is thrown inside of a handler of the same function goes to
it at once.

An exception is an object of the heap, for the collector to look after.
"""

from __future__ import annotations

from wasmark.compile.abi import INTEGER_REGISTERS, Places, result_places
from wasmark.compile.access import callee
from wasmark.compile.tail_calls import STORE_BLOCK, bits, hidden, words
from wasmark.compile.templates import prepare
from wasmark.core.opcodes import BY_NAME, CATCH, CATCH_ALL, CATCH_ALL_REF, CATCH_REF
from wasmark.registry.line_table import CATCHES
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark.compile.function import FunctionTranslator
    from wasmark.compile.writer import Frame
    from wasmark.core.opcodes import Opcode

_PENDING: Final = STORE_BLOCK + f"%xp{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {L.STORE_EXCEPTION}\n"

STEPS: Final[dict[str, str]] = {
    name: prepare(text)
    for name, text in {
        # A new exception of the tag at `{o}`, with `{o2}` values.
        "exception new": callee(L.STORE_NEW_EXCEPTION)
        + "%tp{n} = getelementptr i8, ptr {vm}, i64 {o}\n%tag{n} = load ptr, ptr %tp{n}, !invariant.load !0\n"
        "{r} = call ptr %code{n}(ptr %ctx{n}, ptr %tag{n}, i64 {o2}) nomerge@\n"
        "%none{n} = icmp eq ptr {r}, null@\nbr i1 %none{n}, label %t{n}, label %g{n}, !prof !2\n"
        "t{n}:\n@TGC_HEAP_EXHAUSTED\ng{n}:",
        "exception put": "%to{n} = getelementptr i8, ptr {a}, i64 {o}\nstore {type} {b}, ptr %to{n}, align 8@",
        "exception get": "%from{n} = getelementptr i8, ptr {a}, i64 {o}\n{r} = load {type}, ptr %from{n}, align 8@",
        "throw": callee(L.STORE_THROW) + "call void %code{n}(ptr %ctx{n}, ptr {a}) noreturn nomerge@\nunreachable",
        "throw_ref": "%null{n} = icmp eq ptr {a}, null@\nbr i1 %null{n}, label %t{n}, label %g{n}, !prof !2\n"
        "t{n}:\n@TNULL_EXCEPTION_REFERENCE\ng{n}:",
        # The exception that is on its way.
        "exception pending": _PENDING + "{r} = load volatile ptr, ptr %xp{n}@",
        "exception set": _PENDING + "store volatile ptr {a}, ptr %xp{n}@",
        "exception clear": _PENDING + "store volatile ptr null, ptr %xp{n}@",
        # Whether it has the tag at `{o}`: `%c{n}`.
        "exception is": f"%ep{{n}} = getelementptr i8, ptr {{a}}, i64 {L.EXCEPTION_TAG}\n"
        "%et{n} = load ptr, ptr %ep{n}@\n"
        "%tp{n} = getelementptr i8, ptr {vm}, i64 {o}\n%tag{n} = load ptr, ptr %tp{n}, !invariant.load !0\n"
        "%c{n} = icmp eq ptr %et{n}, %tag{n}@",
    }.items()
}
"""What is done with exceptions, as `access` has the steps of other instructions."""


def guarded_arguments(
    context: str, integers: Sequence[str], floats: Sequence[str], stacked: Sequence[str], into: str = ""
) -> str:
    """The arguments of a guarded call in the convention `preserve_none`. Those for the integer registers, for the float
    registers and for the stack come with a type each; `into` is where results go that are not returned."""
    first = [f"ptr {into}"] if into else []
    integers = [*first, f"ptr {context}", *integers]
    if stacked:  # the other registers have to be taken
        integers += ["i64 poison"] * (1 + INTEGER_REGISTERS - len(integers) + 2)
    return ", ".join([*["i64 poison"] * 4, *integers, *floats, *stacked])


def value_place(number: int) -> int:
    """Where in an exception a value is."""
    return L.EXCEPTION_VALUES + L.EXCEPTION_VALUE_SIZE * number


class Handler:
    """A `try_table` or `try` whose body is being translated: where its calls go with an exception, if any does."""

    __slots__ = ("clauses", "complete", "label", "open", "used")

    def __init__(self, label: str, clauses: tuple[tuple[int, int, int], ...] = ()) -> None:
        self.label = label
        self.clauses = clauses  # of a `try_table`
        self.used = False
        self.open = False  # whether the code of a legacy handler is being translated
        self.complete = False  # whether that is the one of all


def call_guarded(t: FunctionTranslator, handler: Handler, type_index: int, callee: str, context: str) -> None:
    """A call from which exceptions go to a handler."""
    _, results, returns = t.context.signature(type_index)
    signature = t.context.abi_string(type_index)
    places = Places(signature)
    operands = t.take(signature.index(":"))
    code = hidden(t, callee[1:]) if callee[0] == "@" else callee
    integers = [f"i64 {bits(t, operands[place.position])}" for place in places.integers]
    floats = [" ".join(operands[place.position]) for place in places.floats]
    stacked = ["i64 poison"] * places.stack_words
    for place in places.stacked:
        for number, word in enumerate(words(t, operands[place.position]), place.at // 8):
            stacked[number] = f"i64 {word}"
    t.n += 1
    n = t.n
    at = result_places(results)
    into = ""
    if places.in_memory:
        returns = "void"
        into = f"%B{n}"
        t.head.append(f"%B{n} = alloca i8, i64 {at[-1]}, align 16")
    arguments = guarded_arguments(context, integers, floats, stacked, into)
    t.out.append(
        f"{'' if returns == 'void' else f'%v{n} = '}call preserve_nonecc {returns} {code}({arguments}) nomerge"
        f"{t.d}, column: {CATCHES})"
    )
    _guard(t, handler)
    for i, type_ in enumerate(results):
        value = f"%v{n}"
        if places.in_memory:
            value = f"%v{n}.{i}"
            t.out.append(
                f"%rp{n}.{i} = getelementptr i8, ptr %B{n}, i64 {at[i]}\n{value} = load {type_}, ptr %rp{n}.{i}"
            )
        elif len(results) > 1:
            value = f"%v{n}.{i}"
            t.out.append(f"{value} = extractvalue {returns} %v{n}, {i}")
        t.stack.append((type_, value))


def _guard(t: FunctionTranslator, handler: Handler) -> None:
    """Behind a guarded call: go to the handler where it came back with an exception."""
    handler.used = True
    pending = t._step("exception pending")
    n = t.n
    t.out.append(
        f"%caught{n} = icmp ne ptr {pending}, null{t.d})\n"
        f"br i1 %caught{n}, label %{handler.label}, label %went{n}, !prof !2\nwent{n}:"
    )


def _pass_on(t: FunctionTranslator, handler: Handler | None) -> None:
    """Let the exception that is on its way go to a handler of this function, or to that of a caller."""
    if handler is not None:
        handler.used = True
        t.out.append(f"br label %{handler.label}{t.d})")
        return
    exception = t._step("exception pending")
    t._step("exception clear")
    t._step("throw", a=exception)


def _throw(t: FunctionTranslator, exception: str) -> None:
    handler = t.frames[-1].handler
    if handler is not None:
        t._step("exception set", a=exception)
        _pass_on(t, handler)
    else:
        t._step("throw", a=exception)
    t.dead = True


def throw(t: FunctionTranslator, row: Opcode, imm: int) -> None:
    """Make an exception and throw it."""
    params, _, _ = t.context.signature(t.model.tag_types[imm].type_index)
    exception = t._step("exception new", o=t.layout.tag(imm), o2=len(params))
    for number, (type_, value) in enumerate(t.take(len(params))):
        t._step("exception put", a=exception, b=value, o=value_place(number), type=type_)
    _throw(t, exception)


def throw_ref(t: FunctionTranslator, row: Opcode, imm: Any) -> None:
    """Throw an exception that there is already."""
    exception = t.stack.pop()[1]
    t._step("throw_ref", a=exception)
    _throw(t, exception)


def rethrow(t: FunctionTranslator, row: Opcode, imm: int) -> None:
    """Throw what the handler of a label caught: it lies below all that its code has on the stack."""
    _throw(t, t.stack[t.frames[-1 - imm].height][1])


def _open(t: FunctionTranslator, block: Any, handler: Handler) -> None:
    t.block(_BLOCK, block)
    frame = t.frames[-1]
    frame.handler = frame.own_handler = handler


def try_table(t: FunctionTranslator, row: Opcode, imm: Any) -> None:
    """Open a block whose calls are guarded."""
    block, clauses = imm
    _open(t, block, Handler(t._label("handler"), clauses))


def try_(t: FunctionTranslator, row: Opcode, imm: Any) -> None:
    """The same, with the handlers behind it."""
    _open(t, imm, Handler(t._label("handler")))


def _finish(t: FunctionTranslator, frame: Frame) -> None:
    """The end of a body, or of the code of a handler, that goes on behind the whole block."""
    t.out.append(f"br label %{t._carry(frame)}{t.d})")


def _take_caught(t: FunctionTranslator, exception: str, kind: int, tag: int) -> None:
    """Push what a clause gives."""
    t._step("exception clear")
    if kind < CATCH_ALL:
        type_index = t.model.tag_types[tag].type_index
        for number, type_ in enumerate(t.context.signature(type_index)[0]):
            t.stack.append((type_, t._step("exception get", a=exception, o=value_place(number), type=type_)))
    if kind in (CATCH_REF, CATCH_ALL_REF):
        t.stack.append(("ptr", exception))


def _outer(t: FunctionTranslator) -> Handler | None:
    """The handler around the innermost block."""
    return t.frames[-2].handler


def _test(t: FunctionTranslator, exception: str, tag: int) -> str:
    """Go on where the exception has this tag; the label for where it has not."""
    t._step("exception is", a=exception, o=t.layout.tag(tag))
    n = t.n
    t.out.append(f"br i1 %c{n}, label %match{n}, label %other{n}{t.d})\nmatch{n}:")
    return f"other{n}"


def end_try_table(t: FunctionTranslator, frame: Frame, handler: Handler) -> None:
    """What comes before the `end` of a `try_table`: its clauses."""
    if not handler.used:
        return
    if not t.dead:
        _finish(t, frame)
    del t.stack[frame.height :]
    t.out.append(f"{handler.label}:")
    exception = t._step("exception pending")
    for kind, tag, label in handler.clauses:
        other = _test(t, exception, tag) if kind < CATCH_ALL else ""
        _take_caught(t, exception, kind, tag)
        t.out.append(f"br label %{t._carry(t.frames[-2 - label])}{t.d})")
        del t.stack[frame.height :]
        if not other:
            break
        t.out.append(f"{other}:")
    else:
        _pass_on(t, _outer(t))
    t.dead = True


def _begin_handler(t: FunctionTranslator) -> Handler:
    """The head of a `catch` or `catch_all`; what follows is dead where nothing can be caught."""
    frame = t.frames[-1]
    handler = frame.own_handler
    assert handler is not None
    if not t.dead:
        _finish(t, frame)
    del t.stack[frame.height :]
    handler.open = True
    frame.handler = _outer(t)
    t.dead = not handler.used
    if handler.used:
        t.out.append(f"{handler.label}:")
        t.stack.append(("ptr", t._step("exception pending")))
    return handler


def catch(t: FunctionTranslator, row: Opcode, imm: int) -> None:
    """A legacy handler of a tag."""
    handler = _begin_handler(t)
    if handler.used:
        exception = t.stack[-1][1]
        handler.label = _test(t, exception, imm)
        _take_caught(t, exception, CATCH, imm)


def catch_all(t: FunctionTranslator, row: Opcode, imm: Any) -> None:
    """A legacy handler of all."""
    handler = _begin_handler(t)
    handler.complete = True
    if handler.used:
        _take_caught(t, t.stack[-1][1], CATCH_ALL, 0)


def end_try(t: FunctionTranslator, frame: Frame, handler: Handler) -> None:
    """What comes before the `end` of a legacy `try` with handlers: whatever was not caught."""
    if not t.dead:
        _finish(t, frame)
    if handler.used and not handler.complete:
        t.out.append(f"{handler.label}:")
        _pass_on(t, _outer(t))
    t.dead = True


def delegate(t: FunctionTranslator, row: Opcode, imm: int) -> None:
    """The end of a legacy `try` that leaves everything to the handler of a label."""
    frame = t.frames[-1]
    handler = frame.own_handler
    assert handler is not None
    frame.own_handler = None
    if handler.used:
        if not t.dead:
            _finish(t, frame)
        t.out.append(f"{handler.label}:")
        _pass_on(t, t.frames[-2 - imm].handler)
        t.dead = True
    t.end(row, None)


def end(t: FunctionTranslator, frame: Frame) -> None:
    """What comes before the `end` of a block that has a handler of its own."""
    handler = frame.own_handler
    assert handler is not None
    (end_try if handler.open else end_try_table)(t, frame, handler)


_BLOCK: Final = BY_NAME["block"]

INSTRUCTIONS: Final[dict[str, Callable[[FunctionTranslator, Opcode, Any], None]]] = {
    "try_table": try_table,
    "throw": throw,
    "throw_ref": throw_ref,
    "try": try_,
    "catch": catch,
    "catch_all": catch_all,
    "delegate": delegate,
    "rethrow": rethrow,
}
"""What translates each instruction."""
