"""The runtime image of the process, and the stubs between Python and wasm by signature (see `compile.stubs`).

Each is loaded once a process: from what comes with the package (`shipped`) or an artefact brought along (`offer`), else
from the cache, else compiled.
"""

from __future__ import annotations

import functools

from wasmark.compile.abi import HOST_STUB_PREFIX, call_stub_symbol, host_stub_symbol, is_plain, trampoline_symbol
from wasmark.core.record import Record
from wasmark.jit.artefact import Artefact
from wasmark.jit.identity import make_key
from wasmark.jit.shipped import shipped
from wasmark.registry.code_object import CodeObject
from wasmark.registry.process_table import register_code
from wasmark.runtime.apart import run_apart, unbroken
from wasmark.runtime.forks import RenewedLock
from wasmark.runtime.image import Image, load
from wasmark.runtime.late_import import late_import
from wasmark.runtime.layout import BUILTIN_SIGNATURES
from wasmark.runtime.native import Runtime, image_symbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from wasmark.jit.cache import CodeCache
    from wasmark.runtime.image import LoadedImage

BASIC_SIGNATURES: Final = tuple(dict.fromkeys([*BUILTIN_SIGNATURES.values(), ":"]))
"""What every store needs, and a start function."""

RUNTIME: Final = "runtime"
STUBS: Final = "stubs"


class Stubs(Record):
    """Addresses of the stubs of a signature (see `compile.stubs`)."""

    __slots__ = ("call", "host", "trampoline")

    def __init__(self, trampoline: int, host: int, call: int) -> None:
        self.trampoline = trampoline
        self.host = host
        self.call = call


_lock = RenewedLock()
_runtime: Runtime | None = None
_stubs: dict[str, Stubs] = {}
_code: list[CodeObject] = []
_symbols: dict[int, dict[str, tuple[int, int]]] = {}  # of the images of stubs, by the id of their code objects
_offered_runtime: list[Image] = []
_offered_stubs: dict[str, Image] = {}


def runtime(cache: CodeCache | None) -> Runtime:
    """The installed runtime image."""
    if _runtime is not None:
        return _runtime
    return run_apart(lambda: _installed(cache))  # in one go: there are never two, nor half of one


def _installed(cache: CodeCache | None) -> Runtime:
    global _runtime
    with _lock.held:
        if _runtime is None:
            ready_made = shipped()
            if ready_made is not None:
                loaded = ready_made.load(RUNTIME, image_symbol)
            else:
                if not _offered_runtime:
                    offer(basic_images(cache))
                loaded = load(_offered_runtime.pop(), image_symbol)
            _runtime = Runtime(loaded)
        return _runtime


def stubs(signature: str, cache: CodeCache | None) -> Stubs:
    """The stubs of a signature."""
    found = _stubs.get(signature)
    if found is None:
        prepare_stubs([signature], cache)
        found = _stubs[signature]
    return found


def prepare_stubs(signatures: Iterable[str], cache: CodeCache | None) -> None:
    """Load the stubs of all these signatures that are not there yet; compile in one go what nobody has."""
    missing = [signature for signature in dict.fromkeys(signatures) if signature not in _stubs]
    if not missing:
        return
    runtime(cache)
    unbroken(lambda: _load_stubs(missing, cache))


def runtime_symbols() -> dict[str, tuple[int, int]]:
    """(address, size) of each function of the runtime image; empty where it is not installed yet."""
    return _runtime.symbols if _runtime is not None else {}


def stub_symbols(code_id: int) -> dict[str, tuple[int, int]]:
    """(address, size) of each function of the code object of stubs with this id; empty for other code."""
    return _symbols.get(code_id, {})


def _load_stubs(missing: Sequence[str], cache: CodeCache | None) -> None:
    with _lock.held:
        ready_made = shipped()
        if ready_made is not None and any(signature in ready_made_signatures() for signature in missing):
            _adopt(ready_made.load(STUBS, _resolve))
        for signature in missing:
            if signature not in _stubs and signature in _offered_stubs:
                _adopt(load(_offered_stubs[signature], _resolve))
        unknown = [signature for signature in missing if signature not in _stubs]
        if unknown:
            _adopt(load(stubs_images(unknown, cache)[STUBS], _resolve))


@functools.cache
def ready_made_signatures() -> frozenset[str]:
    """The signatures whose stubs come with the package."""
    found = shipped()
    return frozenset(_signatures(found.artefact.images[STUBS].symbols)) if found is not None else frozenset()


def _resolve(name: str) -> int | None:
    assert _runtime is not None
    return _runtime.symbol(name)


def _adopt(loaded: LoadedImage) -> None:
    signatures = _signatures(loaded.symbols)
    addresses = {name: address for name, (address, _) in loaded.symbols.items()}
    trampolines = {signature: addresses[trampoline_symbol(signature)] for signature in signatures}
    code = CodeObject(loaded.code_memory, loaded.text_start, loaded.text_end, [], trampolines, loaded.line_sources)
    _symbols[code.id] = loaded.symbols
    register_code(code)
    _code.append(code)
    slow = _resolve("wasmark_call_slow")
    assert slow is not None
    for signature in signatures:
        _offered_stubs.pop(signature, None)
        call = addresses[call_stub_symbol(signature)] if is_plain(signature) else slow
        _stubs.setdefault(signature, Stubs(trampolines[signature], addresses[host_stub_symbol(signature)], call))


def _signatures(symbols: Iterable[str]) -> list[str]:
    return [name.removeprefix(HOST_STUB_PREFIX) for name in symbols if name.startswith(HOST_STUB_PREFIX)]


def offer(images: dict[str, Image]) -> None:
    """Let an artefact's images of the runtime and of stubs be used where they are needed; they are copied."""
    unbroken(lambda: _offer(images))


def _offer(images: dict[str, Image]) -> None:
    with _lock.held:
        if RUNTIME in images and _runtime is None and not _offered_runtime:
            _offered_runtime.append(_copy(images[RUNTIME]))
        for name, image in images.items():
            if name.startswith(STUBS):
                new = [s for s in _signatures(image.symbols) if s not in _stubs and s not in _offered_stubs]
                if new:
                    _offered_stubs.update(dict.fromkeys(new, _copy(image)))


def _copy(image: Image) -> Image:
    """The same without the file behind it: it may be used much later."""
    return Image(bytes(image.content), image.text_size, image.rodata_size, image.fixups, image.symbols)


def basic_images(cache: CodeCache | None) -> dict[str, Image]:
    """The runtime, and the stubs of the basic signatures."""
    return _cached(make_key("runtime", ()), (), cache)


def stubs_images(signatures: Sequence[str], cache: CodeCache | None) -> dict[str, Image]:
    """The stubs of the given signatures."""
    return _cached(make_key("stubs", signatures), signatures, cache)


def _cached(key: bytes, signatures: Sequence[str], cache: CodeCache | None) -> dict[str, Image]:
    """Images of stubs, or where no signatures are given the basic ones."""
    if cache is not None:
        stored = cache.get(key)
        if stored is not None:
            stored.close()
            return {name: _copy(image) for name, image in stored.artefact.images.items()}
    makers = late_import("wasmark.compile.images")
    images = {STUBS: makers.stubs_image(signatures or BASIC_SIGNATURES)}
    if not signatures:
        images[RUNTIME] = makers.runtime_image()
    if cache is not None:
        cache.put(Artefact(key, {"kind": "stubs" if signatures else "runtime"}, images, {}))
    return images
