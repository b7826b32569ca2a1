"""What a profile of a thousand samples a second costs: the same work with and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import wasmark
from measure import OURS, Goal, InProcess

if TYPE_CHECKING:
    from collections.abc import Callable

GOALS: Final = (Goal("unprofiled", 1.03),)

_MODULE: Final = """
(module $work
  (import "host" "next" (func $next (param i32) (result i32)))
  (func $spin (export "spin") (param i32) (result i32) (local i32)
    (loop $again
      (local.set 1 (i32.xor (i32.mul (local.get 1) (i32.const 1664525)) (local.get 0)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "ask") (param i32) (result i32)
    (loop $again
      (drop (call $next (call $spin (i32.const 100))))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0)))
"""


def _work(name: str) -> Callable[[], object]:
    engine = wasmark.Engine(wasmark.Config(strategy="eager"))
    module = wasmark.Module(_MODULE, engine)
    instance = wasmark.Instance(module, {"host": {"next": lambda n: n}}, wasmark.Store(engine))
    spin, ask = instance.exports.spin, instance.exports.ask

    def call() -> None:
        for _ in range(3_000_000):
            spin(50)

    return {"a long loop": lambda: spin(400_000_000), "short calls": call, "host calls": lambda: ask(2_000_000)}[name]


def _profiled(name: str) -> Callable[[], object]:
    work = _work(name)

    def action() -> None:
        with wasmark.profile():
            work()

    return action


CASES: Final = tuple(
    InProcess(
        "profile", name, {OURS: lambda n=name: _profiled(n), "unprofiled": lambda n=name: _work(n)}, GOALS, rounds=5
    )
    for name in ("a long loop", "short calls", "host calls")
)
