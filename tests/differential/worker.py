"""Compares the engines over a range of seeds, in a process of its own: a difference may be that one of them dies.

Arguments: the first seed, the one behind the last, and the way code comes about. Prints a JSON object a line:
{"seed": n} before a module is made, {"difference": text} where the engines differ, and {"outcomes": {kind: count}} at
the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Final

from tests.differential.compare import difference
from tests.differential.generator import generate
from tests.ways import CACHED, config, run_cached
from wasmark import Engine

_DETERMINISTIC: Final = {"relaxed_simd": "deterministic"}


def main(first: int, end: int, way: str = "eager") -> None:
    engine = Engine(config(way, **_DETERMINISTIC)) if way != CACHED else None
    outcomes: dict[str, int] = {}
    for seed in range(first, end):
        print(json.dumps({"seed": seed}), flush=True)
        module = generate(seed)
        if way == CACHED:
            with tempfile.TemporaryDirectory() as directory:
                found = run_cached(
                    lambda chosen, m=module: difference(m, outcomes, Engine(chosen)), directory, **_DETERMINISTIC
                )
        else:
            found = difference(module, outcomes, engine)
        if found is not None:
            print(json.dumps({"difference": found}), flush=True)
    print(json.dumps({"outcomes": outcomes}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
