"""The stubs of `compile.stubs`, compiled once a process and signature, and the runtime image they lean on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from wasmark.compile.llvm import compile_ir
from wasmark.compile.runtime_image import runtime_image_ir
from wasmark.compile.stubs import host_stub_symbol, stubs_ir, trampoline_symbol
from wasmark.registry.code_object import CodeObject
from wasmark.registry.process_table import register_code
from wasmark.runtime.elf import link
from wasmark.runtime.native import Runtime, image_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stubs(NamedTuple):
    """Addresses of the two stubs of a signature."""

    trampoline: int
    host: int


_lock = threading.Lock()
_runtime: Runtime | None = None
_stubs: dict[str, Stubs] = {}
_code: list[CodeObject] = []


def runtime() -> Runtime:
    """The installed runtime image; compiled at the first call."""
    global _runtime
    if _runtime is None:
        with _lock:
            if _runtime is None:
                _runtime = Runtime(link([compile_ir(runtime_image_ir())], image_symbol))
    return _runtime


def stubs(signature: str) -> Stubs:
    """The stubs of a signature."""
    found = _stubs.get(signature)
    if found is None:
        prepare_stubs([signature])
        found = _stubs[signature]
    return found


def prepare_stubs(signatures: Iterable[str]) -> None:
    """Compile the stubs of all these signatures that are not there yet, in one go."""
    resolve = runtime().symbol
    with _lock:
        missing = [signature for signature in dict.fromkeys(signatures) if signature not in _stubs]
        if not missing:
            return
        image = link([compile_ir(stubs_ir(missing))], resolve)
        trampolines = {signature: image.symbols[trampoline_symbol(signature)][0] for signature in missing}
        code = CodeObject(image.code_memory, image.text_start, image.text_end, [], trampolines, image.line_sources)
        register_code(code)
        _code.append(code)
        for signature, address in trampolines.items():
            _stubs[signature] = Stubs(address, image.symbols[host_stub_symbol(signature)][0])
