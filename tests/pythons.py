"""Other versions of Python on this machine that Wasmark is for: what is in the PATH, and what lies beside the Python
that runs the tests, as pyenv and uv have it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_PROBE = """
import ctypes, sys
assert sys.implementation.name == "cpython" and sys.version_info >= (3, 11) and not sys.abiflags
print("%d.%d" % sys.version_info[:2])
"""


@functools.cache
def others() -> dict[str, str]:
    """An executable of each other version, by the version."""
    named = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    beside = sorted(Path(sys.base_prefix).resolve().parent.glob("*/bin/python3"))
    found: dict[str, str] = {}
    for path in [*filter(None, named), *map(str, beside)]:
        done = subprocess.run([path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            found.setdefault(done.stdout.strip(), path)
    found.pop("{}.{}".format(*sys.version_info), None)
    return found


def environment() -> dict[str, str]:
    """The environment in which they find this Wasmark, and the LLVM that is installed with it."""
    specs = [find_spec(name) for name in ("wasmark", "llvmlite")]
    rooms = dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in specs if spec is not None and spec.origin)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(rooms), "PYTHONDONTWRITEBYTECODE": "1"}
