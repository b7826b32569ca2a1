"""THE table of preview 1: one row a function, and the one way in from wasm.

A row names the function, its parameter types and what implements it. Implementations get the world, the memory, and
the arguments as unsigned integers; they return on success and raise `WasiError` or `OSError` on failure.
`host_functions` wraps them into what wasm calls: signed integers in, an error code out, the memory given back on
every way out. Any other exception (`Exit`, `KeyboardInterrupt`, or one of the embedder's own objects) passes through.
"""

from __future__ import annotations

from wasmark.core.record import FrozenRecord, set_
from wasmark.wasi import args, clock, fd, fdio, path, poll, proc, random, sock
from wasmark.wasi.abi import WasiError, from_os_error
from wasmark.wasi.memory import GuestMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from wasmark.wasi.context import Context

    Implementation = Callable[..., None]


_MASKS: Final = {"i32": 0xFFFF_FFFF, "i64": 0xFFFF_FFFF_FFFF_FFFF}


class HostFunction(FrozenRecord):
    """A function for wasm to import. `params` and `results` are type names such as "i32".

    `call` takes as many signed integers as there are parameters and returns one, or None where there is no result.
    """

    __slots__ = ("call", "name", "params", "results")

    name: str
    params: tuple[str, ...]
    results: tuple[str, ...]
    call: Callable[..., int | None]

    def __init__(
        self, name: str, params: tuple[str, ...], results: tuple[str, ...], call: Callable[..., int | None]
    ) -> None:
        set_(self, "name", name)
        set_(self, "params", params)
        set_(self, "results", results)
        set_(self, "call", call)


class Row(FrozenRecord):
    """One function of the interface. All but `proc_exit` return an error code.

    masks: what makes an unsigned number of each argument.
    """

    __slots__ = ("implementation", "masks", "name", "params", "results")

    name: str
    params: str
    implementation: Implementation
    results: str
    masks: tuple[int, ...]

    def __init__(self, name: str, params: str, implementation: Implementation, results: str = "i32") -> None:
        set_(self, "name", name)
        set_(self, "params", params)
        set_(self, "implementation", implementation)
        set_(self, "results", results)
        set_(self, "masks", tuple(_MASKS[param] for param in params.split()))


ROWS: Final = (
    Row("args_get", "i32 i32", args.args_get),
    Row("args_sizes_get", "i32 i32", args.args_sizes_get),
    Row("clock_res_get", "i32 i32", clock.clock_res_get),
    Row("clock_time_get", "i32 i64 i32", clock.clock_time_get),
    Row("environ_get", "i32 i32", args.environ_get),
    Row("environ_sizes_get", "i32 i32", args.environ_sizes_get),
    Row("fd_advise", "i32 i64 i64 i32", fd.fd_advise),
    Row("fd_allocate", "i32 i64 i64", fd.fd_allocate),
    Row("fd_close", "i32", fd.fd_close),
    Row("fd_datasync", "i32", fd.fd_datasync),
    Row("fd_fdstat_get", "i32 i32", fd.fd_fdstat_get),
    Row("fd_fdstat_set_flags", "i32 i32", fd.fd_fdstat_set_flags),
    Row("fd_fdstat_set_rights", "i32 i64 i64", fd.fd_fdstat_set_rights),
    Row("fd_filestat_get", "i32 i32", fd.fd_filestat_get),
    Row("fd_filestat_set_size", "i32 i64", fd.fd_filestat_set_size),
    Row("fd_filestat_set_times", "i32 i64 i64 i32", fd.fd_filestat_set_times),
    Row("fd_pread", "i32 i32 i32 i64 i32", fdio.fd_pread),
    Row("fd_prestat_dir_name", "i32 i32 i32", fd.fd_prestat_dir_name),
    Row("fd_prestat_get", "i32 i32", fd.fd_prestat_get),
    Row("fd_pwrite", "i32 i32 i32 i64 i32", fdio.fd_pwrite),
    Row("fd_read", "i32 i32 i32 i32", fdio.fd_read),
    Row("fd_readdir", "i32 i32 i32 i64 i32", fd.fd_readdir),
    Row("fd_renumber", "i32 i32", fd.fd_renumber),
    Row("fd_seek", "i32 i64 i32 i32", fdio.fd_seek),
    Row("fd_sync", "i32", fd.fd_sync),
    Row("fd_tell", "i32 i32", fdio.fd_tell),
    Row("fd_write", "i32 i32 i32 i32", fdio.fd_write),
    Row("path_create_directory", "i32 i32 i32", path.path_create_directory),
    Row("path_filestat_get", "i32 i32 i32 i32 i32", path.path_filestat_get),
    Row("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32", path.path_filestat_set_times),
    Row("path_link", "i32 i32 i32 i32 i32 i32 i32", path.path_link),
    Row("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", path.path_open),
    Row("path_readlink", "i32 i32 i32 i32 i32 i32", path.path_readlink),
    Row("path_remove_directory", "i32 i32 i32", path.path_remove_directory),
    Row("path_rename", "i32 i32 i32 i32 i32 i32", path.path_rename),
    Row("path_symlink", "i32 i32 i32 i32 i32", path.path_symlink),
    Row("path_unlink_file", "i32 i32 i32", path.path_unlink_file),
    Row("poll_oneoff", "i32 i32 i32 i32", poll.poll_oneoff),
    Row("proc_exit", "i32", proc.proc_exit, results=""),
    Row("proc_raise", "i32", proc.proc_raise),
    Row("random_get", "i32 i32", random.random_get),
    Row("sched_yield", "", proc.sched_yield),
    Row("sock_accept", "i32 i32 i32", sock.not_a_socket),
    Row("sock_recv", "i32 i32 i32 i32 i32 i32", sock.not_a_socket),
    Row("sock_send", "i32 i32 i32 i32 i32", sock.not_a_socket),
    Row("sock_shutdown", "i32 i32", sock.not_a_socket),
)

BY_NAME: Final = {row.name: row for row in ROWS}

NOT_IMPLEMENTED: Final = ("proc_raise",)
"""The functions that only ever return `ENOSYS`."""


def host_functions(ctx: Context, get_memory: Callable[[], memoryview]) -> dict[str, HostFunction]:
    """Every function of the ABI version in `ctx`, by name."""
    return {
        row.name: HostFunction(
            row.name, tuple(row.params.split()), tuple(row.results.split()), bind(row, ctx, get_memory)
        )
        for row in ROWS
        if row.name not in ctx.abi.absent
    }


def bind(row: Row, ctx: Context, get_memory: Callable[[], memoryview]) -> Callable[..., int | None]:
    """The `call` of a `HostFunction`."""
    implementation, masks = row.implementation, row.masks

    def call(*arguments: int) -> int | None:
        memory = GuestMemory(get_memory())
        try:
            implementation(ctx, memory, *[value & mask for value, mask in zip(arguments, masks, strict=True)])
        except WasiError as error:
            return int(error.code)
        except OSError as error:
            return int(from_os_error(error))
        finally:
            memory.release()
        return 0

    call.__name__ = call.__qualname__ = row.name
    return call
