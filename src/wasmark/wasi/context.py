"""`Context`: all that the functions of one program's world share; they get it as their first argument."""

from __future__ import annotations

from wasmark.core.record import FrozenRecord, set_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.wasi.abi import Abi
    from wasmark.wasi.args import StringTable
    from wasmark.wasi.clock import Clocks
    from wasmark.wasi.descriptors import DescriptorTable


class Context(FrozenRecord):
    """`random` returns as many random bytes as it is asked for."""

    __slots__ = ("abi", "args", "clocks", "environ", "random", "table")

    abi: Abi
    args: StringTable
    environ: StringTable
    table: DescriptorTable
    clocks: Clocks
    random: Callable[[int], bytes]

    def __init__(
        self,
        abi: Abi,
        args: StringTable,
        environ: StringTable,
        table: DescriptorTable,
        clocks: Clocks,
        random: Callable[[int], bytes],
    ) -> None:
        set_(self, "abi", abi)
        set_(self, "args", args)
        set_(self, "environ", environ)
        set_(self, "table", table)
        set_(self, "clocks", clocks)
        set_(self, "random", random)

    def with_abi(self, abi: Abi) -> Context:
        """The same world, spoken to in another version of the interface."""
        return Context(abi, self.args, self.environ, self.table, self.clocks, self.random)
