"""Deadlines: wasm that takes too long is stopped, wherever it is, and its store is as good as before."""

from __future__ import annotations

import wasmark

MODULE = """
(module $guess
  (func $search (param $wanted i64) (local $at i64)
    (loop $next
      (local.set $at (i64.add (local.get $at) (i64.const 2)))
      (br_if $next (i64.ne (local.get $at) (local.get $wanted)))))
  (func (export "find_even") (param i64) (call $search (local.get 0)))
  (func (export "ready") (result i32) (i32.const 1)))
"""

store = wasmark.Store(timeout=60)  # no call takes longer than a minute
guess = wasmark.Instance(wasmark.Module(MODULE), store=store).exports
guess.ready()
with wasmark.deadline(2) as soon:
    guess.find_even(1_000_000)
    print("found an even number, with time left:", not soon.expired)
    try:
        guess.find_even(7)  # there is none
    except TimeoutError as error:
        print(error)
        print("this deadline:", error.deadline is soon)
print("ready:", guess.ready())
