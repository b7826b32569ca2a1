"""From decoded modules to loaded code: out of the cache or an artefact, or compiled and put there.

An artefact of kind "module" holds one or several modules that share their code (the case of a component):

    image "code"            the functions of all of them, and trampolines; not there where they have none
    image "stubs"           the stubs for what they import and export
    blob "functions <n>"    first places, then ends, of the defined functions of module n, 32 bits each
    blob "escaping <n>"     the functions of module n that can become references, 32 bits each
    blobs "starts", "lines", "marks"   of the first tier: the rows of its `StencilLines`

What was stored has been validated, under the same features: they are part of the key.
"""

from __future__ import annotations

import functools
from array import array

from wasmark.compile.abi import TRAMPOLINE_PREFIX
from wasmark.core.record import Record
from wasmark.errors import Error
from wasmark.jit.artefact import Artefact, decode, encode
from wasmark.jit.artefact import numbers as read_numbers
from wasmark.jit.digest import blake2b
from wasmark.jit.identity import environment, make_key
from wasmark.jit.stubs import RUNTIME, basic_images, offer
from wasmark.registry.code_object import FIRST_TIER, OPTIMISED, CodeModule, CodeObject
from wasmark.registry.stencil_lines import StencilLines
from wasmark.runtime.image import LoadedImage, load
from wasmark.runtime.late_import import late_import
from wasmark.runtime.layout import VMLayout
from wasmark.runtime.symbols import process_symbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from wasmark.config import Config
    from wasmark.core.model import ModuleModel
    from wasmark.jit.cache import CodeCache
    from wasmark.jit.lazy import LazyCode
    from wasmark.runtime.image import Buffer
    from wasmark.validate.module import ModuleValidator

    Progress = Callable[[int, int], None]

CODE: Final = "code"
_WASM: Final = "wasm"
_WORTH_LOCKING: Final = 64 << 10
"""Bytes of wasm code from which on a second process rather waits than compiles the same at the same time."""


_VALIDATED_LATE: Final = 256 << 10
"""Bytes of wasm code from which on a lazy module's functions are validated when they are compiled."""


class Compiled(Record):
    """Loaded code, the functions that can become references of each module, and what it was loaded from. Of a lazy
    module, `code` is that of its thunks, and there is no artefact."""

    __slots__ = ("artefact", "code", "escaping", "lazy", "loaded")

    def __init__(
        self,
        code: CodeObject | None,
        escaping: list[list[int]],
        loaded: LoadedImage | None,
        artefact: Artefact,
        lazy: LazyCode | None = None,
    ) -> None:
        self.code = code
        self.escaping = escaping
        self.loaded = loaded
        self.artefact = artefact
        self.lazy = lazy


def module_key(models: Sequence[ModuleModel], config: Config) -> bytes:
    """Under which the code of modules is found."""
    contents = [blake2b(_significant(model), digest_size=32).digest() for model in models]
    return make_key("module", [*_options(config), *contents])


def _significant(model: ModuleModel) -> memoryview:
    """The binary without the custom sections at its end: code depends on none, and debug information, which is there,
    may be half of a file."""
    return memoryview(model.data)[: max((end for id_, _, end in model.sections if id_), default=0)]


def _options(config: Config) -> list[str]:
    """What an engine is told that changes code, or what is valid."""
    counted = "" if config.strategy != "lazy" or config.tier_up is None else " counted"
    return [config.strategy + counted, *_features(config)]


def _features(config: Config) -> list[str]:
    """With what decides about relaxed instructions, and whether code pays for what it does."""
    features = [*sorted(feature.value for feature in config.features), f"{config.relaxed_simd} relaxed SIMD"]
    return [*features, "fuel"] if config.fuel else features


