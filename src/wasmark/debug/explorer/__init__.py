"""The explorer: a page that shows a module's functions, wasm text and machine code side by side.

`write_page` compiles a module and writes the page. What belongs together lights up, instructions that may trap are
marked, functions and lines can be searched. See `page.py` for how it is made, `explorer.js` for what it does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from wasmark.config import Config
from wasmark.debug.explorer.page import page
from wasmark.engine import Engine
from wasmark.module import Module, read_module

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

TIERS: Final[dict[str, str]] = {"optimised": "eager", "first": "baseline"}
"""What the compilers are called here, and the strategy that has each compile a whole module."""


def write_page(
    source: bytes | str,
    path: str | os.PathLike[str],
    *,
    tiers: Sequence[str] = ("optimised",),
    title: str | None = None,
    source_folders: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Write the page of a module to a file.

    source: the binary, or WAT text. tiers: whose code is shown, of TIERS. title: what the page is called; the module's
    name if not given. source_folders: where the files may be that DWARF in the module names; what it says of lines is
    shown without them, too (where the `debug` extra is installed). Raises MalformedError, InvalidError or
    UnsupportedError as `Module` does, Error where capstone is not installed, KeyError for a tier that is none.
    """
    binary = read_module(source).data
    modules = {tier: Module(binary, engine_of(tier)) for tier in tiers}
    write_page_of(modules, path, title or modules[tiers[0]].name or "WebAssembly module", source_folders)


def engine_of(tier: str) -> Engine:
    """An engine whose modules are compiled by one of TIERS, all of their functions. KeyError for any other name."""
    return Engine(Config(strategy=TIERS[tier]))


def write_page_of(
    modules: Mapping[str, Module],
    path: str | os.PathLike[str],
    title: str,
    source_folders: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """The same for one module, compiled already; `modules` are by tier."""
    pieces = page(list(modules.values()), list(modules), title, source_folders)
    with Path(path).open("w", encoding="utf-8") as file:
        file.writelines(pieces)
