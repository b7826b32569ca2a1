"""A headless Chromium for the tests of pages: Debian's packages `chromium` and `chromium-driver`, told what to do by
selenium. It opens files and nothing else."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1500,1900",
)


@contextmanager
def chromium() -> Iterator[Chrome]:
    """The browser, as long as it is needed. Skips the test where there is none."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium chromium-driver)")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = browser
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = Chrome(options=options, service=Service(driver))
    try:
        yield running
    finally:
        running.quit()


def eventually(what: Callable[[], Any], seconds: float = 120) -> Any:
    """What a function answers as soon as that is true; AssertionError where it never is."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return answer


def open_page(browser: Chrome, path: Path, fragment: str = "") -> None:
    """Show a page of the explorer, and wait until it is ready."""
    browser.get("about:blank")
    browser.get(path.as_uri() + fragment)
    eventually(lambda: browser.execute_script("return document.body.dataset.ready"))