def obtain(
    models: Sequence[ModuleModel], config: Config, cache: CodeCache | None, progress: Progress | None = None
) -> Compiled:
    """The code of decoded modules.

    Raises InvalidError or UnsupportedError where they cannot be compiled, OutOfCodeMemoryError.
    """
    if config.strategy == "lazy" and len(models) == 1 and models[0].functions:
        return _lazily(models[0], config, cache)
    key = module_key(models, config)
    if cache is None:
        return _load(_compile(key, models, config, cache, progress))
    found = _from_cache(key, cache)
    if found is None and sum(f.end - f.entry for model in models for f in model.functions) >= _WORTH_LOCKING:
        with cache.lock(key):
            found = _from_cache(key, cache)
            if found is None:
                artefact = _compile(key, models, config, cache, progress)
                cache.put(artefact)
                found = _load(artefact)
    if found is None:
        artefact = _compile(key, models, config, cache, progress)
        cache.put(artefact)
        found = _load(artefact)
    return found


def _compile(
    key: bytes, models: Sequence[ModuleModel], config: Config, cache: CodeCache | None, progress: Progress | None
) -> Artefact:
    late_import("wasmark.compile.check")
    from wasmark.compile.check import validated_layout

    layouts = [validated_layout(model, config.features) for model in models]
    if config.strategy == "baseline":
        late_import("wasmark.baseline.module")
        from wasmark.baseline.module import translate_modules

        artefact = translate_modules(key, models, layouts, cache, progress, config.flavour)
    else:
        late_import("wasmark.compile.module")
        from wasmark.compile.module import compile_modules  # not before: it loads LLVM

        artefact = compile_modules(key, models, layouts, config.compile_processes, progress, config.flavour)
    artefact.info["features"] = _features(config)
    return artefact


def _lazily(model: ModuleModel, config: Config, cache: CodeCache | None) -> Compiled:
    late_import("wasmark.jit.lazy")
    from wasmark.jit.lazy import LazyCode
    from wasmark.jit.ledger import stored_about

    key = module_key([model], config) if cache is not None else b""
    stored = cache.get(key) if cache is not None else None
    # An implementation may put off the validation of bodies to their first call (core, appendix A.1.3); where it takes
    # no time worth mentioning, it does not, so that who makes a module hears of an error.
    late = sum(f.end - f.entry for f in model.functions) > _VALIDATED_LATE
    validator: Callable[[], ModuleValidator] | None
    try:
        about = stored_about(stored) if stored is not None else None
        if about is not None and (about.validated or late):
            # Who put it there had validated it, but for the bodies.
            layout = VMLayout(model, about.escaping)
            validator = None if about.validated else functools.cache(lambda: _checked(model, config)[0])
        else:
            about = None
            checked, layout = _checked(model, config, bodies=not late)
            validator = (lambda: checked) if late else None
        lazy = LazyCode(model, layout, config, cache, key, validator, stored, about)
    finally:
        if stored is not None:
            stored.close()
    return Compiled(lazy.thunks.code, [layout.escaping], None, Artefact(b"", {}, {}, {}), lazy)


def _checked(model: ModuleModel, config: Config, *, bodies: bool = False) -> tuple[ModuleValidator, VMLayout]:
    late_import("wasmark.compile.check")
    from wasmark.compile.check import layout_of, validate_bodies

    validator, layout = layout_of(model, config.features)
    if bodies:
        validate_bodies(model, validator)
    return validator, layout


def complete(models: Sequence[ModuleModel], layouts: Sequence[VMLayout], config: Config) -> Compiled:
    """All of the code of lazy modules at once, as it can be serialized.

    Raises InvalidError where validating a function had been put off.
    """
    late_import("wasmark.compile.check")
    from wasmark.compile.check import validated_layout

    late_import("wasmark.compile.module")
    from wasmark.compile.module import compile_modules

    for model in models:
        validated_layout(model, config.features)
    artefact = compile_modules(
        module_key(models, config), models, layouts, config.compile_processes, flavour=config.flavour
    )
    artefact.info["features"] = _features(config)
    return Compiled(None, [layout.escaping for layout in layouts], None, artefact)


def _from_cache(key: bytes, cache: CodeCache) -> Compiled | None:
    stored = cache.get(key)
    if stored is None:
        return None
    try:
        return _load(stored.artefact, stored.descriptor)
    finally:
        stored.close()


