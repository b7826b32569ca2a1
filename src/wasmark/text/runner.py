"""Runs the scripts of the official tests, and counts.

What a script asserts passes, fails, or waits: for a part of the standard that is not here yet. What depends on a module
that failed or waits, waits with it, for the same reason. A command that asserts nothing is counted when it does not
work. A `thread` of a script is a thread of Python with a store of its own; its script counts what it asserts.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wasmark.binary import decode_module
from wasmark.component.component import Component
from wasmark.component.instance import ComponentInstance
from wasmark.component.text.values import call, matches_result
from wasmark.config import Config
from wasmark.core.features import Feature
from wasmark.core.types import ValType
from wasmark.engine import Engine
from wasmark.errors import (
    Error,
    InvalidError,
    LinkError,
    MalformedError,
    Trap,
    TrapCode,
    UnsupportedError,
    WasmException,
)
from wasmark.func import Func
from wasmark.globals import Global
from wasmark.instance import Instance
from wasmark.module import Module
from wasmark.store import Store
from wasmark.text.lexer import decode_source
from wasmark.text.matching import Matcher, describe
from wasmark.text.script import (
    Action,
    AssertModule,
    AssertReturn,
    AssertStops,
    Command,
    DefineModule,
    MakeInstance,
    ModuleSource,
    Perform,
    Register,
    Thread,
    Wait,
    parse_script,
)
from wasmark.text.spectest import SPECTEST
from wasmark.validate.metadata import check_branch_hints


@dataclass(slots=True)
class FileResult:
    """What became of a script. `assertions` are those in it; `waiting` counts by reason; `failures` and `waits` are
    (line, message). Of commands that assert nothing, those that do not work are counted, too."""

    path: str
    assertions: int = 0
    passed: int = 0
    failed: int = 0
    waiting: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    waits: list[tuple[int, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many commands were counted."""
        return self.passed + self.failed + self.waiting.total()


def run_file(path: str | os.PathLike[str], config: Config | None = None) -> FileResult:
    """Run a script file in an engine of this configuration.

    Raises OSError; a script that cannot be read at all is one failure.
    """
    with open(path, "rb") as file:
        data = file.read()
    result = FileResult(os.fspath(path))
    try:
        commands = parse_script(decode_source(data))
    except MalformedError as error:
        result.failed = 1
        result.failures.append((error.line or 0, error.message))
    else:
        run_commands(commands, result, config)
    return result


def run_commands(commands: Sequence[Command], result: FileResult, config: Config | None = None) -> None:
    """Run the commands of one script, in an engine and a store of their own."""
    run = _Run(Engine(config), result)
    run.commands(commands)
    for name in list(run.threads):
        run.join(name)


_Definition = Module | Component
_Instance = Instance | ComponentInstance


class _Waits(Exception):  # noqa: N818 - no error, but how a command says that it cannot be run
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Wrong(Exception):  # noqa: N818 - an assertion that does not hold; the message says how
    pass


def _part(error: UnsupportedError) -> str:
    return error.part or error.message


def _shown(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}"


