"""The room that answers "what is at this address?". See its README.md."""

from wasmark.registry.code_object import CodeModule, CodeObject
from wasmark.registry.frames import FrameInfo, Symbol, format_frames, lookup_frame_info
from wasmark.registry.module_registry import ModuleRegistry
from wasmark.registry.process_table import (
    is_wasm_trap_pc,
    lookup_code,
    process_table_address,
    register_code,
    unregister_code,
)

__all__ = [
    "CodeModule",
    "CodeObject",
    "FrameInfo",
    "ModuleRegistry",
    "Symbol",
    "format_frames",
    "is_wasm_trap_pc",
    "lookup_code",
    "lookup_frame_info",
    "process_table_address",
    "register_code",
    "unregister_code",
]