def _load(artefact: Artefact, descriptor: int | None = None) -> Compiled:
    images, blobs = artefact.images, artefact.blobs
    offer(images)
    count = artefact.info["modules"]
    escaping = [list(read_numbers(blobs[f"escaping {number}"])) for number in range(count)]
    image = images.get(CODE)
    if image is None:
        return Compiled(None, escaping, None, _without_contents(artefact))
    file = None if descriptor is None else (descriptor, artefact.offsets[CODE])
    loaded = load(image, process_symbol, file)
    tier = FIRST_TIER if "columns" in artefact.info else OPTIMISED
    code = CodeObject(
        loaded.code_memory,
        loaded.text_start,
        loaded.text_end,
        [
            CodeModule(functools.partial(_functions, blobs[f"functions {number}"], first, loaded.text_start), tier)
            for number, first in enumerate(artefact.info["first functions"])
        ],
        {
            name.removeprefix(TRAMPOLINE_PREFIX): address
            for name, (address, _) in loaded.symbols.items()
            if name.startswith(TRAMPOLINE_PREFIX)
        },
        loaded.line_sources,
        _stencil_lines(loaded.text_start, artefact),
    )
    return Compiled(code, escaping, loaded, _without_contents(artefact))


def _stencil_lines(base: int, artefact: Artefact) -> list[StencilLines]:
    columns = artefact.info.get("columns")
    if columns is None:
        return []
    blobs = artefact.blobs
    marks = array("H")
    marks.frombytes(blobs["marks"])
    return [StencilLines(base, read_numbers(blobs["starts"]), read_numbers(blobs["lines"]), marks, columns)]


def _functions(blob: Buffer, first: int, base: int) -> list[tuple[int, int, int]]:
    """(function index, start, end) of the functions from `first` on."""
    places = read_numbers(blob)
    count = len(places) // 2
    return [
        (index, base + start, base + end)
        for index, start, end in zip(range(first, first + count), places[:count], places[count:], strict=True)
    ]


def _without_contents(artefact: Artefact) -> Artefact:
    """All but the code itself, which is in code memory by now: enough to make the artefact again."""
    images = {name: image for name, image in artefact.images.items() if name != CODE}
    return Artefact(artefact.key, artefact.info, images, artefact.blobs)


def serialize(compiled: Compiled, wasm: bytes, name: str | None, cache: CodeCache | None) -> bytes:
    """A complete artefact of a module or component: with its binary `wasm`, the runtime, and all stubs."""
    artefact = compiled.artefact
    images = dict(artefact.images)
    if compiled.loaded is not None:
        images[CODE] = compiled.loaded.recover()
    for image_name, image in basic_images(cache).items():
        images[image_name if image_name == RUNTIME else f"{image_name} {RUNTIME}"] = image
    info = {**artefact.info, "given name": name, "environment": environment()}
    blobs = {**artefact.blobs, _WASM: wasm}
    return encode(Artefact(artefact.key, info, dict(sorted(images.items())), blobs))


def binary_in(data: Buffer) -> memoryview:
    """The binary of the module or component that an artefact was made of. Raises Error where it is no whole one."""
    return _binary(decode(memoryview(data), checked=False))


def _binary(artefact: Artefact) -> memoryview:
    if artefact.info.get("environment") is None or _WASM not in artefact.blobs:
        raise Error("this artefact is a part of the cache, and not a module")
    return memoryview(artefact.blobs[_WASM])


def deserialize(data: Buffer, config: Config) -> tuple[bytes, str | None, Compiled]:
    """(binary, the name it was given, code) of what `serialize` made.

    Raises Error where it is damaged, or is not for here and now.
    """
    artefact = decode(memoryview(bytes(data)))
    binary = bytes(_binary(artefact))
    there, here = artefact.info["environment"], environment()
    different = [what for what in here if here[what] != there.get(what) and what != "the version of LLVM"]
    if different:
        raise Error(f"the module was compiled for another environment: {' and '.join(different)} must be the same")
    if artefact.info["features"] != _features(config):
        raise Error("the module was compiled for an engine with other features")
    return binary, artefact.info["given name"], _load(artefact)
