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
from wasmark.jit import modules as jit
from wasmark.module import assemble, source_of
from wasmark.runtime.late_import import late_import
from wasmark.validate.canon import TypeRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from wasmark.component.model import ComponentModel
    from wasmark.module import Module
    from wasmark.registry.code_object import CodeObject

    _T = TypeVar("_T")


class Component:
    """A compiled component.

    source: the binary (bytes-like), or component text (str). name: what it is called in tracebacks, where it has no
    name of its own. progress: called with (bytes of code compiled, bytes in all) while compiling. Raises
    MalformedError, InvalidError or UnsupportedError.

    Its core modules share one code object, but where code is compiled at its first call (`Config(strategy="lazy")`):
    then each of them has its own. A component can be pickled, as a module can.
    """

    def __init__(
        self,
        source: bytes | bytearray | memoryview | str,
        engine: Engine | None = None,
        *,
        name: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._set_up(binary_of(source), engine if engine is not None else default_engine(), name, progress=progress)

    def _set_up(
        self,
        binary: bytes,
        engine: Engine,
        name: str | None,
        compiled: jit.Compiled | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.engine = engine
        self.model = decode_component(binary)
        self._binary = binary
        self._name = name
        # The bodies are checked when the modules are compiled.
        self.checked = validate_component(self.model, engine.types, engine.config.features, bodies=False)
        found = list(core_modules(self.model, self.name))
        definitions = [definition for definition, _ in found]
        models = [definition.model for definition in definitions]
        names = [f"module {number}" for number in range(len(models))]
        if compiled is None and models and engine.config.strategy != "lazy":
            compiled = jit.obtain(models, engine.config, engine.cache, progress)
        self._compiled = compiled
        self.modules = (
            assemble(models, engine, names, compiled)
            if compiled is not None
            else [
                assemble([each], engine, [name], jit.obtain([each], engine.config, engine.cache))[0]
                for each, name in zip(models, names, strict=True)
            ]
        )
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
        validate_component(decode_component(binary_of(source)), TypeRegistry(), features)

    def serialize(self) -> bytes:
        """The component with the code of its modules, as `wasmark compile` writes it: to be loaded where the same
        versions of Wasmark and Python run on the same kind of processor."""
        compiled = self._compiled
        if compiled is None:
            models, layouts = ([each.model for each in self.modules], [each.layout for each in self.modules])
            compiled = jit.complete(models, layouts, self.engine.config)
        return jit.serialize(compiled, self._binary, self._name, self.engine.cache)

    @classmethod
    def deserialize(
        cls, data: bytes | bytearray | memoryview, engine: Engine | None = None, *, name: str | None = None
    ) -> Component:
        """The component that `serialize` made bytes of, in an engine with the same features; see `Module.deserialize`
        for what is noticed and what has to be trusted. Raises Error."""
        engine = engine if engine is not None else default_engine()
        binary, given, compiled = jit.deserialize(data, engine.config)
        component = cls.__new__(cls)
        component._set_up(binary, engine, name if name is not None else given, compiled)
        return component

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._binary, self.engine, self._name)

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
        late_import("wasmark.shown")
        from wasmark.shown import counted, shown_name

        type_ = self.checked.type
        counts = {"module": len(self.modules), "import": len(type_.imports), "export": len(type_.exports)}
        texts = (counted(count, what) for what, count in counts.items())
        return f"<wasmark.Component {shown_name(self.name)}: {', '.join(texts)}>"

    def _repr_html_(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import externs_html

        type_ = self.checked.type
        return externs_html(repr(self), {"import": type_.imports, "export": type_.exports})


def _unpickle(binary: bytes, engine: Engine, name: str | None) -> Component:
    return Component(binary, engine, name=name)


def binary_of(source: bytes | bytearray | memoryview | str) -> bytes:
    """A binary as it is, that of text. Raises MalformedError."""
    if not isinstance(source, str):
        return bytes(source)
    from wasmark.component.binary import encode_component
    from wasmark.component.text import parse_component

    return encode_component(parse_component(source))


def core_modules(model: ComponentModel, name: str | None) -> Iterator[tuple[CoreModule, str | None]]:
    """The core modules of a component and of those in it, in order, each with the name of its component, or of the one
    around it that has a name."""
    for definition in model.definitions:
        if isinstance(definition, CoreModule):
            yield definition, name
        elif isinstance(definition, NestedComponent):
            yield from core_modules(definition.model, definition.model.names.component or name)


def _name_types(namer: Namer, externs: dict[str, T.ExternType], module: str) -> None:
    """Tell the names by which types are imported and exported."""
    for name, extern in externs.items():
        if isinstance(extern, T.TypeExtern):
            if isinstance(extern.type, T.ValType):
                namer.name(extern.type, name, module)
        elif isinstance(extern, T.InstanceType):
            _name_types(namer, extern.exports, module_name(name))
