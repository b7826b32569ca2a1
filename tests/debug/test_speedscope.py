"""speedscope itself opens a profile: its own page, in a browser without a window, lists the functions that ran."""

from __future__ import annotations

import base64
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

import wasmark
from tests.debug.programs import SPIN, tool
from tests.debug.test_profile import samples
from wasmark import Instance, Module


def test_speedscope_lists_the_functions(tmp_path: Path) -> None:
    root = subprocess.run([tool("npm"), "root", "-g"], capture_output=True, text=True, check=True).stdout.strip()
    page = Path(root, "speedscope", "dist", "release", "index.html")
    if not page.exists():
        pytest.skip("the npm package speedscope is not installed")
    instance = Instance(Module(SPIN))
    with wasmark.profile() as taken:
        more = samples(taken, 60)
        while more():
            instance.exports.outer(1_000_000)
    taken.save(tmp_path / "out.json")
    # The page cannot read a file by itself: a script hands over the contents, as speedscope's own command does it.
    contents = base64.b64encode((tmp_path / "out.json").read_bytes()).decode()
    script = tmp_path / "load.js"
    script.write_text(f'speedscope.loadFileFromBase64("out.json", "{contents}")')
    options = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    options += [f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=10000", "--dump-dom"]
    address = f"{page.as_uri()}#localProfilePath={script}&view=sandwich"
    done = subprocess.run(
        [tool("chromium"), *options, address], capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path
    )
    text = unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(style|script).*?</\1>", "", done.stdout)))
    rows = re.findall(r"[\d.]+\w+ \(([<>\d.]+)%\)\s+[\d.]+\w+ \(([<>\d.]+)%\)\s+(spin!\w+)", text)
    shares = {name: (float(total.strip("<>")), float(own.strip("<>"))) for total, own, name in rows}
    assert shares.keys() == {"spin!inner", "spin!middle", "spin!outer"}, text[:3000]
    # Which function the time is spent in, and which ones it is spent below.
    assert shares["spin!inner"][1] > shares["spin!middle"][1] + shares["spin!outer"][1]
    assert shares["spin!outer"][0] >= shares["spin!middle"][0] >= shares["spin!inner"][0]
