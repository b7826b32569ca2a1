"""Runs scripts one after the other in a process of its own: a script that brings the process down fails alone.

Reads a path a line, answers with a line of JSON each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.ways import CACHED, config, run_cached
from wasmark.text.runner import FileResult, run_file

REPOSITORY = Path(__file__).resolve().parents[2]


class Worker:
    """The other end: `run` starts the process when there is none."""

    def __init__(self, way: str = "eager") -> None:
        self.way = way
        self._process: subprocess.Popen[str] | None = None
        self._results: dict[Path, FileResult] = {}

    def run(self, path: Path) -> FileResult:
        """The result of a script, run once."""
        if path not in self._results:
            self._results[path] = self._run(path)
        return self._results[path]

    def _run(self, path: Path) -> FileResult:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.spec.worker", self.way],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already; then there is no answer either
            self._process.stdin.write(f"{path}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process = None
            return FileResult(str(path), failed=1, failures=[(0, f"the process ended with status {status}")])
        answer: dict[str, Any] = json.loads(line)
        answer["waiting"] = Counter(answer["waiting"])
        return FileResult(**answer)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(30)
            self._process.stdout.close()
            self._process = None


def main() -> None:
    """The process itself; its argument says how code comes about."""
    way = sys.argv[1]
    for line in sys.stdin:
        path = line.rstrip("\n")
        if way == CACHED:
            with tempfile.TemporaryDirectory() as directory:
                result = run_cached(lambda chosen, path=path: run_file(path, chosen), directory)
        else:
            result = run_file(path, config(way))
        print(json.dumps({field.name: getattr(result, field.name) for field in dataclasses.fields(result)}), flush=True)


if __name__ == "__main__":
    main()
