"""Scripts of the official tests (`.wast`): the commands, with everything but the modules read.

A module is left as it stands until somebody asks for its binary, so that one which asks for too much, or is meant to be
malformed, does not keep the rest of its script from running. The grammar is that of the specification's reference
interpreter ("Scripts" in its README), with the `thread` and `wait` of the threads proposal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from wasmark.binary import encode_module
from wasmark.component.binary import encode_component
from wasmark.component.text import parse_component, parse_component_fields
from wasmark.component.text.values import ComponentValue, is_component_value, read_value
from wasmark.core.types import HeapType
from wasmark.text.lexer import Tokens, decode_source
from wasmark.text.module import parse_fields, parse_module
from wasmark.text.numbers import NOT_A_NUMBER, SHAPES, join_lanes, parse_f32, parse_f64, parse_int
from wasmark.text.types import TypeParser


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """A module or component as the script gives it. `kind` is "text", "quote" or "binary"; the latter two have
    `data`."""

    kind: str
    tokens: Tokens
    pos: int
    name: str | None = None
    data: bytes = b""
    is_component: bool = False

    def binary(self) -> bytes:
        """The module's binary. Raises MalformedError or UnsupportedError where the text is not to be had."""
        if self.kind == "binary":
            return self.data
        if self.is_component:
            if self.kind == "text":
                return encode_component(parse_component_fields(self.tokens, self.pos, self.name))
            return encode_component(parse_component(decode_source(self.data)))
        if self.kind == "text":
            return encode_module(parse_fields(self.tokens, self.pos, ")", self.name))
        return encode_module(parse_module(decode_source(self.data)))


@dataclass(frozen=True, slots=True)
class Const:
    """A number or vector. `type` is "i32", "i64", "f32", "f64" or "v128"; `bits` its value, unsigned."""

    type: str
    bits: int


@dataclass(frozen=True, slots=True)
class NullRef:
    """A null reference, of any type where `heap` is None."""

    heap: HeapType | int | None


@dataclass(frozen=True, slots=True)
class HostRef:
    """A reference to the host's object `number`; `kind` is "extern" or "host"."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class NanPattern:
    """Any NaN of `type` that is `kind`: "canonical" or "arithmetic"."""

    type: str
    kind: str


@dataclass(frozen=True, slots=True)
class LanesPattern:
    """A vector by its lanes, the lowest first."""

    lanes: tuple[Const | NanPattern, ...]


@dataclass(frozen=True, slots=True)
class RefPattern:
    """Any reference of a kind that is not null: "func", "extern", "i31" and so on, or "any"."""

    kind: str


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    options: tuple[Pattern, ...]


Value = Const | NullRef | HostRef | ComponentValue
Pattern = Const | NullRef | HostRef | NanPattern | LanesPattern | RefPattern | Either | ComponentValue


@dataclass(frozen=True, slots=True)
class Action:
    """`(invoke ...)`, or `(get ...)` where `args` is None; `instance` is None for the last one made."""

    instance: str | None
    name: str
    args: tuple[Value, ...] | None


@dataclass(frozen=True, slots=True)
class DefineModule:
    """`(module ...)` or `(component ...)`. Without the word `definition`, an instance of the same name is made as
    well."""

    line: int
    source: ModuleSource
    name: str | None
    instantiate: bool


@dataclass(frozen=True, slots=True)
class MakeInstance:
    """`(module instance ...)` or `(component instance ...)`; `module` is None for the last one defined."""

    line: int
    name: str | None
    module: str | None


@dataclass(frozen=True, slots=True)
class Register:
    """Make an instance's exports importable from a module called `as_name`."""

    line: int
    as_name: str
    instance: str | None


@dataclass(frozen=True, slots=True)
class Perform:
    """An action of which nothing is asserted."""

    line: int
    action: Action


@dataclass(frozen=True, slots=True)
class AssertReturn:
    """The action gives these results."""

    line: int
    action: Action
    results: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class AssertStops:
    """The action does not return: `kind` is "trap", "exhaustion" or "exception"."""

    line: int
    kind: str
    action: Action
    message: str


