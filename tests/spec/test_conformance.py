"""The official testsuite: nothing fails, and of the core scripts nearly everything passes already. How much passes is
printed at the end of a run, and stands in `docs/conformance.md`.

What a script asserts about a part of the standard that is not here yet waits, and says for what; nothing may fail for
any other reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ASSERTIONS
from tests.spec.conformance import DOCUMENT, document
from tests.spec.official import COLLECTED, CORE, SCRIPTS, SIMD, TESTSUITE, needs_testsuite
from tests.spec.worker import Worker
from tests.ways import CACHED, STRESSED, WAYS

LEAST_SHARE = 0.97
"""Of what the core scripts assert."""


@pytest.fixture(scope="module", params=(*WAYS, CACHED))
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    worker = Worker(request.param)
    yield worker
    worker.stop()


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_fails(worker: Worker, name: str, record_property: Callable[[str, object], None]) -> None:
    result = worker.run(TESTSUITE / name)
    record_property(ASSERTIONS, (worker.way, result.passed, result.assertions))
    assert result.failures == []
    assert result.failed == 0


@needs_testsuite
@pytest.mark.parametrize("way", STRESSED)
def test_nothing_fails_where_every_allocation_is_preceded_by_a_collection(way: str) -> None:
    worker = Worker(way)
    try:
        for name in COLLECTED:
            assert worker.run(TESTSUITE / name).failures == [], name
    finally:
        worker.stop()


@needs_testsuite
def test_the_document_says_what_passes() -> None:
    assert document() == DOCUMENT.read_text(), "python -m tests.spec.conformance writes it anew"


@needs_testsuite
def test_nearly_all_of_the_core_passes(worker: Worker) -> None:
    passed = total = 0
    waiting: Counter[str] = Counter()
    for name in CORE:
        result = worker.run(TESTSUITE / name)
        passed += result.passed
        total += result.total
        waiting += result.waiting
    share = passed / total
    print(f"{passed} of {total} core assertions pass: {share:.2%}; waiting: {dict(waiting)}")
    assert total > 20_000
    assert share >= LEAST_SHARE, waiting


@needs_testsuite
def test_all_of_simd_passes(worker: Worker) -> None:
    passed = 0
    for name in SIMD:
        result = worker.run(TESTSUITE / name)
        assert (name, dict(result.waiting), result.passed) == (name, {}, result.total)
        passed += result.passed
    print(f"{passed} assertions about SIMD pass")
    assert passed > 25_000


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
