"""Wasm's frames in the tracebacks of Python's exceptions: between the Python function that called wasm, and the one
that wasm called.

Native code adds them to an exception when it leaves an activation (`compile/image/tracebacks.ll`), and asks here what
they look like: a code object for the function and the line, and what is global in it. A frame is made for each
traceback anew, the code objects are kept. Here, too, is what an exception passed of this package on its way.
"""

from __future__ import annotations

import builtins
import struct

from wasmark.errors import Exit
from wasmark.registry.line_table import SAME_ACTIVATION
from wasmark.registry.names import demangled, function_name, printable
from wasmark.registry.process_table import find_code, when_code_goes
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.late_import import late_import
from wasmark.runtime.native import set_python_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import Any, Final, TypeVar

    _F = TypeVar("_F", bound=Callable[..., Any])

    from wasmark.registry.code_object import RegisteredModule
    from wasmark.registry.frames import Symbol

_counts: Final = struct.Struct("<QQ")  # ACT_FRAME_COUNT and ACT_OWN_COUNT
_HEAD: Final = L.ACT_FRAMES - L.ACT_FRAME_COUNT

_known: Final[dict[int, list[Any]]] = {}
"""By return address: what `frames_of` has for it. Where the innermost frame is, by its pc, negative."""

_stacks: Final[dict[bytes, list[Any]]] = {}
"""The same for whole stacks, as the activation has them."""

_MOST_STACKS: Final = 1000


def _forget() -> None:
    _known.clear()
    _stacks.clear()


when_code_goes(_forget)


def frames_of(report: bytes, start: int = 0) -> list[Any]:
    """The frames of an activation's own, the innermost first: code object and globals of each, one after the other.
    (The caller does not change the list.)

    report: what the activation says of its frames, from ACT_FRAME_COUNT (at `start`) on.
    """
    count, own = _counts.unpack_from(report, start)
    start += _HEAD
    if own > L.FRAMES_KEPT:
        return _frames_of_many(report, start, count, own)
    stack = report[start : start + 8 * own]
    frames = _stacks.get(stack)
    if frames is None:
        frames = _first_frames(stack)
        if len(_stacks) >= _MOST_STACKS:
            _stacks.clear()
        _stacks[stack] = frames
    return frames


def _first_frames(stack: bytes) -> list[Any]:
    frames: list[Any] = []
    for position, pc in enumerate(struct.unpack(f"<{len(stack) // 8}Q", stack)):
        if position:
            frames += _caller(pc)
        elif pc:
            frames += _known.get(-pc) or _look(-pc, pc)
    return frames


def _caller(return_address: int) -> list[Any]:
    known = _known.get(return_address)
    return known if known is not None else _look(return_address, return_address - 1)


def _frames_of_many(report: bytes, start: int, count: int, own: int) -> list[Any]:
    """The same where there are more than are written down for certain: the first ones, and what the ring behind them
    has of the last ones."""
    kept = L.FRAMES_KEPT
    frames = _first_frames(report[start : start + 8 * kept])
    first = max(kept, count - kept)
    frames += _omission(min(first, own) - kept)
    for number in range(first, own):
        (pc,) = struct.unpack_from("<Q", report, start + 8 * (kept + number % kept))
        frames += _caller(pc)
    return frames


def _omission(count: int) -> list[Any]:
    """Stands for frames that were not written down; nothing where there are none."""
    return [_code(f"<{count:,} wasm frames omitted>", "<wasm>", 1), _scope] if count > 0 else []


def _look(key: int, pc: int) -> list[Any]:
    code = find_code(pc)
    place = code.place(pc) if code is not None and code.modules else None
    if code is None or place is None:
        return _known.setdefault(key, [])
    number, index, line, column = place
    if column == SAME_ACTIVATION and key >= 0:
        return _known.setdefault(key, [])
    module = code.modules[number].module
    if module is None:  # in garbage that is being taken apart
        return []
    return _known.setdefault(key, _frames(module, index, line))


def _frames(module: RegisteredModule, index: int, offset: int) -> list[Any]:
    """The frames at a module offset (0: the function's first byte): several where the source compiler inlined."""
    model = module.model
    if module.wants_debug_info:
        late_import("wasmark.debug.symbols")
        from wasmark.debug.symbols import symbols_at

        symbols = symbols_at(module, index, offset or model.functions[index - model.imported["func"]].entry)
        if symbols[0].file is not None:
            return [part for symbol in symbols for part in _source_frame(symbol, index)]
    late_import("wasmark.debug.listing")
    from wasmark.debug.listing import listings_of

    listing, scope = listings_of(module).function(index)
    name = function_name(model, index)
    return [_code(_display(name, index), listing.file_name, listing.line(offset)), scope]


def _source_frame(symbol: Symbol, index: int) -> list[Any]:
    return [_code(_display(symbol.name, index), symbol.file or "<wasm>", symbol.line or 1), _scope]


def _display(name: str | None, index: int) -> str:
    return f"func[{index}]" if name is None else printable(demangled(name))


def _template() -> None:
    pass


_UNITS: Final = len(_template.__code__.co_code) // 2
_NO_COLUMNS: Final = bytes(
    byte for first in range(0, _UNITS, 8) for byte in (0x80 | 13 << 3 | min(8, _UNITS - first) - 1, 0)
)
"""A location table (CPython's InternalDocs/code_objects.md): all is in the first line, in columns that nobody knows, so
that nothing is underlined."""

_blank: Final = _template.__code__.replace(co_linetable=_NO_COLUMNS)
_scope: Final = {"__name__": "wasm", "__builtins__": builtins}


def _code(name: str, file: str, line: int) -> CodeType:
    """A code object that never runs."""
    return _blank.replace(co_name=name, co_qualname=name, co_filename=file, co_firstlineno=line)


_passed: Final[set[CodeType]] = set()


def passes(function: _F) -> _F:
    """Mark a function of this package that only lies on the way between Python and wasm. (A decorator.)"""
    _passed.add(function.__code__)
    return function


def trimmed(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without the marked functions that it begins with."""
    while traceback is not None and traceback.tb_frame.f_code in _passed:
        traceback = traceback.tb_next
    return traceback


set_python_hook(L.HOOK_FRAMES, frames_of)
set_python_hook(L.HOOK_TRIM, trimmed)
set_python_hook(L.HOOK_EXIT, Exit)
