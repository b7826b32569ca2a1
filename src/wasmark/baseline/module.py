"""Decoded modules -> one artefact, in the first tier: all of their functions at once."""

from __future__ import annotations

from array import array

from wasmark.baseline.assembler import Context
from wasmark.baseline.image import FragmentImage
from wasmark.baseline.library import keep_library, shared_library
from wasmark.baseline.translator import Translator
from wasmark.binary import decode_body
from wasmark.compile.check import border_signatures, escaping_signatures, signatures_of
from wasmark.core.flavour import STANDARD, Flavour
from wasmark.jit.artefact import Artefact
from wasmark.jit.stubs import STUBS, ready_made_signatures, stubs_images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark.baseline.assembler import Fragment
    from wasmark.core.model import ModuleModel
    from wasmark.jit.cache import CodeCache
    from wasmark.runtime.image import Buffer, Image
    from wasmark.runtime.layout import VMLayout

    Progress = Callable[[int, int], None]

_REPORT_EVERY: Final = 48 << 10
"""Bytes of wasm between two calls of `progress`."""


def translate_modules(
    key: bytes,
    models: Sequence[ModuleModel],
    layouts: Sequence[VMLayout],
    cache: CodeCache | None,
    progress: Progress | None = None,
    flavour: Flavour = STANDARD,
) -> Artefact:
    """Translate validated modules into one artefact, as `jit.modules` describes it.

    Its trampolines cover the functions that can become references. `progress` is called with (bytes of wasm done,
    bytes in all).
    """
    info: dict[str, Any] = {
        "kind": "module",
        "name": models[0].names.module,
        "modules": len(models),
        "first functions": [model.imported["func"] for model in models],
    }
    images: dict[str, Image] = {}
    blobs: dict[str, Buffer] = {
        f"escaping {number}": array("I", layout.escaping).tobytes() for number, layout in enumerate(layouts)
    }
    border = list(dict.fromkeys(s for model in models for s in border_signatures(model)))
    border = [signature for signature in border if signature not in ready_made_signatures()]
    if border and cache is not None:  # otherwise they are made when they are needed, once for all modules
        images[STUBS] = stubs_images(border, cache)[STUBS]
    functions: list[list[tuple[int, int, int]]] = [[] for _ in models]
    if any(model.functions for model in models):
        library = shared_library(cache)
        library.require(set().union(*map(signatures_of, models)))
        keep_library(library, cache)
        report = _Report(sum(f.end - f.entry for model in models for f in model.functions), progress)
        parts = [
            _translate(Context(model, layout, library, flavour), report)
            for model, layout in zip(models, layouts, strict=True)
        ]
        escaping = dict.fromkeys(
            s for model, layout in zip(models, layouts, strict=True) for s in escaping_signatures(model, layout)
        )
        made = FragmentImage(parts, library, escaping)
        images["code"] = made.image
        functions = made.functions
        blobs |= {"starts": made.starts.tobytes(), "lines": made.lines.tobytes(), "marks": made.marks.tobytes()}
        info["columns"] = list(library.marks)
    for number, placed in enumerate(functions):
        places = [start for _, start, _ in placed] + [end for _, _, end in placed]
        blobs[f"functions {number}"] = array("I", places).tobytes()
    return Artefact(key, info, images, blobs)


def _translate(context: Context, report: _Report) -> list[Fragment]:
    model = context.model
    fragments = []
    for index, function in enumerate(model.functions):
        fragments.append(Translator(context, index).translate(decode_body(model, function.start, function.end)))
        report.add(function.end - function.entry)
    return fragments


class _Report:
    """Calls `progress` from time to time, and at the end."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._done = self._reported = 0

    def add(self, size: int) -> None:
        self._done += size
        if self._progress is None:
            return
        if self._done - self._reported >= _REPORT_EVERY or self._done == self._total:
            self._progress(self._done, self._total)
            self._reported = self._done
