"""`docs/component-conformance.md`: what of the component model's tests passes, from a run of all that can run.

As a program it writes the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.component.official import ABOUT_CALLS, ABOUT_FORM, PENDING, TESTSUITE, scripts, sources
from tests.spec.worker import Worker
from wasmark.text.runner import FileResult
from wasmark.text.script import AssertReturn, AssertStops, parse_script

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "component-conformance.md"

_HEAD: Final = """\
# Conformance of components

How many assertions of the component model's own tests pass. The tests run them, those that run code under several ways
in which it can come about (`tests/ways.py`), and fail if this table says anything else;
`python -m tests.component.conformance` writes it.

| script | pass | of |
|---|---:|---:|
"""

_PENDING: Final = """
## Pending

These are about tasks that wait for each other, streams and futures, which do not run yet. Their components are decoded,
validated, printed and encoded by the tests; what is asserted of their calls is not.

| script | components | assertions about calls |
|---|---:|---:|
"""


def document(worker: Worker) -> str:
    """The text of the document, where `worker` runs the scripts."""
    results = [worker.run(TESTSUITE / name) for name in scripts(*ABOUT_FORM, *ABOUT_CALLS)]
    rows = [_row(f"{Path(each.path).parent.name}/{Path(each.path).stem}", [each]) for each in results]
    pending = [_pending(name) for name in scripts(PENDING)]
    return _HEAD + "\n".join([*rows, _row("all", results), ""]) + _PENDING + "\n".join([*pending, ""])


def _row(what: str, results: list[FileResult]) -> str:
    passed = sum(result.passed for result in results)
    return f"| {what} | {passed:,} | {sum(result.assertions for result in results):,} |"


def _pending(name: str) -> str:
    commands = parse_script((TESTSUITE / name).read_bytes().decode())
    calls = sum(isinstance(command, AssertReturn | AssertStops) for command in commands)
    return f"| {name.removesuffix('.wast')} | {len(list(sources(name)))} | {calls} |"


if __name__ == "__main__":
    worker = Worker("lazy")
    DOCUMENT.write_text(document(worker))
    worker.stop()
