"""`Module`: decoded, validated and compiled code, without any state. It can be instantiated any number of times."""

from __future__ import annotations

import os

from wasmark.binary.decoder import decode_module
from wasmark.engine import Engine, default_engine
from wasmark.errors import Error, InvalidError, MalformedError, wrong_type
from wasmark.instance_plan import InstancePlan
from wasmark.jit import modules as jit
from wasmark.registry.process_table import ensure_registered
from wasmark.runtime.late_import import late_import
from wasmark.runtime.layout import VMLayout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from wasmark.core.model import ExternType, ModuleModel
    from wasmark.registry.code_object import CodeObject


class Module:
    """A compiled module.

    source: the binary (bytes-like), or WAT text (str). name: what it is called in tracebacks, where its name section
    says nothing. progress: called with (bytes of code compiled, bytes in all) while compiling. Raises MalformedError,
    InvalidError or UnsupportedError.

    A module can be pickled; unpickling decodes it again, and compiles it where it is not in the cache.
    """

    __slots__ = (
        "__weakref__",
        "_code",
        "_compiled",
        "_lazy",
        "_name",
        "_own_part",
        "_plan",
        "component_name",
        "engine",
        "layout",
        "model",
        "type_ids",
    )

    def __init__(
        self,
        source: bytes | bytearray | memoryview | str,
        engine: Engine | None = None,
        *,
        name: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if engine is None:
            engine = default_engine()
        elif not isinstance(engine, Engine):
            raise wrong_type("an Engine", engine)
        model = read_module(source)
        try:
            compiled = jit.obtain([model], engine.config, engine.cache, progress)
        except InvalidError as error:
            raise _located(error, source) from None
        self._set_up(model, engine, name, compiled, 0)

    def _set_up(self, model: ModuleModel, engine: Engine, name: str | None, compiled: jit.Compiled, part: int) -> None:
        self.engine = engine
        self._plan: InstancePlan | None = None
        self._name = name
        self.component_name: str | None = None  # said by the component that it is part of
        self.model = model
        self.type_ids = engine.types.register(model)
        self.layout = VMLayout(model, compiled.escaping[part])
        self._compiled = compiled
        self._own_part = part
        self._code = compiled.code if model.functions else None
        self._lazy = compiled.lazy
        if self._lazy is not None:
            self._lazy.attach(self)
        elif self._code is not None:
            self._code.modules[part].attach(self)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        engine: Engine | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Module:
        """The module in a file: binary, or text where the file does not start as a binary does."""
        with open(path, "rb") as file:
            data = file.read()
        stem = os.path.splitext(os.path.basename(path))[0]
        return cls(source_of(data), engine, name=stem, progress=progress)

    @staticmethod
    def validate(source: bytes | bytearray | memoryview | str, engine: Engine | None = None) -> None:
        """Check a module without compiling it. Raises as the constructor does."""
        late_import("wasmark.compile.check")
        from wasmark.compile.check import validated_layout

        config = (engine if engine is not None else default_engine()).config
        try:
            validated_layout(read_module(source), config.features)
        except InvalidError as error:
            raise _located(error, source) from None

    def serialize(self) -> bytes:
        """The module with its code, as `wasmark compile` writes it: to be loaded where the same versions of Wasmark
        and Python run on the same kind of processor.

        Raises Error for the module of a component: its code is not its own (`Component.serialize` has it).
        """
        if len(self._compiled.escaping) != 1:
            raise Error("this module shares its code with others; serialize them together")
        compiled = self._compiled
        if compiled.lazy is not None:
            compiled = jit.complete([self.model], [self.layout], self.engine.config)
        return jit.serialize(compiled, self.model.data, self._name, self.engine.cache)

    @classmethod
    def deserialize(
        cls, data: bytes | bytearray | memoryview, engine: Engine | None = None, *, name: str | None = None
    ) -> Module:
        """The module that `serialize` made bytes of, in an engine with the same features.

        Damage is noticed. Malice is not: the data holds machine code that will run with all rights of this process,
        so it has to come from where you would take a shared library from. Raises Error where the data is damaged, or
        was made by other versions or for another processor.
        """
        engine = engine if engine is not None else default_engine()
        binary, given, compiled = jit.deserialize(data, engine.config)
        module = cls.__new__(cls)
        module._set_up(decode_module(binary), engine, name if name is not None else given, compiled, 0)
        return module

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.model.data, self.engine, self._name)

    @property
    def name(self) -> str | None:
        """The name from the name section, or else the one given."""
        return self.model.names.module or self._name

    @property
    def imports(self) -> list[tuple[str, str, ExternType]]:
        """(module name, name, type) of each import, in order; of a tag, the function type of its values."""
        return [(import_.module, import_.name, self.model.import_type(import_)) for import_ in self.model.imports]

    @property
    def exports(self) -> dict[str, ExternType]:
        """The type of each export by its name, in order; of a tag, the function type of its values."""
        return {export.name: self.model.export_type(export) for export in self.model.exports}

    @property
    def wants_debug_info(self) -> bool:
        """For tracebacks: `Config.debug_info`."""
        return self.engine.config.debug_info

    def code_object(self) -> CodeObject | None:
        """The native code; None where the module defines no functions. Of a lazy module, that of its thunks."""
        return self._code

    def code_objects(self) -> list[CodeObject]:
        """All code that there is by now: of a lazy module, that of each piece as well."""
        if self._code is None:
            return []
        return [self._code] if self._lazy is None else [self._code, *self._lazy.pieces]

    def finished_functions(self) -> Iterable[tuple[int, int, int]]:
        """(function index, start address, end address exclusive) of every compiled function, in the order of
        addresses; of a lazy module, those that have been called, and some that they call."""
        if self._lazy is not None:
            return self._lazy.functions()
        return [] if self._code is None else list(self._code.modules[self._own_part].functions)

    def function_address(self, func_index: int) -> int:
        """Where the code of a defined function starts; of a lazy module, that of its thunk, which never changes."""
        assert self._code is not None
        if self._lazy is not None:
            return self._lazy.thunks.address(func_index)
        return self._code.modules[self._own_part].ranges(func_index)[0][0]

    def instance_plan(self) -> InstancePlan:
        """For instances: what they have in common."""
        if self._plan is None:
            self._plan = InstancePlan(self)
        return self._plan

    def ensure_registered(self) -> None:
        """For stores: let the signal handler know the code."""
        code = self._code
        if code is not None and not code.is_registered:
            ensure_registered(code)

    @property
    def function_table(self) -> int:
        """The address of the table that the thunks of a lazy module jump through; 0 where it is not lazy."""
        return self._lazy.table_address if self._lazy is not None else 0

    def compile_function(self, number: int) -> int:
        """For the store: the address of the code of the defined function with this number, compiled if need be.

        Raises InvalidError where validating it had been put off, OutOfCodeMemoryError.
        """
        assert self._lazy is not None
        return self._lazy.compile(number)

    def tier_up(self, number: int, loop: int) -> int:
        """For the store: see `LazyCode.tier_up`."""
        assert self._lazy is not None
        return self._lazy.tier_up(number, loop)

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import counted, shown_name

        model = self.model
        counts = {"function": len(model.functions), "import": len(model.imports), "export": len(model.exports)}
        texts = (counted(count, what) for what, count in counts.items())
        return f"<wasmark.Module {shown_name(self.name)}: {', '.join(texts)}>"

    def _repr_html_(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import module_html

        return module_html(self)


def _unpickle(data: bytes, engine: Engine, name: str | None) -> Module:
    return Module(data, engine, name=name)


def source_of(data: bytes) -> bytes | str:
    """What a file holds: a binary as it is, anything else as text.

    Raises Error where it is neither.
    """
    if data[:4] == b"\0asm" or not data:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Error("neither a WebAssembly binary (it does not start with \\0asm) nor UTF-8 text") from None


def _located(error: InvalidError, source: object) -> InvalidError:
    """The error with its line, where the source is a text."""
    if not isinstance(source, str):
        return error
    late_import("wasmark.text.locate")
    from wasmark.text.locate import located

    return located(error, source)


def read_module(source: bytes | bytearray | memoryview | str) -> ModuleModel:
    """The model of a binary or of WAT text; offsets are always those in a binary.

    Raises TypeError for what is neither, and as decoding and parsing do."""
    if isinstance(source, str):
        late_import("wasmark.binary.encoder")
        from wasmark.binary.encoder import encode_module

        late_import("wasmark.text")
        from wasmark.text import parse_module

        try:
            return decode_module(encode_module(parse_module(source)))
        except MalformedError as error:
            if "(" in source:
                raise
            message = f"{error.message}; a file is read by from_file"
            raise MalformedError(message, line=error.line, column=error.column) from None
    try:
        view = memoryview(source)
    except TypeError:
        raise wrong_type("the bytes of a binary, or text as a str (a file is read by from_file)", source) from None
    return decode_module(bytes(view))


def assemble(
    models: Sequence[ModuleModel], engine: Engine, names: Sequence[str | None], compiled: jit.Compiled
) -> list[Module]:
    """Modules of decoded ones, which share the code `compiled`, with the names that they are given."""
    modules = []
    for part, (model, name) in enumerate(zip(models, names, strict=True)):
        module = Module.__new__(Module)
        module._set_up(model, engine, name, compiled, part)
        modules.append(module)
    return modules
