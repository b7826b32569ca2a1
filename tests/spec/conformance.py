"""`docs/conformance.md`: what of the official testsuite passes, from a run of all of it.

As a program it writes the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.spec.official import GROUPS, IN_GROUP, TESTSUITE
from tests.spec.worker import Worker
from wasmark.text.runner import FileResult

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"

_HEAD: Final = """\
# Conformance

How many assertions of the official testsuite pass: those of the standard, of the parts beside it and of the proposals
that Wasmark has. The tests run them under every way in which code can come about (`tests/ways.py`), and fail if this
table says anything else; `python -m tests.spec.conformance` writes it.
"""

_COLUMNS: Final = """\
| {} | pass | of |
|---|---:|---:|"""


def document() -> str:
    """The text of the document."""
    worker = Worker("lazy")
    try:
        results = {group: [worker.run(TESTSUITE / name) for name in names] for group, names in IN_GROUP.items()}
    finally:
        worker.stop()
    lines = [_HEAD, *_COLUMNS.format("part").splitlines()]
    lines += [_row(GROUPS[group], of_group) for group, of_group in results.items()]
    lines.append(_row("all", [result for of_group in results.values() for result in of_group]))
    for group, of_group in results.items():
        lines += ["", f"## {GROUPS[group]}", "", *_COLUMNS.format("script").splitlines()]
        lines += [_row(Path(result.path).stem, [result]) for result in of_group]
    return "\n".join([*lines, ""])


def _row(what: str, results: list[FileResult]) -> str:
    passed = sum(result.passed for result in results)
    return f"| {what} | {passed:,} | {sum(result.assertions for result in results):,} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
