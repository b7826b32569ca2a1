"""The scripts of the component model's tests, which lie beside the repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from wasmark.text.script import AssertModule, DefineModule, ModuleSource, parse_script

TESTSUITE: Final = Path(__file__).resolve().parents[3] / "shared" / "component-testsuite"

ABOUT_FORM: Final = ("binary", "validation")
"""Folders of scripts that run little: how their modules are compiled makes no difference to them."""
ABOUT_CALLS: Final = ("values", "resources", "linking", "async")
"""Folders of scripts that run what they define."""


def scripts(*folders: str) -> list[str]:
    """The scripts of some folders, by their paths in the testsuite."""
    return [f"{folder}/{path.name}" for folder in folders for path in sorted((TESTSUITE / folder).glob("*.wast"))]


needs_testsuite: Final = pytest.mark.skipif(
    not scripts(*ABOUT_FORM), reason="the component model's tests are not at ../shared/component-testsuite"
)


def sources(name: str) -> Iterator[tuple[int, ModuleSource, str]]:
    """(line, source, what is asserted of it: "" for a definition) of the components of a script."""
    for command in parse_script((TESTSUITE / name).read_bytes().decode()):
        if isinstance(command, DefineModule):
            yield command.line, command.source, ""
        elif isinstance(command, AssertModule) and isinstance(command.module, ModuleSource):
            yield command.line, command.module, command.kind