@dataclass(frozen=True, slots=True)
class AssertModule:
    """The module (or the module of that name) is no good: `kind` is "malformed", "invalid", "unlinkable", "trap",
    "malformed_custom" or "invalid_custom"."""

    line: int
    kind: str
    module: ModuleSource | MakeInstance
    message: str


@dataclass(frozen=True, slots=True)
class Thread:
    """`(thread $name (shared (module $m))* command*)`."""

    line: int
    name: str
    shared: tuple[str, ...]
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """`(wait $name)`: until that thread has ended."""

    line: int
    name: str


Command = DefineModule | MakeInstance | Register | Perform | AssertReturn | AssertStops | AssertModule | Thread | Wait


def parse_script(source: str) -> list[Command]:
    """The commands of a script. Raises MalformedError where they, or the tokens of any module, are broken."""
    parser = _ScriptParser(Tokens(source))
    if parser.toks[0] == "(" and parser.toks[1] not in _COMMANDS:  # the fields of a single module
        return [DefineModule(1, ModuleSource("quote", parser.tokens, 0, None, source.encode()), None, True)]
    commands = parser.commands()
    if parser.toks[parser.pos]:
        raise parser.unexpected("a command")
    return commands


_INTEGERS: Final = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
_FLOATS: Final = {"f32": parse_f32, "f64": parse_f64}


