"""The explorer's page in a browser: what it shows, lights up and finds, by mouse and by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import wasmark
from tests.debug.browser import chromium, eventually, open_page
from tests.debug.explored import functions, machine_code, wasm_lines
from tests.debug.support import dinner
from tests.debug.test_explorer_page import HOSTILE, MODULE
from wasmark.debug.explorer import TIERS, engine_of, write_page, write_page_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement


pytestmark = pytest.mark.xdist_group("chromium")

_LARGE = "\n".join(
    [
        "(module (memory 1)",
        *(
            f"(func $f{n} (param i32) (result i32) (i32.load (i32.add (local.get 0) (i32.const {n}))))"
            for n in range(3_000)
        ),
        f"(func $long (param i32) (result i32) {'(local.set 0 (i32.mul (local.get 0) (i32.const 3)))' * 8_000}",
        "(i32.div_u (i32.const 4242) (local.get 0))))",
    ]
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as running:
        yield running


def _written(text: str, directory: Path, *tiers: str) -> Path:
    path = directory / "page.html"
    write_page_of({tier: wasmark.Module(text, engine_of(tier)) for tier in tiers}, path, "m.wasm")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(MODULE, tmp_path_factory.mktemp("small"), *TIERS)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(_LARGE, tmp_path_factory.mktemp("large"), "first")


def rows(browser: Chrome, pane: str, kind: str = "") -> list[int]:
    """The lines that a list has on the screen, of a kind: ".lit", ".cursor"."""
    found: list[int] = browser.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} .row${arguments[1]}`)].map(r => Number(r.dataset.row))",
        pane,
        kind,
    )
    return sorted(found)


def row(browser: Chrome, pane: str, number: int) -> WebElement:
    return browser.find_element("css selector", f'#{pane} .row[data-row="{number}"]')


def status(browser: Chrome) -> str:
    return str(browser.find_element("id", "status").text)


def show(browser: Chrome, page: Path, name: str) -> dict[str, Any]:
    """Open a function by a click on its name; what the page has of it."""
    number, function = next((n, f) for n, f in enumerate(functions(page.read_text())) if f["n"] == name)
    row(browser, "functions", number).click()
    eventually(lambda: status(browser).startswith(f"function {function['i']}: "))
    return function


def press(browser: Chrome, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def test_the_page_shows_the_module_and_runs_nothing_of_it(browser: Chrome, page: Path) -> None:
    open_page(browser, page)
    assert browser.title == "m.wasm"
    names = [name.text for name in browser.find_elements("css selector", "#functions .name")]
    assert names == [HOSTILE, "sum", "both"]
    assert [h2.text.split("\n")[0] for h2 in browser.find_elements("css selector", ".pane h2")] == [
        "wasm",
        "machine code, optimised",
        "machine code, first",
    ]
    function = show(browser, page, "sum")
    shown = browser.execute_script(
        "return [...document.querySelectorAll('#wasm .row')]"
        ".map(({children}) => [children[0].textContent, children[2].textContent])"
    )
    assert shown == [[f"{offset:x}", line.strip()] for offset, line in wasm_lines(function["listing"])]
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []


def test_what_belongs_together_lights_up(browser: Chrome, page: Path) -> None:
    from selenium.webdriver import ActionChains

    open_page(browser, page)
    function = show(browser, page, "sum")
    listing = function["listing"]
    lines = [line.strip() for _, line in wasm_lines(listing)]
    for instruction in ("i32.load", "br_if $next"):
        at = lines.index(instruction)
        expected = {
            f"native-{tier}": [n for n, (_, _, owner, _) in enumerate(machine_code(listing, tier)) if owner == at]
            for tier in range(2)
        }
        assert all(expected.values())
        ActionChains(browser).move_to_element(row(browser, "wasm", at)).perform()
        assert rows(browser, "wasm", ".lit") == [at]
        assert {pane: rows(browser, pane, ".lit") for pane in expected} == expected
        assert instruction in status(browser)
        # And from the machine code's side.
        ActionChains(browser).move_to_element(row(browser, "wasm", 0)).perform()
        assert rows(browser, "wasm", ".lit") == [0]
        ActionChains(browser).move_to_element(row(browser, "native-0", expected["native-0"][0])).perform()
        assert rows(browser, "wasm", ".lit") == [at]
        assert rows(browser, "native-1", ".lit") == expected["native-1"]


def test_a_source_line_lights_up_what_became_of_it(browser: Chrome, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains

    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "share.hpp").write_text("</script>\n<b>a</b> / b\n\n\n")
    path = tmp_path / "page.html"
    write_page(dinner(5, str(tmp_path)), path, tiers=["optimised"], source_folders=[tmp_path])
    open_page(browser, path)
    headings = [heading.text.split("\n")[0] for heading in browser.find_elements("css selector", ".pane h2")]
    assert headings == ["source", "wasm", "machine code, optimised"]
    function = show(browser, path, "split")
    at = next(row for row, (_, line) in enumerate(wasm_lines(function["listing"])) if "div_s" in line)
    lines = function["listing"]["d"]["l"].split("\n")
    inner = lines.index("<b>a</b> / b")
    assert row(browser, "source", inner).text.split() == ["2", "<b>a</b>", "/", "b"]
    ActionChains(browser).move_to_element(row(browser, "wasm", at)).perform()
    assert inner in rows(browser, "source", ".lit")
    assert lines.index("line 12") in rows(browser, "source", ".lit")
    ActionChains(browser).move_to_element(row(browser, "source", inner)).perform()
    assert at in rows(browser, "wasm", ".lit")
    divisions = [n for n, (_, text, _, _) in enumerate(machine_code(function["listing"])) if text.startswith("idiv")]
    assert divisions
    assert set(divisions) <= set(rows(browser, "native-0", ".lit"))
    assert browser.get_log("browser") == []


def test_trap_sites_have_their_codes(browser: Chrome, page: Path) -> None:
    open_page(browser, page)
    function = show(browser, page, HOSTILE)
    for tier in range(2):
        expected = {
            n: f"may trap: {wasmark.TrapCode(trap).message} (code {trap})"
            for n, (_, _, _, trap) in enumerate(machine_code(function["listing"], tier))
            if trap is not None
        }
        assert {2, 3} <= {int(title.rsplit(" ", 1)[1][:-1]) for title in expected.values()}
        marks = browser.find_elements("css selector", f"#native-{tier} .badge")
        assert [mark.get_attribute("title") for mark in marks] == list(expected.values())
        assert all(f"(code {mark.text})" in (mark.get_attribute("title") or "") for mark in marks)
    marks = browser.find_elements("css selector", "#wasm .message")
    assert [mark.text for mark in marks] == ["integer divide by zero", "integer overflow"]
    browser.find_element("id", "native-0").click()
    press(browser, "t")
    assert "may trap: " in status(browser)


def test_functions_and_lines_are_found(browser: Chrome, page: Path) -> None:
    open_page(browser, page)
    search = browser.find_element("id", "search")
    search.send_keys("SUM")
    eventually(lambda: browser.find_element("id", "found").text.startswith("1 function, "))
    assert row(browser, "functions", 0).text.split("\n")[-2] == "sum"
    search.clear()
    search.send_keys("br_if")
    eventually(lambda: browser.find_element("id", "found").text == "0 functions, 1 line")
    row(browser, "functions", 0).click()
    eventually(lambda: rows(browser, "wasm", ".cursor"))
    (at,) = rows(browser, "wasm", ".cursor")
    assert row(browser, "wasm", at).text.endswith("br_if $next")
    assert rows(browser, "native-0", ".lit")


def test_it_works_without_a_mouse(browser: Chrome, page: Path) -> None:
    from selenium.webdriver import Keys

    open_page(browser, page)
    press(browser, "/", "both", Keys.ARROW_DOWN)
    eventually(lambda: rows(browser, "functions") == [0])
    press(browser, Keys.ARROW_DOWN, Keys.ENTER)
    eventually(lambda: status(browser).startswith("function 3: "))
    press(browser, Keys.TAB, *[Keys.ARROW_DOWN] * 3)
    assert rows(browser, "wasm", ".cursor") == [2]
    box = browser.find_element("id", "wasm")
    assert browser.switch_to.active_element == box
    current = browser.find_element("id", box.get_attribute("aria-activedescendant") or "")
    assert (current.get_attribute("aria-selected"), current.get_attribute("role")) == ("true", "option")
    assert current.get_attribute("aria-posinset") == "3"
    press(browser, "[")
    eventually(lambda: status(browser) == "function 2: sum")
    assert browser.current_url.endswith("#f=2")


def test_a_link_leads_to_a_place(browser: Chrome, page: Path) -> None:
    function = functions(page.read_text())[1]
    offset, line = wasm_lines(function["listing"])[5]
    open_page(browser, page, f"#f={function['i']}&o={offset:x}")
    assert rows(browser, "wasm", ".cursor") == [5]
    assert line.strip() in status(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_the_dark(browser: Chrome, page: Path, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    open_page(browser, page)
    show(browser, page, HOSTILE)
    row(browser, "wasm", 3).click()
    contrasts = browser.execute_script("""
        const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
        const linear = (c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
        const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
        const paper = (node) => {
            for (; node; node = node.parentElement) {
                const colour = getComputedStyle(node).backgroundColor;
                if (colour !== "rgba(0, 0, 0, 0)") return rgb(colour);
            }
        };
        return [...document.querySelectorAll("body *")]
            .filter((node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
            .filter((node) => node.getClientRects().length && paper(node))
            .map((node) => [light(rgb(getComputedStyle(node).color)), light(paper(node)), node.className])
            .map(([a, b, name]) => [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), name]);
    """)
    assert len(contrasts) > 60
    assert min(contrasts)[0] >= 4.5, min(contrasts)
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 384) == (scheme == "light")


def test_of_a_large_module_only_what_is_in_sight_is_drawn(browser: Chrome, large: Path) -> None:
    open_page(browser, large)
    assert len(browser.find_elements("css selector", ".row")) < 300
    search = browser.find_element("id", "search")
    search.send_keys("i32.const 4242")
    eventually(lambda: browser.find_element("id", "found").text == "0 functions, 1 line")
    row(browser, "functions", 0).click()
    eventually(lambda: rows(browser, "wasm", ".cursor"))
    (at,) = rows(browser, "wasm", ".cursor")
    assert at > 32_000
    assert browser.execute_script("return document.getElementById('wasm').scrollTop") > 600_000
    assert len(browser.find_elements("css selector", ".row")) < 300
    assert row(browser, "wasm", at + 1).text.endswith("local.get 0")


def test_the_page_of_a_large_module_is_not_much_larger(large: Path) -> None:
    assert large.stat().st_size < 10 * len(wasmark.Module(_LARGE, engine_of("first")).model.data)
