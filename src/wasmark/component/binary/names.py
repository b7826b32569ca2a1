"""The custom section with the names of a component's things (Binary.md, "Name Section"), both ways.

As in modules, what is broken in it is no error of the component: reading stops there and keeps what came before.
"""

from __future__ import annotations

from wasmark.binary.leb import read_count, read_u32, write_u
from wasmark.binary.names import read_name, write_name
from wasmark.binary.typecodes import read_byte
from wasmark.component.binary.typecodes import read_sort, write_sort
from wasmark.component.model import INDEX_SPACES, ComponentNames
from wasmark.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NAME_SECTION: Final = "component-name"


def read_names(contents: bytes) -> ComponentNames:
    """The names in the contents of a name section."""
    names = ComponentNames()
    pos = 0
    try:
        while pos < len(contents):
            kind, pos = read_byte(contents, pos)
            size, pos = read_count(contents, pos)
            _read_part(names, kind, contents[pos : pos + size])
            pos += size
    except Error:
        return names
    return names


def _read_part(names: ComponentNames, kind: int, contents: bytes) -> None:
    if kind == 0:
        names.component, _ = read_name(contents, 0)
    elif kind == 1:
        sort, pos = read_sort(contents, 0, "the sort of names")
        count, pos = read_count(contents, pos)
        space = names.spaces.setdefault(sort, {})
        for _ in range(count):
            index, pos = read_u32(contents, pos)
            space[index], pos = read_name(contents, pos)


def write_names(names: ComponentNames) -> bytes:
    """Inverse of `read_names`; empty where there is nothing to say."""
    out = b""
    if names.component is not None:
        out = _part(0, write_name(names.component))
    for sort in INDEX_SPACES:
        space = names.spaces.get(sort)
        if space:
            pairs = b"".join(write_u(index) + write_name(name) for index, name in sorted(space.items()))
            out += _part(1, write_sort(sort) + write_u(len(space)) + pairs)
    return out


def _part(kind: int, contents: bytes) -> bytes:
    return bytes([kind]) + write_u(len(contents)) + contents
