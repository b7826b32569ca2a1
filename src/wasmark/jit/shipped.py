"""What comes with the package ready-made, so that a first run needs no compiler: the runtime image, the stencils of the
first tier, and the stubs of many signatures.

It is an artefact that is made when a wheel is built (`baseline.shipping`), of code for every processor of
`runtime.processor.LEVEL`. It is only used with the sources that it was made from, and by a Python whose objects look as
they did there. Like the sources beside it, it is believed as it is.
"""

from __future__ import annotations

import functools
import mmap
import os

from wasmark.jit.artefact import Artefact, ArtefactError, decode
from wasmark.jit.digest import blake2b
from wasmark.jit.identity import python_objects, sources
from wasmark.runtime.image import load
from wasmark.runtime.processor import has_level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.runtime.image import LoadedImage, Resolve

PATH: Final = os.path.join(os.path.dirname(os.path.dirname(__file__)), "shipped", "x86_64.wasmark")
LIBRARY: Final = "library"


class Shipped:
    """The artefact, and the file that it is mapped from."""

    __slots__ = ("_descriptor", "artefact")

    def __init__(self, artefact: Artefact, descriptor: int) -> None:
        self.artefact = artefact
        self._descriptor = descriptor

    def load(self, name: str, resolve: Resolve) -> LoadedImage:
        """One of the images, in code memory; its pages are those of the file."""
        return load(self.artefact.images[name], resolve, (self._descriptor, self.artefact.offsets[name]))


def shipped_key() -> bytes:
    """What the artefact has to have been made from and for: 32 bytes."""
    state = blake2b(digest_size=32)
    for part in ("shipped", sources(), python_objects()):
        state.update(part.encode() + b"\0")
    return state.digest()


@functools.cache
def shipped() -> Shipped | None:
    """What there is; None where it is missing, was made from other sources, or is not for this processor."""
    if not has_level():
        return None
    try:
        descriptor = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        return Shipped(decode(memoryview(data), shipped_key(), checked=False), descriptor)
    except (ArtefactError, OSError, ValueError):
        os.close(descriptor)
        return None
