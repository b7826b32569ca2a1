"""`Config`: what an engine is allowed and told to do. Immutable, so that an engine can be shared without surprises."""

from __future__ import annotations

from wasmark.core.features import Feature
from wasmark.core.flavour import Flavour
from wasmark.core.record import FrozenRecord, set_
from wasmark.errors import wrong_type
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

STRATEGIES = ("eager", "baseline", "lazy")
RELAXED_SIMD = ("native", "deterministic")

_MOST = (1 << 63) - 1

_CHOICES = {"strategy": STRATEGIES, "relaxed_simd": RELAXED_SIMD}
_RANGES = {
    "tier_up": (0, (1 << 31) - 1),
    "max_wasm_stack": (16 << 10, _MOST),
    "max_memory_bytes": (0, _MOST),
    "max_table_elements": (0, _MOST),
    "cache_limit": (0, _MOST),
    "compile_processes": (1, 1 << 16),
    "max_heap_bytes": (0, (1 << 44) - 1),
}
"""The least and the most that a number may be."""
_MAY_BE_NONE = ("tier_up", "compile_processes")


class Config(FrozenRecord):
    """How an engine compiles and what its code may use.

    strategy: "eager" compiles a whole module when it is made, with all that LLVM has to offer; "baseline" does the same
    with the first tier alone, which is ready many times sooner and whose code is some times slower; "lazy" uses
    the first tier for each function when it is called first (a large module's functions are validated then, too).
    tier_up: how many calls and turns of loops make a function of a lazy module worth LLVM's time; None: it never is.
    tier_up_in_background: whether code goes on in the first tier until it is ready, in another process; otherwise
    it waits, and LLVM runs in this one.
    max_wasm_stack: bytes of native stack that wasm code (and host functions between) may use in one outermost call.
    max_memory_bytes: upper bound of any one linear memory; `memory.grow` beyond it answers -1.
    max_table_elements: upper bound of any one table, likewise.
    relaxed_simd: what relaxed SIMD instructions do where the standard leaves a choice, always the same: "native" is
    what this processor does best, "deterministic" is what the standard's deterministic profile says.
    max_heap_bytes: upper bound of the memory that the garbage-collected objects of one store take; an allocation that
    does not fit after a collection traps.
    collect_always: whether to collect before every allocation, which finds references that nobody keeps. It is slow.
    fuel: whether code counts the instructions that it executes, and traps when `Store.fuel` is used up. The count is
    the same wherever and however often a program runs; code takes longer for it.
    features: the proposals whose instructions and types a module may use.
    cache: whether compiled code is kept on disk for the next process, or the directory for it; True means
    `$XDG_CACHE_HOME/wasmark` or `~/.cache/wasmark`.
    cache_limit: bytes that the directory may hold; beyond it, what was not used for the longest time is removed.
    compile_processes: how many processes compile a large module; None means one for each processor, at most 8.
    debug_info: whether Python's tracebacks, and traps as text, name source files and lines where a module has DWARF
    (`FrameInfo.symbols` does in any case). The first exception that leaves a large module then takes a moment longer.
    It needs the `debug` extra, without which it raises Error.
    """

    __slots__ = (
        "cache",
        "cache_limit",
        "collect_always",
        "compile_processes",
        "debug_info",
        "features",
        "fuel",
        "max_heap_bytes",
        "max_memory_bytes",
        "max_table_elements",
        "max_wasm_stack",
        "relaxed_simd",
        "strategy",
        "tier_up",
        "tier_up_in_background",
    )

    strategy: str
    tier_up: int | None
    tier_up_in_background: bool
    max_wasm_stack: int
    max_memory_bytes: int
    max_table_elements: int
    relaxed_simd: str
    max_heap_bytes: int
    collect_always: bool
    fuel: bool
    features: frozenset[Feature]
    cache: bool | str | os.PathLike[str]
    cache_limit: int
    compile_processes: int | None
    debug_info: bool

    def __init__(
        self,
        strategy: str = "lazy",
        tier_up: int | None = 1_000,
        tier_up_in_background: bool = True,
        max_wasm_stack: int = 1 << 20,
        max_memory_bytes: int = 1 << 32,
        max_table_elements: int = 10_000_000,
        relaxed_simd: str = "native",
        features: Iterable[Feature] = frozenset(Feature),
        cache: bool | str | os.PathLike[str] = True,
        cache_limit: int = 2 << 30,
        compile_processes: int | None = None,
        max_heap_bytes: int = 1 << 30,
        collect_always: bool = False,
        debug_info: bool = False,
        fuel: bool = False,
    ) -> None:
        set_(self, "strategy", strategy)
        set_(self, "tier_up", tier_up)
        set_(self, "tier_up_in_background", tier_up_in_background)
        set_(self, "max_wasm_stack", max_wasm_stack)
        set_(self, "max_memory_bytes", max_memory_bytes)
        set_(self, "max_table_elements", max_table_elements)
        set_(self, "relaxed_simd", relaxed_simd)
        set_(self, "features", frozenset(features))
        set_(self, "cache", cache)
        set_(self, "cache_limit", cache_limit)
        set_(self, "compile_processes", compile_processes)
        set_(self, "debug_info", debug_info)
        set_(self, "max_heap_bytes", max_heap_bytes)
        set_(self, "collect_always", collect_always)
        set_(self, "fuel", fuel)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; known: {', '.join(map(repr, known))}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _MAY_BE_NONE:
                continue
            if not isinstance(value, int):
                raise wrong_type(f"an int for {name}", value)
            if not least <= value <= most:
                raise ValueError(f"{name} is from {least:,} to {most:,}, not {value:,}")
        for feature in self.features:
            if not isinstance(feature, Feature):
                raise wrong_type("a Feature", feature)
        if self.debug_info:
            late_import("wasmark.debug.symbols")
            from wasmark.debug.symbols import require_debug_extra

            require_debug_extra()

    def __repr__(self) -> str:
        """What is not as it is in any other: `Config(strategy='eager')`."""
        standard = Config()
        fields = ((name, getattr(self, name)) for name in self.field_names)
        differences = (f"{name}={value!r}" for name, value in fields if value != getattr(standard, name))
        return f"Config({', '.join(differences)})"

    @property
    def flavour(self) -> Flavour:
        """What compilers have to know of it."""
        return Flavour(self.relaxed_simd == "deterministic", self.fuel)
