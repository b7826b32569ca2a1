"""Compares the engines over generated components of a range of seeds, in a process of its own: a difference may be that
one of them dies.

Arguments: what is generated ("values" or "handles"), the first seed and the one behind the last. Prints a JSON object a
line: {"seed": n} before a component is made, {"difference": text} where there is one, {"outcomes": {kind: count}} at
the end.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Final

import wasmtime

import wasmark
from tests.differential.component_compare import difference, with_tags
from tests.differential.components import generate as values
from tests.differential.resources import generate as handles

GENERATORS: Final = {"values": values, "handles": handles}


def main(what: str, first: int, end: int) -> None:
    with_tags()
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"
    config.parallel_compilation = False
    theirs = wasmtime.Engine(config)
    ours = wasmark.Engine(wasmark.Config(strategy="baseline", cache=False))
    outcomes: Counter[str] = Counter()
    for seed in range(first, end):
        print(json.dumps({"seed": seed}), flush=True)
        found = difference(GENERATORS[what](seed), ours, theirs, lambda kind: outcomes.update([kind]))
        if found is not None:
            print(json.dumps({"difference": found}), flush=True)
    print(json.dumps({"outcomes": outcomes}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
