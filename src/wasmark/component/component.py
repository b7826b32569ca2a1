"""`Component`: a decoded and validated component with the compiled code of its modules, without any state."""

from __future__ import annotations

import os

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary import decode_component
from wasmark.component.classes import Namer
from wasmark.component.model import CoreModule, NestedComponent
from wasmark.component.naming import module_name
from wasmark.component.validate import validate_component
from wasmark.engine import Engine, default_engine
from wasmark.module import assemble, source_of
from wasmark.validate.canon import TypeRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from wasmark.component.model import ComponentModel
    from wasmark.core.model import ModuleModel
    from wasmark.module import Module
    from wasmark.registry.code_object import CodeObject

    _T = TypeVar("_T")


class Component:
    """A compiled component.

    source: the binary (bytes-like), or component text (str). name: what it is called in tracebacks, where it has no
    name of its own. Raises MalformedError, InvalidError or UnsupportedError.

    Its core modules share one code object, but where code is compiled at its first call (`Config(strategy="lazy")`):
    then each of them has its own.
    """

    def __init__(
        self, source: bytes | bytearray | memoryview | str, engine: Engine | None = None, *, name: str | None = None
    ) -> None:
        engine = engine if engine is not None else default_engine()
        self.engine = engine
        self.model = read_component(source)
        self._name = name
        # The bodies are checked when the modules are compiled.
        self.checked = validate_component(self.model, engine.types, engine.config.features, bodies=False)
        found = list(_modules(self.model, self.name))
        definitions = [definition for definition, _ in found]
        self.modules = _compiled([definition.model for definition in definitions], engine)
        for module, (_, component_name) in zip(self.modules, found, strict=True):
            module.component_name = component_name
        self._by_definition = {
            id(definition): module for definition, module in zip(definitions, self.modules, strict=True)
        }
        self._made: dict[Any, Any] = {}
        self.namer = Namer()
        for externs in (self.checked.type.imports, self.checked.type.exports):
            _name_types(self.namer, externs, "")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], engine: Engine | None = None) -> Component:
        """The component in a file: binary, or text where the file does not start as a binary does."""
        with open(path, "rb") as file:
            data = file.read()
        return cls(source_of(data), engine, name=os.path.splitext(os.path.basename(path))[0])

    @staticmethod
    def validate(source: bytes | bytearray | memoryview | str, engine: Engine | None = None) -> None:
        """Check a component without compiling it. Raises as the constructor does."""
        features = (engine if engine is not None else default_engine()).config.features
        validate_component(read_component(source), TypeRegistry(), features)

    @property
    def name(self) -> str | None:
        """The name from its name section, or else the one given."""
        return self.model.names.component or self._name

    def module_of(self, definition: CoreModule) -> Module:
        """For instances: the compiled module of a definition."""
        return self._by_definition[id(definition)]

    def made(self, key: Any, make: Callable[[], _T]) -> _T:
        """For instances: what was made for a key, by `make` at the first time."""
        found = self._made.get(key)
        if found is None:
            found = self._made.setdefault(key, make())
        answer: _T = found
        return answer

    def code_object(self) -> CodeObject | None:
        """The native code of its modules; None where they have no functions, or each has code of its own."""
        codes = {id(code): code for module in self.modules if (code := module.code_object()) is not None}
        return next(iter(codes.values())) if len(codes) == 1 else None

    def __repr__(self) -> str:
        type_ = self.checked.type
        counts = f"{len(self.modules)} modules, {len(type_.imports)} imports, {len(type_.exports)} exports"
        return f"<wasmark.Component {self.name or '(unnamed)'}: {counts}>"


def read_component(source: bytes | bytearray | memoryview | str) -> ComponentModel:
    """The model of a binary or of text; offsets are always those in a binary."""
    if not isinstance(source, str):
        return decode_component(bytes(source))
    from wasmark.component.binary import encode_component
    from wasmark.component.text import parse_component

    return decode_component(encode_component(parse_component(source)))


def _modules(model: ComponentModel, name: str | None) -> Iterator[tuple[CoreModule, str | None]]:
    """The core modules of a component and of those in it, in order, each with the name of its component, or of the one
    around it that has a name."""
    for definition in model.definitions:
        if isinstance(definition, CoreModule):
            yield definition, name
        elif isinstance(definition, NestedComponent):
            yield from _modules(definition.model, definition.model.names.component or name)


def _compiled(models: list[ModuleModel], engine: Engine) -> list[Module]:
    names = [f"module {number}" for number in range(len(models))]
    if engine.config.strategy != "lazy":
        return assemble(models, engine, names) if models else []
    return [assemble([model], engine, [each])[0] for model, each in zip(models, names, strict=True)]


def _name_types(namer: Namer, externs: dict[str, T.ExternType], module: str) -> None:
    """Tell the names by which types are imported and exported."""
    for name, extern in externs.items():
        if isinstance(extern, T.TypeExtern):
            if isinstance(extern.type, T.ValType):
                namer.name(extern.type, name, module)
        elif isinstance(extern, T.InstanceType):
            _name_types(namer, extern.exports, module_name(name))
