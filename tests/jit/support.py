"""Modules with something of everything, other processes, and an engine with a cache of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import wasmark

REPOSITORY = Path(__file__).resolve().parents[2]

VARIED = """
(module $varied
  (import "env" "twice" (func $twice (param i32) (result i32)))
  (import "env" "log" (func $log (param f64 i64)))
  (memory (export "memory") 1 4)
  (table (export "table") 4 funcref)
  (global $g (export "g") (mut i32) (i32.const 5))
  (elem (i32.const 0) $fib $div)
  (data (i32.const 16) "data")
  (type $unary (func (param i32) (result i32)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func $div (export "div") (param i32) (result i32) (i32.div_s (i32.const 100) (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "float") (param f64) (result f64) (f64.floor (f64.mul (local.get 0) (f64.const 1.5))))
  (func (export "pick") (param i32) (result i32)
    (block (block (block (block (block
      (br_table 0 1 2 3 4 (local.get 0))) (return (i32.const 11))) (return (i32.const 22)))
      (return (i32.const 33))) (return (i32.const 44))) (i32.const 55))
  (func (export "indirect") (param i32 i32) (result i32)
    (call_indirect (type $unary) (local.get 0) (local.get 1)))
  (func (export "host") (param i32) (result i32)
    (call $log (f64.const 0.5) (i64.const -1))
    (call $twice (local.get 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
  (func (export "never") unreachable))
"""


def engine(directory: Path) -> wasmark.Engine:
    """An engine that compiles whole modules, with a cache in that directory."""
    return wasmark.Engine(wasmark.Config(strategy="eager", cache=directory))


def answers(module: wasmark.Module) -> list[object]:
    """What the functions of `VARIED` answer, traps with their frames included."""
    logged: list[object] = []
    imports = {"env": {"twice": lambda x: 2 * x, "log": lambda *args: logged.append(args)}}
    exports = wasmark.Instance(module, imports).exports
    results: list[object] = [
        exports.fib(15),
        exports.div(7),
        exports.load(16),
        exports.float(3.5),
        [exports.pick(i) for i in range(5)],
        exports.indirect(10, 0),
        exports.host(21),
        exports.grow(),
        exports.swap(1, 2),
        exports.g.value,
        logged,
    ]
    for call in (
        lambda: exports.div(0),
        lambda: exports.load(-1),
        lambda: exports.indirect(0, 1),
        lambda: exports.indirect(0, 2),
        lambda: exports.never(),
    ):
        try:
            call()
        except wasmark.Trap as trap:
            results.append((trap.code, [str(frame) for frame in trap.frames]))
        else:
            results.append("no trap")
    return results


def python(
    code: str, *args: object, cache_home: Path, status: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={**environment_for(cache_home), **environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def environment_for(cache_home: Path) -> dict[str, str]:
    """The environment of an interpreter with its caches there."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)]),
        "XDG_CACHE_HOME": str(cache_home),
    }


def stored_modules(directory: Path) -> list[Path]:
    """The files of a cache that hold modules."""
    from wasmark.jit.cache import CodeCache

    cache = CodeCache(str(directory), 1 << 30)
    return [directory / e.name for e in cache.entries() if cache.describe(e.name).get("kind") == "module"]
