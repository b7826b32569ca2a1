"""The name section (core, appendix "Custom Sections"): reading and writing it.

What is broken in it is no error of the module: reading stops there and keeps what came before.
"""

from __future__ import annotations

from wasmark.binary.leb import read_count, read_u32, unexpected_end, write_u
from wasmark.core.model import Names
from wasmark.errors import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel

NAME_SECTION: Final = "name"

_MODULE: Final = 0

NAME_MAPS: Final = {
    1: "functions",
    4: "types",
    5: "tables",
    6: "memories",
    7: "globals",
    8: "elements",
    9: "data",
    11: "tags",
}
"""Subsections that give names to indices: their ids, and what `Names` calls them."""

INDIRECT_NAME_MAPS: Final = {2: "locals", 3: "labels", 10: "fields"}
"""Subsections that give names to indices of a function or type."""


def read_name(data: bytes, pos: int) -> tuple[str, int]:
    """A name (core §5.2.4)."""
    size, start = read_count(data, pos)
    if start + size > len(data):
        unexpected_end(data)
    try:
        return data[start : start + size].decode(), start + size
    except UnicodeDecodeError as error:
        wrong = data[start + error.start : start + error.end].hex(" ")
        message = f"malformed UTF-8 encoding of a name: {wrong}, {error.start} bytes from its start"
        raise MalformedError(message, offset=pos) from None


def write_name(name: str) -> bytes:
    """Inverse of `read_name`."""
    encoded = name.encode()
    return write_u(len(encoded)) + encoded


def read_names(contents: bytes) -> Names:
    """The names in the contents of a name section."""
    names = Names()
    pos = 0
    try:
        while pos < len(contents):
            kind = contents[pos]
            size, start = read_count(contents, pos + 1)
            pos = start + size
            _read_subsection(names, kind, contents[start:pos])
    except MalformedError:
        return names
    return names


def module_name(model: ModuleModel) -> str | None:
    """The name of the module itself, without reading all the others."""
    contents = next((custom.start for custom in model.customs if custom.name == NAME_SECTION), None)
    if contents is None or model.data[contents : contents + 1] != bytes([_MODULE]):
        return None
    try:
        return read_name(model.data, read_count(model.data, contents + 1)[1])[0]
    except MalformedError:
        return None


def _read_subsection(names: Names, kind: int, contents: bytes) -> None:
    if kind == _MODULE:
        names.module = read_name(contents, 0)[0]
    elif kind in NAME_MAPS:
        setattr(names, NAME_MAPS[kind], _read_name_map(contents, 0)[0])
    elif kind in INDIRECT_NAME_MAPS:
        count, pos = read_count(contents, 0)
        maps = {}
        for _ in range(count):
            owner, pos = read_u32(contents, pos)
            maps[owner], pos = _read_name_map(contents, pos)
        setattr(names, INDIRECT_NAME_MAPS[kind], maps)


def _read_name_map(contents: bytes, pos: int) -> tuple[dict[int, str], int]:
    count, pos = read_count(contents, pos)
    found = {}
    for _ in range(count):
        index, pos = read_u32(contents, pos)
        found[index], pos = read_name(contents, pos)
    return found, pos


def write_names(names: Names) -> bytes:
    """The contents of a name section, empty where there is nothing to name."""
    out = b""
    if names.module is not None:
        out += _subsection(_MODULE, write_name(names.module))
    for kind in range(1, 1 + max(*NAME_MAPS, *INDIRECT_NAME_MAPS)):
        if kind in NAME_MAPS:
            named = getattr(names, NAME_MAPS[kind])
            contents = _write_name_map(named)
        else:
            named = getattr(names, INDIRECT_NAME_MAPS[kind])
            contents = write_u(len(named)) + b"".join(
                write_u(owner) + _write_name_map(named[owner]) for owner in sorted(named)
            )
        if named:
            out += _subsection(kind, contents)
    return out


def _subsection(kind: int, contents: bytes) -> bytes:
    return bytes([kind]) + write_u(len(contents)) + contents


def _write_name_map(names: dict[int, str]) -> bytes:
    return write_u(len(names)) + b"".join(write_u(index) + write_name(names[index]) for index in sorted(names))
