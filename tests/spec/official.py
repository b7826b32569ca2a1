"""The scripts of the official testsuite, which lies beside the repository, and which of them are about what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

TESTSUITE: Final = Path(__file__).resolve().parents[3] / "shared" / "testsuite"

GROUPS: Final = {
    "": "The standard",
    "custom": "Custom sections and their annotations",
    "legacy": "Exceptions as they were before the standard",
    "proposals/threads": "Threads",
    "proposals/wide-arithmetic": "Wide arithmetic",
    "proposals/custom-page-sizes": "Custom page sizes",
}
"""The folders whose scripts are run, and what they are about."""

IN_GROUP: Final = {
    group: [path.relative_to(TESTSUITE).as_posix() for path in sorted((TESTSUITE / group).glob("*.wast"))]
    for group in GROUPS
}
"""The scripts of each folder, by their paths in the testsuite."""

SCRIPTS: Final = [name for names in IN_GROUP.values() for name in names]
"""All of them."""

needs_testsuite: Final = pytest.mark.skipif(not SCRIPTS, reason="the official testsuite is not at ../shared/testsuite")

COLLECTED: Final = [
    name
    for name in SCRIPTS
    if re.match(r"array|struct|i31|extern\.|ref|br_on|type-|table|global|elem|select|tag|throw|try|legacy", name)
]
"""The scripts that have to do with references."""