class _ScriptParser(TypeParser):
    def commands(self) -> list[Command]:
        """Commands up to whatever is none."""
        commands = []
        while self.toks[self.pos] == "(":
            read = _COMMANDS.get(self.toks[self.pos + 1])
            if read is None:
                raise self.unexpected("a command", self.pos + 1)
            commands.append(read(self))
        return commands

    def _open(self, keyword: str) -> int:
        """Step into `(keyword`; the line where it stands."""
        line = self.tokens.position(self.pos)[0]
        self.expect("(")
        self.expect(keyword)
        return line

    def module(self) -> DefineModule | MakeInstance:
        is_component = self.at_form("component")
        line = self._open("component" if is_component else "module")
        opened = self.pos - 2
        word = self.toks[self.pos]
        if word == "instance":
            self.pos += 1
            name = self.optional_id()
            module = self.optional_id()
            self.expect(")")
            return MakeInstance(line, name, module) if module is not None else MakeInstance(line, None, name)
        if word == "definition":
            self.pos += 1
        name = self.optional_id()
        kind = self.toks[self.pos]
        if kind in ("quote", "binary"):
            self.pos += 1
            source = ModuleSource(kind, self.tokens, self.pos, name, self.strings(), is_component)
            self.expect(")", " or a string")
        else:
            source = ModuleSource("text", self.tokens, self.pos, name, is_component=is_component)
            self.skip_form(opened)
        return DefineModule(line, source, name, word != "definition")

    def register(self) -> Register:
        line = self._open("register")
        command = Register(line, self.name(), self.optional_id())
        self.expect(")")
        return command

    def perform(self) -> Perform:
        line = self.tokens.position(self.pos)[0]
        return Perform(line, self.action())

    def action(self) -> Action:
        self.expect("(", " and an action")
        keyword = self.toks[self.pos]
        if keyword not in ("invoke", "get"):
            raise self.unexpected("'invoke' or 'get'")
        self.pos += 1
        instance = self.optional_id()
        name = self.name()
        args = None
        if keyword == "invoke":
            values = []
            while self.toks[self.pos] == "(":
                at = self.pos
                value = self.pattern()
                if not isinstance(value, Value):
                    raise self.unexpected("a value", at)
                values.append(value)
            args = tuple(values)
        self.expect(")")
        return Action(instance, name, args)

    def assert_return(self) -> AssertReturn:
        line = self._open("assert_return")
        action = self.action()
        results = []
        while self.toks[self.pos] == "(":
            results.append(self.pattern())
        self.expect(")")
        return AssertReturn(line, action, tuple(results))

    def assert_stops(self, kind: str) -> AssertStops | AssertModule:
        line = self._open(f"assert_{kind}")
        if kind == "trap" and (self.at_form("module") or self.at_form("component")):
            return self._assert_module(line, kind)
        action = self.action()
        message = "" if kind == "exception" else self._message()
        self.expect(")")
        return AssertStops(line, kind, action, message)

    def assert_module(self, kind: str) -> AssertModule:
        return self._assert_module(self._open(f"assert_{kind}"), kind)

    def _assert_module(self, line: int, kind: str) -> AssertModule:
        module = self.module()
        message = self._message()
        self.expect(")")
        return AssertModule(line, kind, module if isinstance(module, MakeInstance) else module.source, message)

    def _message(self) -> str:
        return self.string("the error's message").decode(errors="replace")

    def thread(self) -> Thread:
        line = self._open("thread")
        name = self._required_id()
        shared = []
        while self.at_form("shared"):
            self.pos += 1
            self.expect("shared")
            self.expect("(")
            self.expect("module")
            shared.append(self._required_id())
            self.expect(")")
            self.expect(")")
        commands = tuple(self.commands())
        self.expect(")")
        return Thread(line, name, tuple(shared), commands)

    def wait(self) -> Wait:
        line = self._open("wait")
        command = Wait(line, self._required_id())
        self.expect(")")
        return command

    def _required_id(self) -> str:
        name = self.optional_id()
        if name is None:
            raise self.unexpected("a name")
        return name

    # Values

    def pattern(self) -> Pattern:
        """A value, or what a result may look like."""
        self.expect("(")
        word = self.toks[self.pos]
        self.pos += 1
        type_, _, rest = word.partition(".")
        pattern: Pattern
        if rest == "const" and type_ == "v128":
            pattern = self._vector()
        elif rest == "const" and (type_ in _INTEGERS or type_ in _FLOATS):
            pattern = self._lane(type_)
        elif is_component_value(word):
            self.pos -= 1
            pattern = read_value(self)
        elif word == "ref.null":
            pattern = NullRef(None if self.toks[self.pos] == ")" else self.heap_type())
        elif word in ("ref.extern", "ref.host") and self.toks[self.pos] != ")":
            pattern = HostRef(rest, self.uint(32))
        elif type_ == "ref":
            pattern = RefPattern(rest or "any")
        elif word == "either":
            options = []
            while self.toks[self.pos] == "(":
                options.append(self.pattern())
            pattern = Either(tuple(options))
        else:
            raise self.unexpected("a value", self.pos - 1)
        self.expect(")")
        return pattern

    def _lane(self, type_: str) -> Const | NanPattern:
        token = self.toks[self.pos]
        try:
            if type_ in _INTEGERS:
                bits = _INTEGERS[type_]
                lane: Const | NanPattern = Const(type_, parse_int(token, bits) & ((1 << bits) - 1))
            elif token in ("nan:canonical", "nan:arithmetic"):
                lane = NanPattern(type_, token[4:])
            else:
                lane = Const(type_, _FLOATS[type_](token))
        except ValueError as error:
            if str(error) == NOT_A_NUMBER:
                raise self.unexpected("a number") from None
            raise self.error(f"{error}: {token}") from None
        self.pos += 1
        return lane

    def _vector(self) -> Const | LanesPattern:
        shape = self.toks[self.pos]
        if shape not in SHAPES:
            raise self.unexpected("a shape")
        self.pos += 1
        type_ = shape.partition("x")[0]
        lanes = tuple(self._lane(type_) for _ in range(SHAPES[shape][0]))
        known = [lane.bits for lane in lanes if isinstance(lane, Const)]
        return Const("v128", join_lanes(known)) if len(known) == len(lanes) else LanesPattern(lanes)


_COMMANDS: Final[dict[str, Callable[[_ScriptParser], Command]]] = {
    "module": _ScriptParser.module,
    "component": _ScriptParser.module,
    "register": _ScriptParser.register,
    "invoke": _ScriptParser.perform,
    "get": _ScriptParser.perform,
    "assert_return": _ScriptParser.assert_return,
    **{
        f"assert_{kind}": partial(_ScriptParser.assert_stops, kind=kind) for kind in ("trap", "exhaustion", "exception")
    },
    **{
        f"assert_{kind}": partial(_ScriptParser.assert_module, kind=kind)
        for kind in ("malformed", "invalid", "unlinkable", "malformed_custom", "invalid_custom")
    },
    "thread": _ScriptParser.thread,
    "wait": _ScriptParser.wait,
}
