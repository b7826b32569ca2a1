"""A loop in a process of its own: `hot_loop.py STRATEGY SECONDS` prints when each 20,000 iterations were through.

The loop does not return before its time is up. The lines are seconds from the call on.
"""

import sys
import time

import wasmark

HOT = """
(module
  (import "host" "tick" (func $tick (param i32) (result i32)))
  (func (export "run") (result i32) (local $x i32) (local $n i32)
    (loop $forever
      (local.set $n (i32.const 20000))
      (loop $again
        (local.set $x (i32.xor (i32.mul (local.get $x) (i32.const 0x01000193)) (local.get $n)))
        (local.set $x (i32.add (i32.rotl (local.get $x) (i32.const 13)) (i32.const 0x6b43a9b5)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (br_if $forever (call $tick (local.get $x))))
    (local.get $x)))
"""

strategy, seconds = sys.argv[1:]
ticks: list[float] = []


def tick(_: int) -> int:
    ticks.append(time.perf_counter())
    return int(ticks[-1] < end)


engine = wasmark.Engine(wasmark.Config(strategy=strategy))
run = wasmark.Instance(wasmark.Module(HOT, engine), {"host": {"tick": tick}}).exports["run"]
start = time.perf_counter()
end = start + float(seconds)
run()
print(*(tick - start for tick in ticks), sep="\n")
