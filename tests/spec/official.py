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

_SIMD: Final = re.compile(r"simd_|relaxed_|i8x16_|i16x8_|i32x4_")

_VERSION_3: Final = re.compile(
    "|".join(
        (
            r"array|struct|i31|extern\.|ref_(cast|eq|test)|br_on_cast|type-|binary-gc",  # garbage collection
            r"call_ref|ref_as_|br_on_n|local_init|table-sub",  # typed function references
            r"return_call",  # tail calls
            r"tag\.|throw|try_table|instance\.",  # exception handling
            r"(?![fi]64\.).*64[.-]",  # 64-bit addresses
            r".*[a-z_]\d\.|.*-multi|memory_size_import",  # several memories
        )
    )
)

COLLECTED: Final = [
    name for name in SCRIPTS if re.match(r"array|struct|i31|extern\.|ref|br_on|type-|table|global|elem|select", name)
]
"""The scripts that have to do with references."""

CORE: Final = [name for name in SCRIPTS if "/" not in name and not _SIMD.match(name) and not _VERSION_3.match(name)]
"""The scripts that are neither about SIMD nor about a part of 3.0 by their name."""

SIMD: Final = [name for name in SCRIPTS if _SIMD.match(name)]
"""The scripts about SIMD and relaxed SIMD."""
