"""How things are shown to people at a prompt and in a notebook: short, whatever the module is, and harmless, whatever
its names are. Nothing here runs wasm, waits for a store, or takes longer for a larger module."""

from __future__ import annotations

import html
from itertools import islice

from wasmark.registry.names import printable
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Final

    from wasmark.component.types import ExternType
    from wasmark.errors import FramedError
    from wasmark.memory import Memory
    from wasmark.module import Module

_MOST_NAMES: Final = 8
_MOST_ROWS: Final = 50
_HEXDUMP: Final = 256
_DUMP_ROW: Final = 16


def shown_name(name: str | None) -> str:
    """A name out of a module, or a word for what has none."""
    return "(unnamed)" if name is None else printable(name)


def counted(count: int, what: str) -> str:
    """`counted(1, "page")` is "1 page"; of any other number there are pages."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listed(names: Collection[str], most: int = _MOST_NAMES) -> str:
    """The first names, and how many there are besides."""
    text = ", ".join(map(printable, islice(names, most)))
    return f"{text}, ... {len(names) - most:,} more" if len(names) > most else text


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], left_out: int = 0) -> str:
    """A table of texts; `left_out` is how many rows it does not have."""

    def row(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    more = f'<tr><td colspan="{len(head)}">... and {left_out:,} more</td></tr>' if left_out > 0 else ""
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{row(head, 'th')}</thead>"
        f"<tbody>{body}{more}</tbody></table>"
    )


def module_html(module: Module) -> str:
    """What a module imports and exports."""
    model = module.model

    def rows() -> Iterator[tuple[str, str, str, object]]:
        for import_ in model.imports:
            yield "import", f"{import_.module}.{import_.name}", import_.kind, model.import_type(import_)
        for export in model.exports:
            yield "export", export.name, export.kind, model.export_type(export)

    shown = ((direction, printable(name), kind, type_) for direction, name, kind, type_ in islice(rows(), _MOST_ROWS))
    left_out = len(model.imports) + len(model.exports) - _MOST_ROWS
    return html_table(repr(module), ("", "name", "kind", "type"), shown, left_out)


def externs_html(caption: str, sides: Mapping[str, Mapping[str, ExternType]]) -> str:
    """What a component, or an interface of it, imports and exports, the functions of interfaces one by one."""
    late_import("wasmark.component.wit")
    from wasmark.component.types import InstanceType
    from wasmark.component.wit import sort_of, written_extern

    def walk(side: str, externs: Mapping[str, ExternType], before: str) -> Iterator[tuple[str, str, ExternType]]:
        for name, extern in externs.items():
            yield side, f"{before}{name}", extern
            if isinstance(extern, InstanceType):
                yield from walk(side, extern.exports, f"{before}{name}#")

    every = [found for side, externs in sides.items() for found in walk(side, externs, "")]
    rows = ((side, name, sort_of(extern), written_extern(extern)) for side, name, extern in every[:_MOST_ROWS])
    return html_table(caption, ("", "name", "kind", "type"), rows, len(every) - _MOST_ROWS)


def frames_html(error: FramedError) -> str:
    """What happened, and where."""
    rows = [
        (
            number if number * 2 < len(error.frames) or not error.omitted else number + error.omitted,
            shown_name(frame.module_name),
            f"func[{frame.func_index}]" if frame.func_name is None else printable(frame.func_name),
            f"+{frame.func_offset:#x}",
            f"{frame.module_offset:#x}",
        )
        for number, frame in enumerate(error.frames)
    ]
    head = ("", "module", "function", "in it", "in the module")
    return html_table(str(error).split("\n", 1)[0], head, rows, error.omitted)


def memory_html(memory: Memory) -> str:
    """How large a memory is, and its first bytes."""
    dump = "\n".join(hexdump(memory[:_HEXDUMP]))
    return f"<p>{html.escape(repr(memory))}</p><pre>{html.escape(dump)}</pre>"


def hexdump(data: bytes) -> Iterator[str]:
    """Lines with the offset of 16 bytes, these, and what they are as characters."""
    for at in range(0, len(data), _DUMP_ROW):
        row = data[at : at + _DUMP_ROW]
        characters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{at:08x}  {row.hex(' '):<{3 * _DUMP_ROW}} {characters}"
