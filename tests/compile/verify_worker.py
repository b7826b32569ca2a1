"""Verifies the IR of many modules in a process of its own: LLVM may end the process over IR that is wrong enough.

Arguments: what to do ("official", "generated" or "stubs"), and names of scripts, seeds or signatures. Prints the name
of what it is at, and at last what it did, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.compile.ir import module_ir, verify
from tests.differential.generator import generate
from tests.spec.official import TESTSUITE
from wasmark.compile.image import runtime_image_ir
from wasmark.compile.stubs import stubs_ir
from wasmark.errors import Error, UnsupportedError
from wasmark.text.script import AssertModule, Command, DefineModule, ModuleSource, parse_script


def valid_modules(commands: list[Command]) -> Iterator[ModuleSource]:
    """The modules of a script that are valid, whatever becomes of them later."""
    for command in commands:
        if isinstance(command, DefineModule):
            yield command.source
        elif isinstance(command, AssertModule) and command.kind in ("unlinkable", "trap", "uninstantiable"):
            assert isinstance(command.module, ModuleSource)
            yield command.module


def official(name: str) -> Iterator[str]:
    """The IR of a script's modules; those that wait for something that is not here yet are left out."""
    for source in valid_modules(parse_script((TESTSUITE / name).read_text(encoding="utf-8"))):
        try:
            ir = module_ir(source.binary())
        except UnsupportedError:
            continue
        yield ir


def generated(seed: str) -> Iterator[str]:
    yield module_ir(generate(int(seed)).binary)


def stubs(signature: str) -> Iterator[str]:
    yield stubs_ir([signature])
    yield runtime_image_ir()


SOURCES: dict[str, Callable[[str], Iterator[str]]] = {"official": official, "generated": generated, "stubs": stubs}


def main(kind: str, names: list[str]) -> None:
    """Verify everything; ends the process with status 1 at the first thing that is wrong."""
    verified = 0
    for name in names:
        print(name, flush=True)
        try:
            for ir in SOURCES[kind](name):
                verify(ir)
                verified += 1
        except (Error, RuntimeError) as error:
            sys.exit(f"{Path(name).name}: {error}")
    print(json.dumps({"verified": verified}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
