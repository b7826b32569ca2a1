"""`Codec`: how the values of a stream or future get out of a guest and into one."""

from __future__ import annotations

from wasmark.component.abi.domains import HostDomain, TransitDomain
from wasmark.component.abi.lifting import Lifting
from wasmark.component.abi.lowering import Lowering
from wasmark.component.abi.source import Lines, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
    from wasmark.component.abi.signatures import Options
    from wasmark.component.classes import Namer


class Codec:
    """How values of a type are read from a guest (`load(guest, address, count)`) and written into one (`store(guest,
    values, address)`): for Python where there is a `namer`, else for another guest. `resources` are the types that the
    guest's `resources` have to have."""

    __slots__ = ("load", "resources", "store")

    def __init__(self, element: T.ValType, options: Options, namer: Namer | None) -> None:
        source = Source()
        domain: Any = TransitDomain() if namer is None else HostDomain(namer)
        load = Lifting(source, options.layout, options.encoding, domain).elements(element)
        store = Lowering(source, options.layout, options.encoding, domain).elements(element)
        lines = Lines("def codec():")
        lines.add(f"return {load}, {store}")
        self.load, self.store = source.compile(lines, "codec", "<canonical ABI of a stream or future>")()
        self.resources: tuple[Any, ...] = tuple(domain.resources)
