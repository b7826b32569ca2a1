"""Text translated by the peer gives the same modules as ours: same indices, same instructions, same bytes of data."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from tests.spec.official import SCRIPTS, TESTSUITE, needs_testsuite
from tests.text.translate import body, const
from wasmark.binary import decode_module
from wasmark.errors import Error
from wasmark.text.script import AssertModule, Command, DefineModule, ModuleSource, parse_script

# The peer takes members of explicit groups and open types for type uses without an index, which the standard does not
# (core §6.6.4), and it refuses names with direction marks, which a reader might take for something else.
_DIFFERENT = {"type-rec.wast", "type-subtyping.wast", "names.wast"}
_LARGE = 300_000

# And it does not know the text of exceptions as they were before the standard.
NAMES = [
    name
    for name in SCRIPTS
    if name not in _DIFFERENT and not name.startswith("legacy/") and (TESTSUITE / name).stat().st_size < _LARGE
]


def source_text(source: ModuleSource, text: str) -> str:
    """A module's text, as it stands in the script."""
    if source.kind == "quote":
        return source.data.decode()
    tokens = source.tokens
    depth, end = 1, source.pos
    while depth:
        depth += {"(": 1, ")": -1}.get(tokens.list[end], 0)
        end += 1
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    first, last = (starts[line - 1] + column - 1 for line, column in map(tokens.position, (source.pos, end - 1)))
    return "(module " + "\n".join(lines)[first : last + 1]


def modules(commands: list[Command]) -> list[ModuleSource]:
    sources = [
        command.source if isinstance(command, DefineModule) else command.module
        for command in commands
        if isinstance(command, DefineModule) or (isinstance(command, AssertModule) and command.kind != "malformed")
    ]
    return [source for source in sources if isinstance(source, ModuleSource) and source.kind != "binary"]


def contents(binary: bytes) -> dict[str, Any]:
    """Everything about a module that its text decides."""
    module = decode_module(binary)
    return {
        "types": [(module.types[first : first + count]) for first, count in module.rec_groups if count],
        "imports": [(import_.module, import_.name, import_.kind, import_.desc) for import_ in module.imports],
        "functions": [(f.type_index, f.locals, body(module, index)) for index, f in enumerate(module.functions)],
        "tables": [(table.type, const(module, table.init)) for table in module.tables],
        "memories": module.memories,
        "globals": [(global_.type, const(module, global_.init)) for global_ in module.globals],
        "tags": module.tags,
        "exports": [(export.name, export.kind, export.index) for export in module.exports],
        "start": module.start,
        "elements": [
            (
                segment.mode,
                segment.table,
                const(module, segment.offset_expr),
                [[("ref.func", item)] if isinstance(item, int) else const(module, item) for item in segment.items],
            )
            for segment in module.elements
        ],
        "data": [
            (bytes(module.data[segment.start : segment.end]), segment.memory, const(module, segment.offset_expr))
            for segment in module.data_segments
        ],
        "locals": module.names.locals,
    }


@needs_testsuite
@pytest.mark.parametrize("name", NAMES)
def test_translations_are_the_same(name: str) -> None:
    text = (TESTSUITE / name).read_bytes().decode()
    for source in modules(parse_script(text)):
        try:
            ours = contents(source.binary())
        except Error:  # parts that are not here yet, and blocks whose type is no function's
            continue
        written = source_text(source, text)
        assert ours == contents(bytes(wasmtime.wat2wasm(written))), written
