"""The images that depend on no module: the runtime's, and those of stubs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmark.compile.image import runtime_image_ir
from wasmark.compile.llvm import compile_ir
from wasmark.compile.stubs import stubs_ir
from wasmark.runtime.elf import make_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmark.runtime.image import Image


def runtime_image() -> Image:
    """The image that is installed once a process."""
    return make_image([compile_ir(runtime_image_ir(), portable=True)])


def stubs_image(signatures: Iterable[str]) -> Image:
    """All stubs of each signature."""
    return make_image([compile_ir(stubs_ir(signatures), portable=True)])
