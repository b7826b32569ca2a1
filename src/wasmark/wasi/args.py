"""Arguments and environment variables."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory


class StringTable:
    """Strings as a program sees them: `items`, and for preview 1 one block of NUL-terminated bytes,
    and an array of pointers into it."""

    def __init__(self, strings: Iterable[bytes]) -> None:
        self.items = tuple(strings)
        self.count = len(self.items)
        self.block = b"".join(item + b"\0" for item in self.items)
        self._offsets: list[int] = []
        offset = 0
        for item in self.items:
            self._offsets.append(offset)
            offset += len(item) + 1

    def put(self, memory: GuestMemory, pointers: int, block: int) -> None:
        """Write the array at `pointers` and the bytes at `block`."""
        memory.check(pointers, 4 * self.count)
        memory.check(block, len(self.block))
        memory.write(pointers, b"".join((block + offset).to_bytes(4, "little") for offset in self._offsets))
        memory.write(block, self.block)

    def put_sizes(self, memory: GuestMemory, count: int, size: int) -> None:
        """Write how many strings there are and how long the block is."""
        memory.check(count, 4)
        memory.check(size, 4)
        memory.put_u32(count, self.count)
        memory.put_u32(size, len(self.block))


def encode(text: str | bytes, what: str) -> bytes:
    """`text` as the program will see it: UTF-8, or the very bytes that Python got from the system."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    if b"\0" in data:
        raise ValueError(f"{what} contains a NUL byte: {text!r}")
    return data


def argument_table(args: Iterable[str | bytes]) -> StringTable:
    """The arguments, the program's own name first. Raises ValueError for one that cannot be passed."""
    if isinstance(args, (str, bytes)):
        raise TypeError(f"args must be a sequence of strings, not one: {args!r}")
    return StringTable(encode(arg, "argument") for arg in args)


def environment_table(env: Mapping[str, str]) -> StringTable:
    """The variables as `NAME=value`. Raises ValueError for one that cannot be passed."""
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"not a name for an environment variable: {name!r}")
    return StringTable(encode(f"{name}={value}", "environment variable") for name, value in env.items())


def args_get(ctx: Context, memory: GuestMemory, argv: int, argv_buf: int) -> None:
    ctx.args.put(memory, argv, argv_buf)


def args_sizes_get(ctx: Context, memory: GuestMemory, argc: int, argv_buf_size: int) -> None:
    ctx.args.put_sizes(memory, argc, argv_buf_size)


def environ_get(ctx: Context, memory: GuestMemory, environ: int, environ_buf: int) -> None:
    ctx.environ.put(memory, environ, environ_buf)


def environ_sizes_get(ctx: Context, memory: GuestMemory, count: int, environ_buf_size: int) -> None:
    ctx.environ.put_sizes(memory, count, environ_buf_size)
