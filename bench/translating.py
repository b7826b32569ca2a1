"""How many instructions a second Wasmark's own Python gets through: validating, and writing LLVM IR, without LLVM.

Beside plain CPython: the same with the modules that look at every instruction compiled by mypyc, in a copy of the
package. Each side runs in a process of its own, which is also this file.
"""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

sys.path.insert(0, __file__.rpartition("/")[0] or ".")

from measure import OURS, Goal, Row, UnavailableError

if TYPE_CHECKING:
    from programs import Program

_ROOT: Final = Path(__file__).resolve().parents[1]
_WRITERS: Final = tuple(
    f"compile/{name}.py" for name in ("writer", "function_memory", "function_objects", "function", "loop_entry")
)
"""What writes IR; a wheel has these as Python only, for they gain less."""

_LEAST_VALIDATED: Final = 500_000
_LEAST_TRANSLATED: Final = 250_000
"""Instructions a second."""


class _Answer(NamedTuple):
    """Instructions of a program, and the seconds of processor time that they took."""

    count: int
    validating: float
    writing: float


@dataclass
class Translating:
    """A program, as two rows: validation, and both."""

    program: Program
    kind: str = "instructions"

    @property
    def name(self) -> str:
        return self.program.name

    def measure(self, rounds: int) -> list[Row]:
        """One run of each side for each round, at most three."""
        path = self.program.path()
        sides = {OURS: _ROOT / "src"}
        try:
            sides["mypyc"] = Path(_compiled().name)
        except UnavailableError as error:
            print(error)
        answers: dict[str, list[_Answer]] = {side: [] for side in sides}
        for _ in range(min(rounds, 3)):
            for side, source in sides.items():
                answers[side].append(_run(source, path))
        count = answers[OURS][0].count
        validating = {side: statistics.median(a.validating for a in of) for side, of in answers.items()}
        both = {side: statistics.median(a.validating + a.writing for a in of) for side, of in answers.items()}
        return [
            self._row("validated", count, validating, _LEAST_VALIDATED),
            self._row("validated, IR written", count, both, _LEAST_TRANSLATED),
        ]

    def _row(self, what: str, count: int, seconds: dict[str, float], least: int) -> Row:
        rates = ", ".join(f"{side} {count / value / 1e3:,.0f}" for side, value in seconds.items())
        note = f"{count / 1e6:.1f} M instructions; thousand/s: {rates}; goal {least / 1e3:,.0f}"
        return Row(self.kind, f"{self.name}, {what}", "s", seconds, (Goal(None, count / least),), note)


@functools.cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """A copy of the package with compiled modules."""
    sys.path.insert(0, str(_ROOT))
    try:
        from hatch_build import HOT_MODULES, compile_modules
    finally:
        sys.path.remove(str(_ROOT))
    directory = tempfile.TemporaryDirectory()
    try:
        compile_modules(_ROOT / "src", Path(directory.name), HOT_MODULES + _WRITERS)
    except subprocess.CalledProcessError as error:
        directory.cleanup()
        raise UnavailableError(f"mypyc does not compile: {(error.stdout.splitlines() or ['no answer'])[-1]}") from None
    return directory


def _run(source: Path, path: Path) -> _Answer:
    command = [sys.executable, __file__, str(source), str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return _Answer(*json.loads(done.stdout))


def main() -> None:
    """The process of one side; its arguments are where the package lies, and a wasm file."""
    source, path = sys.argv[1:]
    sys.path.insert(0, source)
    import wasmark

    assert Path(wasmark.__file__).is_relative_to(source)
    from wasmark.binary import decode_body, decode_module
    from wasmark.compile.check import layout_of, validate_bodies
    from wasmark.compile.module import batch_ir, batches
    from wasmark.compile.writer import ModuleContext

    model = decode_module(Path(path).read_bytes())
    count = sum(len(decode_body(model, function.start, function.end)) for function in model.functions)
    start = time.process_time()
    validator, layout = layout_of(model, wasmark.Config().features)
    validate_bodies(model, validator)
    validated = time.process_time()
    context = ModuleContext(model, layout, "m0.")
    for batch in batches(model):
        batch_ir(context, batch)
    print(json.dumps([count, validated - start, time.process_time() - validated]))


if __name__ == "__main__":
    main()
else:
    import programs

    CASES = (Translating(programs.ESBUILD), Translating(programs.CPYTHON))