class _Run:
    """The state of one script, or of one of its threads."""

    def __init__(self, engine: Engine, result: FileResult) -> None:
        self.result = result
        self.threads: dict[str, tuple[threading.Thread, FileResult]] = {}
        self._engine = engine
        self._store = Store(self._engine)
        self._matcher = Matcher(self._store)
        spectest = Instance(Module(SPECTEST, self._engine), {}, self._store)
        # None is the last one made; a string instead of the thing itself is the reason why it is not there.
        self._modules: dict[str | None, _Definition | str] = {None: "no module has been defined"}
        self._instances: dict[str | None, _Instance | str] = {None: "no instance has been made"}
        self._registered: dict[str, _Instance | str] = {"spectest": spectest}

    def commands(self, commands: Sequence[Command]) -> None:
        """Run commands, and count what becomes of them."""
        result = self.result
        for command in commands:
            counted = isinstance(command, AssertReturn | AssertStops | AssertModule)
            result.assertions += counted
            try:
                _HANDLERS[type(command)](self, command)
            except _Waits as reason:
                result.waiting[reason.reason] += 1
                result.waits.append((command.line, reason.reason))
            except UnsupportedError as error:
                result.waiting[_part(error)] += 1
                result.waits.append((command.line, error.message))
            except Exception as error:
                # Whatever else comes out of the runtime is a failure of this command; the rest of the script still
                # counts.
                result.failed += 1
                result.failures.append((command.line, str(error) if isinstance(error, _Wrong) else _shown(error)))
            else:
                result.passed += counted

    # Threads (threads proposal, "Scripts")

    def thread(self, command: Thread) -> None:
        """Start a thread. It knows the instances that it shares and nothing else of this script."""
        if command.name in self.threads:
            raise _Wrong(f"the thread {command.name} is running already")
        run = _Run(self._engine, FileResult(self.result.path))
        for name in command.shared:
            run._instances[name] = self._get(self._instances, name, "instance")
        thread = threading.Thread(target=run.commands, args=(command.commands,), name=command.name)
        self.threads[command.name] = thread, run.result
        thread.start()

    def wait(self, command: Wait) -> None:
        if command.name not in self.threads:
            raise _Wrong(f"no thread is called {command.name}")
        self.join(command.name)

    def join(self, name: str) -> None:
        """Wait until a thread has ended, and count what it asserted."""
        thread, counted = self.threads.pop(name)
        thread.join()
        result = self.result
        result.assertions += counted.assertions
        result.passed += counted.passed
        result.failed += counted.failed
        result.waiting += counted.waiting
        result.failures += counted.failures
        result.waits += counted.waits

    # Modules and instances

    def _compile(self, source: ModuleSource) -> _Definition:
        if source.is_component:
            return Component(source.binary(), self._engine)
        return Module(source.binary(), self._engine)

    def _instantiate(self, module: _Definition) -> _Instance:
        if isinstance(module, Component):
            return ComponentInstance(module, {}, self._store)
        imports: dict[str, dict[str, Any]] = {}
        for import_ in module.model.imports:
            exporter = self._registered.get(import_.module)
            if isinstance(exporter, str):
                raise _Waits(exporter)
            if exporter is not None and import_.name in exporter.exports:
                imports.setdefault(import_.module, {})[import_.name] = exporter.exports[import_.name]
        return Instance(module, imports, self._store)

    def define(self, command: DefineModule) -> None:
        module = self._attempt(command, self._modules, command.name, lambda: self._compile(command.source))
        if command.instantiate:
            self._attempt(command, self._instances, command.name, lambda: self._instantiate(module))

    def make_instance(self, command: MakeInstance) -> None:
        def make() -> _Instance:
            return self._instantiate(self._get(self._modules, command.module, "module"))

        self._attempt(command, self._instances, command.name, make)

    def _attempt(self, command: Command, into: dict[str | None, Any], name: str | None, make: Callable[[], Any]) -> Any:
        """Make something and give it its name; what cannot be made leaves the reason in its place."""
        try:
            made = make()
        except _Waits as error:
            self._fill(into, name, error.reason)
            raise
        except UnsupportedError as error:
            self._fill(into, name, _part(error))
            raise
        except Exception:
            self._fill(into, name, f"the module of line {command.line}")
            raise
        into[None] = made
        if name is not None:
            into[name] = made
        return made

    def _fill(self, into: dict[str | None, Any], name: str | None, reason: str) -> None:
        """Leave a reason instead of a module, and of the instance that would have been made of it."""
        for names in (into, self._instances):
            names[None] = reason
            if name is not None:
                names[name] = reason

    def _get(self, names: dict[str | None, Any], name: str | None, what: str) -> Any:
        if name not in names:
            raise _Wrong(f"no {what} is called {name}")
        found = names[name]
        if isinstance(found, str):
            raise _Waits(found)
        return found

    def register(self, command: Register) -> None:
        if command.instance not in self._instances:
            raise _Wrong(f"no instance is called {command.instance}")
        self._registered[command.as_name] = self._instances[command.instance]

    # Actions

    def _act(self, action: Action) -> list[tuple[Any, Any]]:
        instance: _Instance = self._get(self._instances, action.instance, "instance")
        if action.name not in instance.exports:
            raise _Wrong(f"nothing is exported as {action.name!r}")
        if isinstance(instance, ComponentInstance):
            return call(instance, action.name, action.args or ())
        extern = instance.exports[action.name]
        if action.args is None:
            if not isinstance(extern, Global):
                raise _Wrong(f"the export {action.name!r} is no global")
            return [(extern.bits & _mask(extern.type.value), extern.type.value)]
        if not isinstance(extern, Func):
            raise _Wrong(f"the export {action.name!r} is no function")
        types = extern.type.params
        if len(types) != len(action.args):
            raise _Wrong(f"{action.name!r} takes {len(types)} arguments, not {len(action.args)}")
        args = [self._matcher.bits(arg, type_) for arg, type_ in zip(action.args, types, strict=True)]
        return list(zip(extern.call_bits(args), extern.type.results, strict=True))

    def perform(self, command: Perform) -> None:
        self._act(command.action)

    def assert_return(self, command: AssertReturn) -> None:
        results = self._act(command.action)
        if len(results) == len(command.results) and all(
            matches_result(pattern, value, type_) or self._matcher.matches(pattern, value, type_)
            for pattern, (value, type_) in zip(command.results, results, strict=True)
        ):
            return
        raise _Wrong(f"{command.action.name!r} gave {describe(results)}, expected {describe(command.results)}")

    def assert_stops(self, command: AssertStops) -> None:
        expected = "an exception" if command.kind == "exception" else f"a trap: {command.message}"
        try:
            results = self._act(command.action)
        except WasmException as error:
            if command.kind != "exception":
                raise _Wrong(f"{_shown(error)}; expected {expected}") from None
        except Trap as trap:
            if command.kind == "exception":
                raise _Wrong(f"{_shown(trap)}; expected {expected}") from None
            _check_trap(trap, command.message)
        else:
            raise _Wrong(f"{command.action.name!r} gave {describe(results)}, expected {expected}")

    # Modules that are no good

    def assert_module(self, command: AssertModule) -> None:
        _MODULE_ASSERTIONS[command.kind](self, command)

    def assert_malformed(self, command: AssertModule) -> None:
        assert isinstance(command.module, ModuleSource)
        # The specification draws the line between syntax and validity of text where names are resolved; both will do.
        expected = (MalformedError,) if command.module.kind == "binary" else (MalformedError, InvalidError)
        self._expect_refusal(command, expected, self._engine)

    def assert_invalid(self, command: AssertModule) -> None:
        engine = self._engine
        lifted = _LIFTED.get(command.message)
        if lifted is not None:  # then the script is about the standard before that
            engine = Engine(Config(features=engine.config.features - {lifted}))
        self._expect_refusal(command, (InvalidError,), engine)

    def _expect_refusal(self, command: AssertModule, expected: tuple[type[Error], ...], engine: Engine) -> None:
        assert isinstance(command.module, ModuleSource)
        try:
            binary = command.module.binary()
            (Component if command.module.is_component else Module).validate(binary, engine)
        except expected:
            return
        except (MalformedError, InvalidError) as error:
            raise _Wrong(f"{_shown(error)}; expected {command.kind}: {command.message}") from None
        raise _Wrong(f"the module was accepted; expected {command.kind}: {command.message}")

    def assert_unlinkable(self, command: AssertModule) -> None:
        try:
            self._instantiate(self._module_of(command))
        except LinkError:
            return
        raise _Wrong(f"the module was instantiated; expected unlinkable: {command.message}")

    def assert_uninstantiable(self, command: AssertModule) -> None:
        try:
            self._instantiate(self._module_of(command))
        except Trap as trap:
            _check_trap(trap, command.message)
            return
        raise _Wrong(f"the module was instantiated; expected a trap: {command.message}")

    def _module_of(self, command: AssertModule) -> _Definition:
        if isinstance(command.module, ModuleSource):
            return self._compile(command.module)
        module: _Definition = self._get(self._modules, command.module.module, "module")
        return module

    def assert_malformed_custom(self, command: AssertModule) -> None:
        assert isinstance(command.module, ModuleSource)
        try:
            command.module.binary()
        except MalformedError as error:
            if command.message in error.message:
                return
            raise _Wrong(f"{_shown(error)}; expected malformed: {command.message}") from None
        raise _Wrong(f"the module was accepted; expected malformed: {command.message}")

    def assert_invalid_custom(self, command: AssertModule) -> None:
        assert isinstance(command.module, ModuleSource)
        binary = command.module.binary()
        Module.validate(binary, self._engine)
        try:
            check_branch_hints(decode_module(binary))
        except InvalidError as error:
            if command.message in error.message:
                return
            raise _Wrong(f"{_shown(error)}; expected invalid: {command.message}") from None
        raise _Wrong(f"the module was accepted; expected invalid: {command.message}")


