"""The page itself: one file that needs nothing else.

Its data is compressed (raw deflate, in base64) and cut into chunks of whole functions; the page's script expands those
that it shows or searches. An index has what is known of all functions: it is what the page reads first. Nothing that
comes out of a module gets into the page in any other way, so it cannot be taken for markup.
"""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from wasmark.core.types import FuncType
from wasmark.debug.explorer.listing import Lister
from wasmark.debug.symbols import can_read_debug_info, has_debug_info
from wasmark.errors import TrapCode

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from wasmark import Module

_CHUNK: Final = 256 << 10
"""Characters of JSON, from which on a chunk is full: much, for compression, and little, for a page that is quick."""

_SLOT: Final = re.compile(r"<!--(\w+)-->")


def page(
    modules: Sequence[Module], tiers: Sequence[str], title: str, folders: Sequence[str | os.PathLike[str]] = ()
) -> list[str]:
    """The pieces of the page.

    modules: the same module, wholly compiled in one way or in several; tiers: what each way is called; folders: where
    source files may be. Raises Error where capstone is not installed.
    """
    sources = None
    note = ""
    if has_debug_info(modules[0].model):
        if can_read_debug_info():
            from wasmark.debug.explorer.sources import Sources

            sources = Sources(modules[0].model, folders)
        else:
            note = "made without its source lines: they need pip install 'wasmark[debug]'"
    lister = Lister(modules, sources)
    chunks: list[str] = []
    index = _index(lister, tiers, title, note, chunks)
    folder = files(__package__ or "")
    slots = {
        "title": html.escape(title),
        "style": (folder / "explorer.css").read_text(encoding="utf-8"),
        "script": (folder / "explorer.js").read_text(encoding="utf-8"),
    }
    template = (folder / "explorer.html").read_text(encoding="utf-8")
    before, after = _SLOT.sub(lambda slot: slots.get(slot[1], slot[0]), template).split("<!--data-->")
    data = {"index": index, **{f"chunk-{number}": chunk for number, chunk in enumerate(chunks)}}
    return [before, *(_data_block(id_, text) for id_, text in data.items()), after]


def _data_block(id_: str, text: str) -> str:
    compressor = zlib.compressobj(9, wbits=-15)
    data = compressor.compress(text.encode()) + compressor.flush()
    return f'<script type="text/plain" id="{id_}">{base64.b64encode(data).decode()}</script>\n'


def _index(lister: Lister, tiers: Sequence[str], title: str, note: str, chunks: list[str]) -> str:
    """What there is, as JSON; `chunks` gets the functions."""
    model = lister.model
    functions: list[dict[str, Any]] = []
    waiting: list[str] = []
    size = 0
    for number, listing in enumerate(lister.functions()):
        index = model.imported["func"] + number
        type_ = model.func_type(index)
        assert isinstance(type_, FuncType)
        functions.append(
            {
                "i": index,
                "n": lister.names.get(index),
                "t": str(type_),
                "w": model.functions[number].end - model.functions[number].entry,
                "m": [sum(tier["z"]) for tier in listing["t"]],
                "x": [len(tier["x"]) // 2 for tier in listing["t"]],
                "c": len(chunks),
                "p": len(waiting),
            }
        )
        waiting.append(json.dumps(listing, separators=(",", ":")))
        size += len(waiting[-1])
        if size >= _CHUNK:
            chunks.append(f"[{','.join(waiting)}]")
            waiting.clear()
            size = 0
    if waiting:
        chunks.append(f"[{','.join(waiting)}]")
    return json.dumps(
        {
            "title": title,
            "note": note,
            "size": len(model.data),
            "tiers": list(tiers),
            "source": lister.sources is not None,
            "traps": {code.value: code.message for code in TrapCode},
            "functions": functions,
        },
        separators=(",", ":"),
    )
