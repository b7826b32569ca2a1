"""The official testsuite: everything passes, under every way to compile. How much that is stands in
`docs/conformance.md`, and is printed at the end of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ASSERTIONS
from tests.spec.conformance import DOCUMENT, document
from tests.spec.official import COLLECTED, SCRIPTS, TESTSUITE, needs_testsuite
from tests.spec.worker import Worker
from tests.ways import CACHED, STRESSED, WAYS


@pytest.fixture(scope="module", params=(*WAYS, CACHED))
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    worker = Worker(request.param)
    yield worker
    worker.stop()


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_everything_passes(worker: Worker, name: str, record_property: Callable[[str, object], None]) -> None:
    result = worker.run(TESTSUITE / name)
    record_property(ASSERTIONS, (worker.way, result.passed, result.assertions))
    assert result.failures == []
    assert (result.failed, dict(result.waiting)) == (0, {})


@needs_testsuite
@pytest.mark.parametrize("way", STRESSED)
def test_everything_passes_where_every_allocation_is_preceded_by_a_collection(way: str) -> None:
    worker = Worker(way)
    try:
        for name in COLLECTED:
            result = worker.run(TESTSUITE / name)
            assert (result.failures, dict(result.waiting)) == ([], {}), name
    finally:
        worker.stop()


@needs_testsuite
def test_the_document_says_what_passes() -> None:
    assert document() == DOCUMENT.read_text(), "python -m tests.spec.conformance writes it anew"


@needs_testsuite
def test_there_are_as_many_assertions_as_the_standard_has() -> None:
    found = re.search(r"\| all \| ([\d,]+) \| ([\d,]+) \|", DOCUMENT.read_text())
    assert found is not None
    passed, total = (int(number.replace(",", "")) for number in found.groups())
    assert passed == total > 63_000


def test_a_script_that_ends_the_process_fails_alone(tmp_path: Path) -> None:
    class EndsAtOnce(Worker):
        def run_and_end(self, path: Path) -> object:
            result = self.run(path)
            assert self._process is not None
            self._process.kill()
            return result

    good = tmp_path / "good.wast"
    good.write_text('(module (func (export "f"))) (assert_return (invoke "f"))')
    other = tmp_path / "other.wast"
    other.write_text("(module)")
    worker = EndsAtOnce()
    try:
        worker.run_and_end(good)
        assert "ended with status" in worker.run(tmp_path / "lost.wast").failures[0][1]
        assert worker.run(other).failures == []
    finally:
        worker.stop()
