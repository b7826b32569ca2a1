"""Wasmark: a WebAssembly runtime for Python, in Python. Native speed, and an owner for every machine address."""

from wasmark import registry
from wasmark.config import Config
from wasmark.core.features import Feature
from wasmark.core.types import FuncType, GlobalType, Limits, MemoryType, TableType
from wasmark.engine import Engine
from wasmark.errors import (
    Error,
    Exit,
    InvalidError,
    LinkError,
    MalformedError,
    Timeout,
    Trap,
    TrapCode,
    UnsupportedError,
    WasmException,
)
from wasmark.func import Func
from wasmark.globals import Global
from wasmark.instance import Exports, Instance
from wasmark.linker import Linker
from wasmark.memory import Memory
from wasmark.module import Module
from wasmark.objects import Array, Struct
from wasmark.registry import FrameInfo
from wasmark.stopping import Deadline, deadline
from wasmark.store import Store
from wasmark.table import Table
from wasmark.tag import Tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.component import (
        Component,
        ComponentInstance,
        ComponentLinker,
        ComponentTrap,
        ComponentTrapCode,
        Err,
        Ok,
        ResultError,
        Some,
    )

__all__ = [
    "Array",
    "Component",
    "ComponentInstance",
    "ComponentLinker",
    "ComponentTrap",
    "ComponentTrapCode",
    "Config",
    "Deadline",
    "Engine",
    "Err",
    "Error",
    "Exit",
    "Exports",
    "Feature",
    "FrameInfo",
    "Func",
    "FuncType",
    "Global",
    "GlobalType",
    "Instance",
    "InvalidError",
    "Limits",
    "LinkError",
    "Linker",
    "MalformedError",
    "Memory",
    "MemoryType",
    "Module",
    "Ok",
    "ResultError",
    "Some",
    "Store",
    "Struct",
    "Table",
    "TableType",
    "Tag",
    "Timeout",
    "Trap",
    "TrapCode",
    "UnsupportedError",
    "WasmException",
    "deadline",
    "registry",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """What has to do with components is imported when somebody asks for it: a start that needs none is quicker."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from wasmark import component

        return getattr(component, name)
