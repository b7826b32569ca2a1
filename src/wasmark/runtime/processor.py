"""What the kernel says of the processor, and the least that ready-made code asks of it."""

from __future__ import annotations

import functools
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LEVEL: Final = "x86-64-v2"
"""The processors that code which is made once for all is compiled for (x86-64 psABI, "Micro-Architecture Levels"): all
of the last fifteen years."""

_LEVEL_FLAGS: Final = frozenset(b"cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3".split())
_FIRST_RECORD: Final = 1 << 13


@functools.cache
def description() -> dict[bytes, bytes]:
    """The fields that `/proc/cpuinfo` has of the first processor; empty where there is no such file."""
    try:
        descriptor = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
        try:
            record = os.read(descriptor, _FIRST_RECORD)
        finally:
            os.close(descriptor)
    except OSError:
        return {}
    fields = (line.partition(b":") for line in record.split(b"\n\n", 1)[0].split(b"\n"))
    return {name.strip(): value.strip() for name, _, value in fields}


def has_level() -> bool:
    """Whether this processor runs code for LEVEL."""
    return set(description().get(b"flags", b"").split()) >= _LEVEL_FLAGS
