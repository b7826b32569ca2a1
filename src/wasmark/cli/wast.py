"""`wasmark wast FILE...`: run scripts of the official tests; what passed, what failed, what the rest waits for."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from wasmark.cli._input import InputError
from wasmark.cli._tables import print_table
from wasmark.text.runner import run_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from wasmark.text.runner import FileResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="a script, or a directory of .wast files")
    parser.add_argument("--waits", action="store_true", help="show also the lines that wait for a feature")
    parser.add_argument("--total", action="store_true", help="leave out the table of files")


def execute(args: argparse.Namespace) -> int:
    """0 if no assertion fails, else 1. Raises OSError, and InputError for a directory without scripts."""
    results = list(_run(list(_scripts(args.files))))
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.waiting)
        for line, message in sorted(result.failures + (result.waits if args.waits else [])):
            print(f"{result.path}:{line}: {message}")
    rows = [(result.path, result.passed, result.failed, result.waiting.total()) for result in results]
    if not args.total:
        print_table("Scripts", ("script", ">passed", ">failed", ">waiting"), rows)
    if reasons:
        print_table("Waiting for", ("what", ">commands"), reasons.most_common())
    passed, failed = sum(result.passed for result in results), sum(result.failed for result in results)
    print(f"{passed} passed, {failed} failed, {reasons.total()} waiting")
    return 1 if failed else 0


def _scripts(files: Sequence[str]) -> Iterator[Path]:
    for file in map(Path, files):
        if file.is_dir():
            scripts = sorted(file.glob("*.wast"))
            if not scripts:
                raise InputError(f"{file}: no .wast file is in this directory")
            yield from scripts
        else:
            yield file


def _run(scripts: list[Path]) -> Iterator[FileResult]:
    if not sys.stderr.isatty():
        yield from map(run_file, scripts)
        return
    from rich.console import Console
    from rich.progress import track

    for script in track(scripts, "running", console=Console(stderr=True), transient=True):
        yield run_file(script)
