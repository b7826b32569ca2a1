"""`Context`: all that the functions of one program's world share; they get it as their first argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.wasi.abi import Abi
    from wasmark.wasi.args import StringTable
    from wasmark.wasi.clock import Clocks
    from wasmark.wasi.descriptors import DescriptorTable


@dataclass(frozen=True, slots=True)
class Context:
    """`random` returns as many random bytes as it is asked for."""

    abi: Abi
    args: StringTable
    environ: StringTable
    table: DescriptorTable
    clocks: Clocks
    random: Callable[[int], bytes]
