"""`docs/component-conformance.md`: what of the component model's tests passes, from a run of all of them.

As a program it writes the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.component.official import ABOUT_CALLS, ABOUT_FORM, TESTSUITE, scripts
from tests.spec.worker import Worker
from wasmark.text.runner import FileResult

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "component-conformance.md"

_HEAD: Final = """\
# Conformance of components

How many assertions of the component model's own tests pass. The tests run them, those that run code under several ways
in which it can come about (`tests/ways.py`), and fail if this table says anything else;
`python -m tests.component.conformance` writes it.

| script | pass | of |
|---|---:|---:|
"""


def document(worker: Worker) -> str:
    """The text of the document, where `worker` runs the scripts."""
    results = [worker.run(TESTSUITE / name) for name in scripts(*ABOUT_FORM, *ABOUT_CALLS)]
    rows = [_row(f"{Path(each.path).parent.name}/{Path(each.path).stem}", [each]) for each in results]
    return _HEAD + "\n".join([*rows, _row("all", results), ""])


def _row(what: str, results: list[FileResult]) -> str:
    passed = sum(result.passed for result in results)
    return f"| {what} | {passed:,} | {sum(result.assertions for result in results):,} |"


if __name__ == "__main__":
    worker = Worker("lazy")
    DOCUMENT.write_text(document(worker))
    worker.stop()
