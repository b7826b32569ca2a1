"""`Module`: decoded, validated and compiled code, without any state. It can be instantiated any number of times."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasmark.binary import decode_body, decode_module, encode_module
from wasmark.compile.abi import signature
from wasmark.compile.module import compile_modules
from wasmark.core.types import FuncType
from wasmark.engine import Engine, default_engine
from wasmark.errors import Error
from wasmark.runtime.layout import VMLayout
from wasmark.text import parse_module
from wasmark.validate import validate_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wasmark.core.model import ModuleModel
    from wasmark.registry.code_object import CodeObject


class Module:
    """A compiled module.

    source: the binary (bytes-like), or WAT text (str). name: what it is called in tracebacks, where its name section
    says nothing. progress: called with (bytes of code compiled, bytes in all) while compiling. Raises MalformedError,
    InvalidError or UnsupportedError.
    """

    __slots__ = ("__weakref__", "_code", "_name", "_own_part", "engine", "layout", "model", "type_ids")

    def __init__(
        self,
        source: bytes | bytearray | memoryview | str,
        engine: Engine | None = None,
        *,
        name: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._set_up(read_module(source), engine if engine is not None else default_engine(), name)
        self._adopt(compile_modules([(self.model, self.layout)], progress), 0)

    def _set_up(self, model: ModuleModel, engine: Engine, name: str | None) -> None:
        self.engine = engine
        self._name = name
        self.model = model
        validator = validate_module(model, engine.config.features)
        for index, function in enumerate(model.functions):
            validator.validate_body(index, decode_body(model, function.start, function.end))
        self.type_ids = engine.types.register(model)
        imported = model.imported["func"]
        self.layout = VMLayout(model, sorted(f for f in validator.declared_functions if f >= imported))
        for type_index in model.func_types:  # before anything is compiled: signatures that cannot be lowered
            type_ = model.types[type_index].composite
            assert isinstance(type_, FuncType)
            signature(type_)

    def _adopt(self, code: CodeObject | None, part: int) -> None:
        self._code = code
        self._own_part = part
        if code is not None:
            code.modules[part].attach(self)

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
        module = Module.__new__(Module)
        module._set_up(read_module(source), engine if engine is not None else default_engine(), None)

    @property
    def name(self) -> str | None:
        """The name from the name section, or else the one given."""
        return self.model.names.module or self._name

    def code_object(self) -> CodeObject | None:
        """The native code; None where the module defines no functions."""
        return self._code

    def finished_functions(self) -> Iterable[tuple[int, int, int]]:
        """(function index, start address, end address exclusive) of every compiled function, in the order of
        addresses."""
        return [] if self._code is None else list(self._code.modules[self._own_part].functions)

    def function_address(self, func_index: int) -> int:
        """Where the code of a defined function starts."""
        assert self._code is not None
        return self._code.modules[self._own_part].ranges(func_index)[0][0]

    def __repr__(self) -> str:
        model = self.model
        counts = f"{len(model.functions)} functions, {len(model.imports)} imports, {len(model.exports)} exports"
        return f"<wasmark.Module {self.name or '(unnamed)'}: {counts}>"


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


def read_module(source: bytes | bytearray | memoryview | str) -> ModuleModel:
    """The model of a binary or of WAT text; offsets are always those in a binary."""
    if isinstance(source, str):
        return decode_module(encode_module(parse_module(source)))
    return decode_module(bytes(source))


def compile_together(sources: Sequence[bytes | str], engine: Engine | None = None) -> list[Module]:
    """Several modules compiled into one code object, as the modules of a component are."""
    engine = engine if engine is not None else default_engine()
    modules = []
    for source in sources:
        module = Module.__new__(Module)
        module._set_up(read_module(source), engine, None)
        modules.append(module)
    code = compile_modules([(module.model, module.layout) for module in modules])
    for part, module in enumerate(modules):
        module._adopt(code if module.model.functions else None, part)
    return modules
