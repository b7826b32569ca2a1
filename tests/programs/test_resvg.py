"""resvg and usvg, command components in Rust: the files that they write into a preopened directory are those that they
write under wasmtime-py, pixel for pixel and byte for byte."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import wasmtime
from wasmtime import component as peer_component

import wasmark
from tests.programs.resvg import component
from wasmark.wasi import Capture, Preopen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("resvg")

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 200 120"'
PICTURES = {
    "shapes": f"""{HEAD} width="200" height="120">
        <rect width="200" height="120" fill="#fed"/><circle cx="60" cy="60" r="40" fill="teal" opacity=".6"/>
        <path d="M20 100 C 60 0 140 0 180 100" stroke="#123" stroke-width="6" fill="none" stroke-dasharray="9 4"/>
        <polygon points="150,10 190,50 110,50" transform="rotate(13 150 40)" fill-rule="evenodd"/></svg>""",
    "gradients": f"""{HEAD} width="400" height="240"><defs>
        <linearGradient id="l"><stop offset="0" stop-color="#f60"/><stop offset="1" stop-color="#06f"/></linearGradient>
        <radialGradient id="r" fx=".2"><stop offset=".1" stop-color="#fff"/><stop offset="1" stop-opacity=".2"/>
        </radialGradient></defs>
        <rect width="200" height="120" fill="url(#l)"/><ellipse cx="100" cy="60" rx="90" ry="50" fill="url(#r)"/>
        </svg>""",
    "filters": f"""{HEAD} width="200" height="120"><defs><filter id="f"><feGaussianBlur stdDeviation="4" result="b"/>
        <feTurbulence baseFrequency=".05" result="t"/><feDisplacementMap in="b" in2="t" scale="20"/>
        </filter><mask id="m"><rect width="100" height="120" fill="#fff"/></mask></defs>
        <g mask="url(#m)"><rect x="20" y="20" width="160" height="80" fill="crimson" filter="url(#f)"/></g></svg>""",
}


@pytest.fixture(scope="module")
def resvg() -> wasmark.Component:
    return wasmark.Component(component("resvg").read_bytes(), name="resvg")


@pytest.fixture(scope="module")
def peer() -> Callable[[Path, list[str]], None]:
    """Runs the same under wasmtime-py."""
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"
    engine = wasmtime.Engine(config)
    program = peer_component.Component(engine, component("resvg").read_bytes())

    def run(directory: Path, args: list[str]) -> None:
        linker = peer_component.Linker(engine)
        linker.add_wasip2()
        store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["resvg", *args]
        wasi.preopen_dir(str(directory), "/")
        store.set_wasi(wasi)
        instance = linker.instantiate(store, program)
        index = program.get_export_index("wasi:cli/run@0.2.6")
        assert index is not None
        run = instance.get_func(store, program.get_export_index("run", index))  # type: ignore[arg-type]
        assert run is not None
        run(store)

    return run


def run(program: wasmark.Component, directory: Path, args: list[str]) -> tuple[str, str]:
    """What it wrote to standard output and error."""
    out, err = Capture(), Capture()
    linker = wasmark.ComponentLinker()
    with linker.define_wasi(args=[program.name, *args], stdout=out, stderr=err, preopens=[Preopen(directory, "/")]):
        linker.instantiate(program).exports["wasi:cli/run@0.2.0"].run()
    return out.text(), err.text()


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_the_peers(
    name: str, resvg: wasmark.Component, peer: Callable[[Path, list[str]], None], tmp_path: Path
) -> None:
    (tmp_path / "in.svg").write_text(PICTURES[name])
    assert run(resvg, tmp_path, ["/in.svg", "/ours.png"]) == ("", "")
    peer(tmp_path, ["/in.svg", "/theirs.png"])
    ours = (tmp_path / "ours.png").read_bytes()
    assert ours.startswith(b"\x89PNG")
    assert len(ours) > 1000
    assert ours == (tmp_path / "theirs.png").read_bytes()


def test_what_it_says_of_a_file_that_is_not_there(resvg: wasmark.Component, tmp_path: Path) -> None:
    out, err = Capture(), Capture()
    linker = wasmark.ComponentLinker()
    options = {"args": ["resvg", "/no.svg", "/out.png"], "stdout": out, "stderr": err}
    with linker.define_wasi(preopens=[Preopen(tmp_path, "/")], **options), pytest.raises(wasmark.Exit) as caught:
        linker.instantiate(resvg).exports["wasi:cli/run@0.2.0"].run()
    assert caught.value.code == 1
    assert "failed to open" in err.text()


def test_a_picture_cannot_be_written_where_only_reading_is_allowed(resvg: wasmark.Component, tmp_path: Path) -> None:
    (tmp_path / "in.svg").write_text(PICTURES["shapes"])
    err = Capture()
    linker = wasmark.ComponentLinker()
    with (
        linker.define_wasi(
            args=["resvg", "/in.svg", "/out.png"], stderr=err, preopens=[Preopen(tmp_path, "/", readonly=True)]
        ),
        pytest.raises(wasmark.Exit),
    ):
        linker.instantiate(resvg).exports["wasi:cli/run@0.2.0"].run()
    assert not (tmp_path / "out.png").exists()
    assert err.text()


def test_usvg_on_the_command_line_simplifies_a_picture(tmp_path: Path) -> None:
    (tmp_path / "in.svg").write_text(PICTURES["shapes"])
    done = subprocess.run(
        [sys.executable, "-m", "wasmark", "run", component("usvg"), "--dir", f"{tmp_path}::/", "/in.svg", "-c"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"<svg")
    assert b"<circle" not in done.stdout
    assert done.stdout.count(b"<path") == 4
