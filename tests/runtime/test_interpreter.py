"""Where Wasmark cannot work there is a clear answer, and no crash later."""

from __future__ import annotations

import subprocess
import sys

import pytest

IN_ANOTHER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "exec", interpreters.run_string)
other = interpreters.create()
try:
    failed = run(other, "import wasmark")
except interpreters.RunFailedError as error:  # before 3.13
    failed = error
interpreters.destroy(other)
print(getattr(failed, "formatted", failed))
import wasmark
print(wasmark.Instance(wasmark.Module('(module (func (export "f") (result i32) (i32.const 7)))')).exports.f())
"""
REFUSED = {
    (3, 12): "module _ctypes does not support loading in subinterpreters",
}
"""What another interpreter says, where it is not Wasmark that does."""


def lines(program: str) -> list[str]:
    """What a program writes."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr).strip().splitlines()


@pytest.mark.parametrize(("gil", "answer"), [("False", "ImportError: Wasmark needs the GIL"), ("True", "fine")])
def test_importing_is_refused_where_the_gil_is_off(gil: str, answer: str) -> None:
    assert answer in lines(f"import sys; sys._is_gil_enabled = lambda: {gil}; import wasmark; print('fine')")[-1]


def test_importing_is_refused_in_an_interpreter_beside_the_main_one() -> None:
    said, after = lines(IN_ANOTHER)
    assert "ImportError" in said
    assert REFUSED.get(sys.version_info[:2], "Wasmark needs the main interpreter") in said
    assert after == "7"
