"""The component model's own tests: all of them pass. How many assertions that is stands in
`docs/component-conformance.md`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import pytest

from tests.component.conformance import DOCUMENT, document
from tests.component.official import ABOUT_CALLS, ABOUT_FORM, TESTSUITE, needs_testsuite, scripts, sources
from tests.conftest import ASSERTIONS
from tests.spec.worker import Worker
from tests.ways import WAYS
from wasmark.component.binary import decode_component, encode_component
from wasmark.component.text import parse_component
from wasmark.component.text.printer import print_component
from wasmark.errors import InvalidError


@pytest.fixture(scope="module")
def workers() -> Iterator[Callable[[str], Worker]]:
    made: dict[str, Worker] = {}
    yield lambda way: made.setdefault(way, Worker(way))
    for worker in made.values():
        worker.stop()


def check(worker: Worker, name: str, record_property: Callable[[str, object], None]) -> None:
    result = worker.run(TESTSUITE / name)
    record_property(ASSERTIONS, (f"components, {worker.way}", result.passed, result.assertions))
    assert result.failures == []
    assert (result.failed, dict(result.waiting)) == (0, {})


@needs_testsuite
@pytest.mark.parametrize("name", scripts(*ABOUT_FORM))
def test_what_is_asserted_of_the_form_of_components_holds(
    workers: Callable[[str], Worker], name: str, record_property: Callable[[str, object], None]
) -> None:
    check(workers("lazy"), name, record_property)


@needs_testsuite
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", scripts("values", "resources"))
def test_what_is_asserted_of_calls_holds(
    workers: Callable[[str], Worker], name: str, way: str, record_property: Callable[[str, object], None]
) -> None:
    check(workers(way), name, record_property)


@needs_testsuite
@pytest.mark.parametrize("way", ["eager", "lazy"])
@pytest.mark.parametrize("name", scripts("linking"))
def test_what_is_asserted_of_linking_holds(
    workers: Callable[[str], Worker], name: str, way: str, record_property: Callable[[str, object], None]
) -> None:
    check(workers(way), name, record_property)


@needs_testsuite
@pytest.mark.parametrize("way", WAYS if os.environ.get("WASMARK_LONG") else ["lazy", "first-tier", "tier-up-in-loops"])
@pytest.mark.parametrize("name", scripts("async"))
def test_what_is_asserted_of_tasks_that_wait_holds(
    workers: Callable[[str], Worker], name: str, way: str, record_property: Callable[[str, object], None]
) -> None:
    check(workers(way), name, record_property)


@needs_testsuite
@pytest.mark.parametrize("name", scripts(*ABOUT_FORM, *ABOUT_CALLS))
def test_a_component_is_the_same_after_a_way_through_its_text(name: str) -> None:
    for line, source, kind in sources(name):
        if kind == "malformed":
            continue
        try:
            binary = source.binary()
            model = decode_component(binary)
        except InvalidError:
            assert kind == "invalid", f"line {line}"
            continue
        text = "".join(print_component(model))
        again = encode_component(parse_component(text))
        if source.kind == "binary":
            # It need not have the shortest encoding.
            assert encode_component(parse_component("".join(print_component(decode_component(again))))) == again
            assert len(again) <= len(binary), f"line {line}"
        else:
            assert again == binary, f"line {line}"


@needs_testsuite
def test_the_document_says_what_passes(workers: Callable[[str], Worker]) -> None:
    assert document(workers("lazy")) == DOCUMENT.read_text(), "python -m tests.component.conformance writes it anew"


@needs_testsuite
def test_all_of_them_pass() -> None:
    found = re.search(r"\| all \| ([\d,]+) \| ([\d,]+) \|", DOCUMENT.read_text())
    assert found is not None
    passed, total = (int(number.replace(",", "")) for number in found.groups())
    assert passed == total > 900
