"""One of many processes that use a cache directory under attack.

`python -m tests.jit.attack_worker DIRECTORY SEED ROUNDS [mapped]` prints what it got wrong, and ends with 0 if that is
nothing.
"""

from __future__ import annotations

import random
import sys

import wasmark
from wasmark.jit import cache as cache_module

KINDS = 6


def source(number: int) -> str:
    """A module whose answer depends on its number, in code and in a table of branches."""
    return f"""(module (memory 1) (data (i32.const 8) "\\{number + 16:02x}")
      (func $f (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const {number * 7919 + 3}))
        (i32.load8_u (i32.const 8))))
      (func $fib (param i32) (result i32) (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
        (then (local.get 0))
        (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                       (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
      (func (export "run") (param i32) (result i32) (i32.add (call $f (local.get 0)) (call $fib (i32.const 12))))
      (func (export "trap") (param i32) (result i32) (i32.div_u (i32.const {number}) (local.get 0))))"""


def check(number: int, exports: wasmark.Exports) -> str | None:
    """What is wrong with its answers."""
    got = exports.run(5)
    if got != 5 * (number * 7919 + 3) + number + 16 + 144:
        return f"module {number} answered {got}"
    try:
        exports.trap(0)
    except wasmark.Trap as trap:
        if trap.code is not wasmark.TrapCode.INTEGER_DIVISION_BY_ZERO or len(trap.frames) != 1:
            return f"module {number} trapped with {trap!r}"
        return None
    return f"module {number} did not trap"


def main(directory: str, seed: int, rounds: int) -> int:
    rng = random.Random(seed)
    kept: list[tuple[int, wasmark.Exports]] = []
    wrong: list[str | None] = []
    for _ in range(rounds):
        number = rng.randrange(KINDS)
        engine = wasmark.Engine(wasmark.Config(strategy="baseline", cache=directory))
        kept.append((number, wasmark.Instance(wasmark.Module(source(number), engine)).exports))
        wrong += [check(*kept[-1]), check(*rng.choice(kept))]  # one that has just been loaded, and one from before
    complaints = [text for text in wrong if text is not None]
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    if sys.argv[4:] == ["mapped"]:
        cache_module.MAPPED_FROM = 0  # type: ignore[misc]
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
