"""Wasmark: a WebAssembly runtime for Python, in Python. Native speed, and an owner for every machine address."""

import os

from wasmark import registry
from wasmark.config import Config
from wasmark.core.features import Feature
from wasmark.core.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)
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
    from typing import Any

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
    from wasmark.debug.core_dump import core_dump
    from wasmark.debug.profile import profile
    from wasmark.debug.tools import enable_crash_reports, enable_debugger, enable_jitdump, enable_perf_map

_LATE = {
    **dict.fromkeys(
        (
            "Component",
            "ComponentInstance",
            "ComponentLinker",
            "ComponentTrap",
            "ComponentTrapCode",
            "Err",
            "Ok",
            "ResultError",
            "Some",
        ),
        "wasmark.component",
    ),
    "core_dump": "wasmark.debug.core_dump",
    "enable_crash_reports": "wasmark.debug.tools",
    "enable_debugger": "wasmark.debug.tools",
    "enable_jitdump": "wasmark.debug.tools",
    "enable_perf_map": "wasmark.debug.tools",
    "profile": "wasmark.debug.profile",
}
"""Names that few programs use, and where they are: imported when they are asked for."""


def __getattr__(name: str) -> "Any":
    if name not in _LATE:
        raise AttributeError(f"module 'wasmark' has no attribute {name!r}")
    from wasmark.runtime.late_import import late_import

    return getattr(late_import(_LATE[name]), name)


def __dir__() -> list[str]:
    """What is for users, the late names included; for completion at a prompt."""
    return [*__all__]


if os.environ.get("WASMARK_DEBUG"):
    from wasmark.debug.tools import enable

    enable(os.environ["WASMARK_DEBUG"])

__all__ = [
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "I32",
    "I64",
    "V128",
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
    "core_dump",
    "deadline",
    "enable_crash_reports",
    "enable_debugger",
    "enable_jitdump",
    "enable_perf_map",
    "profile",
    "registry",
]
