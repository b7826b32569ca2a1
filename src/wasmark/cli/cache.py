"""`wasmark cache show|clear`: what the code cache holds, and how to be rid of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from wasmark.cli._input import InputError
from wasmark.cli._tables import print_table
from wasmark.config import Config
from wasmark.jit.cache import CodeCache, open_cache

if TYPE_CHECKING:
    import argparse

_SHOWN: Final = 40
"""How many files are listed if not all are asked for; reading and checking them takes a while."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("show", "clear"), nargs="?", default="show", help="list what is there, or remove it"
    )
    parser.add_argument("--all", action="store_true", help=f"list all files, not only the {_SHOWN} that were used last")
    parser.add_argument("--dir", metavar="DIR", help="the cache in this directory, instead of the default one")


def execute(args: argparse.Namespace) -> int:
    """Raises InputError where `--dir` is no directory."""
    if args.dir is not None and not os.path.isdir(args.dir):
        raise InputError(f"{args.dir}: this is no directory")
    cache = open_cache(Config(cache=args.dir if args.dir is not None else True))
    if cache is None:
        print("there is no cache: this user has no home directory")
    elif args.action == "clear":
        print(f"{cache.directory}: {_megabytes(cache.clear())} removed")
    else:
        _show(cache, None if args.all else _SHOWN)
    return 0


def _show(cache: CodeCache, limit: int | None) -> None:
    entries = sorted(cache.entries(), key=lambda entry: entry.used, reverse=True)
    rows = []
    for entry in entries[:limit]:
        info = cache.describe(entry.name)
        what = info.get("kind", "(cannot be used)")
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        rows.append((entry.name[:16], what, info.get("name"), _megabytes(entry.size), used))
    if rows:
        print_table(cache.directory, ["key", "what", "module", ">size", "last used"], rows)
    if len(rows) < len(entries):
        print(f"... and {len(entries) - len(rows):,} more (--all lists them)")
    total = sum(entry.size for entry in entries)
    print(f"{cache.directory}: {len(entries):,} files, {_megabytes(total)} of at most {_megabytes(cache.limit)}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
