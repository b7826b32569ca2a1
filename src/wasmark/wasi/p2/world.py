"""`World`: what the resources of one program share."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.wasi.context import Context


class World:
    """The descriptors and clocks of a program. `hash_key` keeps what goes into hashes of files a secret."""

    def __init__(self, ctx: Context) -> None:
        self.table = ctx.table
        self.clocks = ctx.clocks
        self._random = ctx.random

    @functools.cached_property
    def hash_key(self) -> bytes:
        """Made when a program asks for the first hash."""
        return self._random(16)
