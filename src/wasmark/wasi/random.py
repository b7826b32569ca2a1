"""Random bytes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory

_PIECE: Final = 1 << 16


def random_get(ctx: Context, memory: GuestMemory, buf: int, buf_len: int) -> None:
    window = memory.window(buf, buf_len)
    for start in range(0, buf_len, _PIECE):
        size = min(_PIECE, buf_len - start)
        window[start : start + size] = ctx.random(size)
