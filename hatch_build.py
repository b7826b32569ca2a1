"""The build hook: a wheel, also an editable one, gets the ready-made code that `wasmark.jit.shipped` looks for. A wheel
that is built with WASMARK_MYPYC in the environment gets machine code of Wasmark's own hot modules, too.

Where the ready-made code cannot be made (another machine than x86-64 Linux), the wheel comes without it, and works all
the same where LLVM does. The hot modules stay in the wheel as Python; beside them lies what mypyc, which needs a C
compiler, made of them, for this version of Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MYPYC = "WASMARK_MYPYC"
"""The environment variable that asks for compiled modules."""

HOT_MODULES = ("binary/leb.py", "binary/instructions.py", "validate/body.py", "validate/quick.py")
"""The modules that gain by it: those that look at every instruction of a module and make no text of it."""

_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

setup(name="hot", script_args=["build_ext", "--inplace"], ext_modules=mypycify(sys.argv[1:], group_name="wasmark"))
"""


def compile_modules(source: Path, directory: Path, modules: tuple[str, ...] = HOT_MODULES) -> list[Path]:
    """Compile modules of the package below `source`, in a copy of it in `directory`; the libraries, below `directory`.

    Raises subprocess.CalledProcessError where that does not work, with what mypyc and the compiler say.
    """
    shutil.copytree(source / "wasmark", directory / "wasmark", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (directory / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    files = [f"wasmark/{module}" for module in modules]
    command = [sys.executable, "-c", _SETUP, *files]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [library for library in directory.rglob("*.so") if directory / "build" not in library.parents]


class ShippedCode(BuildHookInterface):  # type: ignore[type-arg]
    """Makes `src/wasmark/shipped/x86_64.wasmark`, and compiled modules if they are wanted."""

    def dependencies(self) -> list[str]:
        """What the build needs more than it always does."""
        return ["mypy[mypyc]>=1.15", "setuptools"] if os.environ.get(MYPYC) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the wheel is put together."""
        self._make_shipped_code(build_data)
        if os.environ.get(MYPYC) and version == "standard":
            self._compiled = tempfile.TemporaryDirectory()
            directory = Path(self._compiled.name)
            for library in compile_modules(Path(self.root, "src"), directory):
                build_data["force_include"][str(library)] = library.relative_to(directory).as_posix()
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is there."""
        if hasattr(self, "_compiled"):
            self._compiled.cleanup()

    def _make_shipped_code(self, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, str(Path(self.root, "src")))
        try:
            from wasmark.baseline.shipping import make
            from wasmark.errors import UnsupportedError
            from wasmark.jit.shipped import PATH

            target = Path(PATH)
            try:
                contents = make()
            except UnsupportedError as error:
                target.unlink(missing_ok=True)
                self.app.display_warning(f"no ready-made code: {error}")
                return
            target.parent.mkdir(exist_ok=True)
            fresh = target.with_suffix(".new")
            fresh.write_bytes(contents)
            fresh.replace(target)  # whoever has mapped the old one keeps it
            build_data["artifacts"].append(f"/{target.relative_to(self.root).as_posix()}")
        finally:
            sys.path.pop(0)
