"""One row a canonical definition (Binary.md, "Canonical Definitions"): its code, its name, what follows it.

The decoder, the encoder, the text parser, the printer and the validator read these rows; nobody keeps a second list.
"""

from __future__ import annotations

from wasmark.core.checked import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

OPTIONS: Final = (
    "string-encoding=utf8",
    "string-encoding=utf16",
    "string-encoding=latin1+utf16",
    "memory",
    "realloc",
    "post-return",
    "async",
    "callback",
)
"""The options of canonical definitions, by their codes."""

OPTION_SORTS: Final = {
    "memory": "core memory",
    "realloc": "core func",
    "post-return": "core func",
    "callback": "core func",
}
"""The index space that the index of an option is in; the other options have none."""


class CanonRow(NamedTuple):
    """`operands` are index spaces or "async", "cancellable", "shared" (words that may be there), "memory" (the index of
    one), "core valtype", "u32", "result" (a value type or nothing); they stand in this order in both formats."""

    code: bytes
    name: str
    operands: tuple[str, ...] = ()
    has_options: bool = False


LIFT: Final = CanonRow(b"\x00\x00", "lift", ("core func",), True)
"""Followed by the index of the function's type; it alone makes a function of the component."""

CANONS: Final = (
    LIFT,
    CanonRow(b"\x01\x00", "lower", ("func",), True),
    CanonRow(b"\x02", "resource.new", ("type",)),
    CanonRow(b"\x03", "resource.drop", ("type",)),
    CanonRow(b"\x04", "resource.rep", ("type",)),
    CanonRow(b"\x24", "backpressure.inc"),
    CanonRow(b"\x25", "backpressure.dec"),
    CanonRow(b"\x09", "task.return", ("result",), True),
    CanonRow(b"\x05", "task.cancel"),
    CanonRow(b"\x0a", "context.get", ("core valtype", "u32")),
    CanonRow(b"\x0b", "context.set", ("core valtype", "u32")),
    CanonRow(b"\x06", "subtask.cancel", ("async",)),
    CanonRow(b"\x0d", "subtask.drop"),
    CanonRow(b"\x0e", "stream.new", ("type",)),
    CanonRow(b"\x0f", "stream.read", ("type",), True),
    CanonRow(b"\x10", "stream.write", ("type",), True),
    CanonRow(b"\x11", "stream.cancel-read", ("type", "async")),
    CanonRow(b"\x12", "stream.cancel-write", ("type", "async")),
    CanonRow(b"\x13", "stream.drop-readable", ("type",)),
    CanonRow(b"\x14", "stream.drop-writable", ("type",)),
    CanonRow(b"\x15", "future.new", ("type",)),
    CanonRow(b"\x16", "future.read", ("type",), True),
    CanonRow(b"\x17", "future.write", ("type",), True),
    CanonRow(b"\x18", "future.cancel-read", ("type", "async")),
    CanonRow(b"\x19", "future.cancel-write", ("type", "async")),
    CanonRow(b"\x1a", "future.drop-readable", ("type",)),
    CanonRow(b"\x1b", "future.drop-writable", ("type",)),
    CanonRow(b"\x1c", "error-context.new", (), True),
    CanonRow(b"\x1d", "error-context.debug-message", (), True),
    CanonRow(b"\x1e", "error-context.drop"),
    CanonRow(b"\x1f", "waitable-set.new"),
    CanonRow(b"\x20", "waitable-set.wait", ("cancellable", "memory")),
    CanonRow(b"\x21", "waitable-set.poll", ("cancellable", "memory")),
    CanonRow(b"\x22", "waitable-set.drop"),
    CanonRow(b"\x23", "waitable.join"),
    CanonRow(b"\x26", "thread.index"),
    CanonRow(b"\x27", "thread.new-indirect", ("core type", "core table")),
    CanonRow(b"\x28", "thread.resume-later"),
    CanonRow(b"\x29", "thread.suspend", ("cancellable",)),
    CanonRow(b"\x0c", "thread.yield", ("cancellable",)),
    CanonRow(b"\x2a", "thread.suspend-then-resume", ("cancellable",)),
    CanonRow(b"\x2b", "thread.yield-then-resume", ("cancellable",)),
    CanonRow(b"\x2c", "thread.suspend-then-promote", ("cancellable",)),
    CanonRow(b"\x2d", "thread.yield-then-promote", ("cancellable",)),
    CanonRow(b"\x40", "thread.spawn-ref", ("shared", "core type")),
    CanonRow(b"\x41", "thread.spawn-indirect", ("shared", "core type", "core table")),
    CanonRow(b"\x42", "thread.available-parallelism", ("shared",)),
)

BY_NAME: Final = {row.name: row for row in CANONS}
BY_CODE: Final = {row.code[0]: row for row in CANONS}
