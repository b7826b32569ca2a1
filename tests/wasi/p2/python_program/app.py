"""The component: its first argument says what it does."""

from __future__ import annotations

import json
import os
import sys
import time

import probe  # type: ignore[import-not-found]
import wit_world.exports  # type: ignore[import-not-found]
from componentize_py_types import Err  # type: ignore[import-not-found]


class Run(wit_world.exports.Run):  # type: ignore[misc]
    """`wasi:cli/run`."""

    def run(self) -> None:
        """Raises Err for the error of its result."""
        word = sys.argv[1]
        if word == "fail":
            raise Err(None)
        if word == "raise":
            raise ValueError("nobody catches this")
        if word == "exit":
            sys.exit(0)
        if word == "echo":
            print(json.dumps([sys.argv[2:], os.environ.get("GREETING"), sys.stdin.read()]))
            print("to standard error", file=sys.stderr)
        if word == "sleep":
            start = time.monotonic()
            time.sleep(0.02)
            print(time.monotonic() - start >= 0.02, time.time() > 1.7e9, len(set(os.urandom(64))) > 8)
        if word == "files":
            print(json.dumps(probe.probe("/")))
