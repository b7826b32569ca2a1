"""Every example runs as a user would start it, and prints what it is meant to show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import resvg

EXAMPLES = Path(__file__).parents[1] / "examples"

OUTPUTS = {
    "hello": r"42\n",
    "host_function": (
        r"  0 0\.000\n  1 1\.000\n  4 1\.414\n"
        r"  0 0\.000\n  1 1\.000\n  4 1\.414\n  9 1\.732\n"
        r"from the host function, through wasm: 4 is too much for me\n"
    ),
    "memory": r"WRITTEN BY PYTHON, SHOUTED BY WASM\n2 pages; the old view still reads WRITTEN\n",
    "component": r"Ada\ntoo young: Bob\narg 'who'\.age: expected u8, got 700\n",
    "trap": (
        r"52\n"
        r"wasm trap: integer divide by zero\n"
        r"(?=(?s:.*share.*split.*settle.*))(?:.*\n)+"
        r"\['share', 'split', 'settle'\] INTEGER_DIVISION_BY_ZERO\n"
    ),
    "addresses": (
        r"25\n"
        r"start \+ 0x\w+: ledger!share @ \+0x5 \(wasm offset 0x\w+\): integer divide by zero\n"
        r"start \+ 0x\w+: ledger!share @ \+0x5 \(wasm offset 0x\w+\): integer overflow\n"
    ),
    "registry_table": (
        r"385\nmodule +function +tier +start +end +bytes +traps\n[- ]+\n"
        r"(?=(?s:.*\bthunk\b.*\bfirst\b.*\boptimised\b))(?:squares +(?:square|sum) .*\n)+"
        r"\d+ bytes of optimised code\n"
    ),
    "explore": r"wrote mean\.html, \d\d,\d{3} bytes: open it in a browser, and point at an instruction\n",
    "traceback_frames": (
        r"2997\n<module>   shop\.exports\.order\(7, 1\)\norder      call \$total +;; 0x49\n"
        r"total      call \$price +;; 0x3d\nprice      return PRICES\[item\]\n"
    ),
    "symbols": (
        r"[\d.]+\nended with status 0\n\d+ _ZN3std4path4Path11to_path_buf17h\w+E\n"
        r"(    [\w:<>,&\[\] ]+ at /rustc/\w+/library/[\w/]+\.rs:\d+(:\d+)?\n)+"
        r"    std::path::Path::to_path_buf at /rustc/\w+/library/std/src/path\.rs:\d+:\d+\n"
    ),
    "deadline": (
        r"found an even number, with time left: True\n"
        r"wasm trap: interrupted: it took longer than 2 s\n.*guess!search.*\n.*guess!find_even.*\n"
        r"this deadline: True\nready: 1\n"
    ),
    "fuel": (
        r"25 primes below 100: 5,116 instructions\n168 primes below 1,000: 97,421 instructions\n"
        r"all fuel consumed in is_prime with 0 left\n"
    ),
    "plugin_host": (
        r"honest: 42\nendless took too long, in turn\nwrong failed: unreachable executed\n"
        r"tough took too long, in run\n"
        r"  Ctrl-C: once more to stop it\n  Ctrl-C: stopping it\nthe user stopped it\n"
    ),
    "core_dump": r"till\.core\.wasm has 65,\d{3} bytes\n",
    "crash_report": (
        r"the process ended by signal 11\nwasm frames on the stack, innermost first:\n"
        r"    plugin!inner at 0x\w{12}\n    plugin!run at 0x\w{12}\n    \(Python\)\n"
    ),
    "native_tools": (
        r"25\nmath!square \[first tier\]\nmath!square \[thunk\]\nmath!sum \[first tier\]\nmath!sum \[thunk\]\n"
    ),
    "profile": (
        r"1430 primes; open profile\.json with .* Most time in wasm was spent in\n"
        r"  <module> > search > search\.<locals>\.<genexpr> > primes!count > primes!is_prime\n"
    ),
    "assembler": r"(?s:.*)0000 259A(?s:.*)the assembler ended with status 0\nblink\.o has \d+ bytes\n",
    "render_svg": r"wrote picture\.png: 320 by 200 pixels, \d,\d{3} bytes\n",
    "draw_graph": (
        r"compiled 1,205 functions to machine code in [\d.]+ s\ndrew the graph in [\d.]+ ms\n"
        r"wrote graph\.svg: [\d,]+ bytes of SVG, 19 elements\n"
    ),
}

NEEDS = {"render_svg": lambda: resvg.component("resvg")}
"""What skips the test of an example where a program that it runs is not there."""


def test_every_example_is_known() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(OUTPUTS)


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_an_example_prints_what_it_is_meant_to_show(name: str, tmp_path: Path) -> None:
    if name in NEEDS:
        NEEDS[name]()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(OUTPUTS[name], done.stdout), done.stdout
