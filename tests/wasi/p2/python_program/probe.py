"""What can be done with files, and what came of it, so that two worlds can be compared."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import Any


def probe(root: str) -> list[Any]:
    """Use files below `root`. An error is told by its name."""
    found: list[Any] = []

    def path(name: str) -> str:
        return os.path.join(root, name)

    def tell(action: Any) -> None:
        try:
            found.append(action())
        except OSError as error:
            found.append(errno.errorcode.get(error.errno or 0, "?"))

    def write(name: str, data: bytes, mode: str = "wb") -> int:
        with open(path(name), mode) as file:
            return file.write(data)

    def read(name: str) -> str:
        with open(path(name), "rb") as file:
            return file.read().hex()

    def kind(name: str, *, follow: bool = True) -> Any:
        st = os.stat(path(name), follow_symlinks=follow)
        return [stat.S_IFMT(st.st_mode), st.st_size if stat.S_ISREG(st.st_mode) else 0, st.st_mtime_ns // 10**9]

    def seek() -> Any:
        with open(path("a"), "r+b", buffering=0) as file:
            file.seek(3)
            file.write(b"XY")
            file.seek(-2, os.SEEK_END)
            last = file.read(5)
            file.truncate(4)
            return [last.hex(), file.tell(), os.fstat(file.fileno()).st_size]

    tell(lambda: write("a", b"0123456789"))
    tell(seek)
    tell(lambda: write("a", b"!", "ab"))
    tell(lambda: read("a"))
    tell(lambda: write("large", bytes(range(256)) * 4096))
    tell(lambda: len(read("large")))
    tell(lambda: write("a", b"", "xb"))
    tell(lambda: read("nothing"))
    tell(lambda: os.makedirs(path("d/e/f")))
    tell(lambda: write("d/e/inner", b"inner"))
    tell(lambda: sorted(os.listdir(path("d/e"))))
    tell(lambda: os.listdir(path("a")))
    tell(lambda: os.rmdir(path("d/e")))
    tell(lambda: os.unlink(path("d/e")))
    tell(lambda: os.symlink("e/inner", path("d/soft")))
    tell(lambda: os.readlink(path("d/soft")))
    tell(lambda: read("d/soft"))
    tell(lambda: os.link(path("a"), path("second")))
    tell(lambda: os.stat(path("a")).st_nlink)
    tell(lambda: os.path.samefile(path("a"), path("second")))
    tell(lambda: os.rename(path("second"), path("d/moved")))
    tell(lambda: os.utime(path("a"), (5, 7)))
    tell(lambda: kind("a"))
    tell(lambda: kind("d/soft", follow=False)[0])
    tell(lambda: kind("d")[0])
    tell(lambda: sorted((os.path.relpath(where, root), sorted(names), sorted(files))
                        for where, names, files in os.walk(root)))  # fmt: skip
    tell(lambda: shutil.copytree(path("d"), path("copy"), symlinks=True) and sorted(os.listdir(path("copy"))))
    tell(lambda: shutil.rmtree(path("copy")))
    tell(lambda: os.path.exists(path("copy")))
    return found
