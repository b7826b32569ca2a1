"""Code metadata: custom sections `metadata.code.*` that say something about single instructions (core, appendix "Custom
Sections", and the tool conventions), the hints for branches among them.

Such a section is a vector of functions, each with a vector of (offset from the first byte of the function's code entry,
size, that many bytes). Broken ones are no error of the module: they say nothing.
"""

from __future__ import annotations

from wasmark.binary.leb import read_count, read_u32, unexpected_end, write_u
from wasmark.errors import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from wasmark.core.model import ModuleModel

CODE_METADATA: Final = "metadata.code."
BRANCH_HINT: Final = "metadata.code.branch_hint"

CodeMetadata = dict[int, dict[int, bytes]]
"""Function index -> offset in its code entry -> what is said."""

UNLIKELY: Final = b"\x00"
LIKELY: Final = b"\x01"
"""What a branch hint may say (branch-hinting proposal)."""


def read_code_metadata(contents: bytes) -> CodeMetadata:
    """Raises MalformedError, its offset being one in the contents."""
    found: CodeMetadata = {}
    count, pos = read_count(contents, 0)
    for _ in range(count):
        function, pos = read_u32(contents, pos)
        entries, pos = read_count(contents, pos)
        said = found.setdefault(function, {})
        for _ in range(entries):
            offset, pos = read_u32(contents, pos)
            size, start = read_count(contents, pos)
            pos = start + size
            if pos > len(contents):
                unexpected_end(contents)
            said[offset] = contents[start:pos]
    return found


def write_code_metadata(metadata: Mapping[int, Mapping[int, bytes]]) -> bytes:
    """Inverse of `read_code_metadata`; functions and offsets in their order."""
    out = write_u(len(metadata))
    for function in sorted(metadata):
        said = metadata[function]
        out += write_u(function) + write_u(len(said))
        for offset in sorted(said):
            out += write_u(offset) + write_u(len(said[offset])) + said[offset]
    return out


def branch_hints(model: ModuleModel) -> CodeMetadata:
    """The hints for branches of a module; none where their section is missing or broken."""
    for custom in model.customs:
        if custom.name == BRANCH_HINT:
            try:
                return read_code_metadata(model.data[custom.start : custom.end])
            except MalformedError:
                return {}
    return {}