_LIFTED: Final = {"multiple memories": Feature.MULTI_MEMORY, "multiple tables": Feature.REFERENCE_TYPES}
"""Rules that the standard has given up, by what a script says of a module that breaks them, and when it did."""


def _mask(type_: ValType) -> int:
    return 0xFFFF_FFFF if str(type_) in ("i32", "f32") else -1


def _check_trap(trap: Trap, expected: str) -> None:
    """The message of the official tests may say more ("uninitialized element 2") or less ("unreachable") than ours."""
    message = trap.code.message
    if trap.code is TrapCode.STACK_OVERFLOW and expected == "stack overflow":
        return
    expected = expected.removeprefix("wasm trap: ")
    if any(message == ours and theirs in expected for theirs, ours in _SAID_OTHERWISE):
        return
    if not (message.startswith(expected) or expected.startswith(message)):
        raise _Wrong(f"trapped with {message!r}, expected {expected!r}")


_SAID_OTHERWISE: Final = (
    ("realloc return: beyond end of memory", "list content out-of-bounds"),
    ("realloc return: result not aligned", "unaligned pointer"),
    ("string pointer/length out of bounds of memory", "string content out-of-bounds"),
    ("invalid utf-8", "invalid string"),
    ("incomplete utf-8 byte sequence", "invalid string"),
    ("wasm `unreachable` instruction executed", "unreachable executed"),
    ("used with the wrong type", "handle used with the wrong type"),
)
"""Traps that the scripts about components have other words for, and ours."""


_HANDLERS: Final[dict[type, Callable[[_Run, Any], None]]] = {
    DefineModule: _Run.define,
    MakeInstance: _Run.make_instance,
    Register: _Run.register,
    Perform: _Run.perform,
    AssertReturn: _Run.assert_return,
    AssertStops: _Run.assert_stops,
    AssertModule: _Run.assert_module,
    Thread: _Run.thread,
    Wait: _Run.wait,
}

_MODULE_ASSERTIONS: Final[dict[str, Callable[[_Run, AssertModule], None]]] = {
    "malformed": _Run.assert_malformed,
    "invalid": _Run.assert_invalid,
    "unlinkable": _Run.assert_unlinkable,
    "trap": _Run.assert_uninstantiable,
    "malformed_custom": _Run.assert_malformed_custom,
    "invalid_custom": _Run.assert_invalid_custom,
}
