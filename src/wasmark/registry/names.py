"""What a function is called: its name in the module, and what a C++ or Rust compiler made that of."""

from __future__ import annotations

import functools

from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel

_MANGLED: Final = ("_Z", "_R", "__Z")
_LONGEST: Final = 200


def function_name(model: ModuleModel, index: int) -> str | None:
    """The name of a function: that of the name section, else one under which it is exported, else the one it is
    imported by. None where it has none."""
    name = model.names.functions.get(index)
    if name is not None:
        return name
    for export in model.exports:
        if export.kind == "func" and export.index == index:
            return export.name
    if index < model.imported["func"]:
        functions = [import_.name for import_ in model.imports if import_.kind == "func"]
        return functions[index]
    return None


@functools.lru_cache(4096)
def demangled(name: str) -> str:
    """The name as its source has it, where it is one that a C++ or Rust compiler mangled and `pydemumble` is installed
    (`wasmark[debug]`); otherwise the name itself."""
    if not name.startswith(_MANGLED) or "\0" in name:
        return name
    try:
        demumble = late_import("pydemumble")
    except ImportError:
        return name
    plain = demumble.demangle(name) or name
    # Rust's own hash, which comes last, says nothing to people; versions of pydemumble differ about it.
    path, _, digest = plain.rpartition("::h")
    return path if path and f"17h{digest}E" in name else plain


def printable(name: str) -> str:
    """A name out of a module, fit for a terminal: it may be anything that is UTF-8, control characters included."""
    if len(name) > _LONGEST:
        name = name[: _LONGEST - 1] + "…"
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
