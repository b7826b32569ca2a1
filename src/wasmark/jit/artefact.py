"""Artefacts: compiled code as bytes, in a file or not. Everything that is written or read in this format is in here.

    header      magic, version of the format, size of the contents table, size of the whole, key, checksum
    contents    plain values (`marshal`): information, images, named runs of bytes
    the runs    of images and blobs; an image starts at a page, so that it can be mapped

The checksum covers all but itself: what was cut off, or damaged anywhere, is noticed before anything of it is used.
It is no signature. Who can write a valid artefact can write any machine code into it.
"""

from __future__ import annotations

import marshal
import struct
from array import array

from wasmark.errors import Error
from wasmark.jit.digest import blake2b
from wasmark.runtime.code_memory import PAGE_SIZE
from wasmark.runtime.image import Image, pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.runtime.image import Buffer

MAGIC: Final = b"WASMARK\0"
FORMAT: Final = 1
_HEADER: Final = struct.Struct("<8sIIQ32s32s")
_UNCHECKED: Final = 32  # the checksum stands at the end of the header
_MARSHAL_VERSION: Final = 2  # later ones write references, where equal values come out as different bytes


class ArtefactError(Error):
    """The bytes are not an artefact of this format, or they are damaged."""


class Artefact:
    """info: small plain values. images and blobs: by name. key: what it was made from and for (32 bytes).

    Of a parsed artefact, images and blobs are views of the given buffer, and `offsets` says where in it each image's
    contents start.
    """

    __slots__ = ("blobs", "images", "info", "key", "offsets")

    def __init__(
        self,
        key: bytes,
        info: dict[str, Any],
        images: dict[str, Image],
        blobs: dict[str, Buffer],
        offsets: dict[str, int] | None = None,
    ) -> None:
        self.key = key
        self.info = info
        self.images = images
        self.blobs = blobs
        self.offsets = {} if offsets is None else offsets


def encode(artefact: Artefact) -> bytes:
    """The bytes of an artefact."""
    runs: list[tuple[int, Buffer]] = []  # (offset from the first run, contents)
    end = 0

    def place(data: Buffer, alignment: int) -> tuple[int, int]:
        nonlocal end
        offset = (end + alignment - 1) & -alignment
        runs.append((offset, data))
        end = offset + len(data)
        return offset, len(data)

    images = [
        (
            name,
            place(image.content, PAGE_SIZE)[0],
            image.text_size,
            image.rodata_size,
            list(image.fixups),
            image.symbols,
            [(start, stop, *place(program, 8)) for start, stop, program in image.lines],
        )
        for name, image in artefact.images.items()
    ]
    blobs = [(name, *place(data, 8)) for name, data in artefact.blobs.items()]
    contents = marshal.dumps((artefact.info, images, blobs), _MARSHAL_VERSION)
    first = pages(_HEADER.size + len(contents))
    size = first + end
    out = bytearray(size)
    _HEADER.pack_into(out, 0, MAGIC, FORMAT, len(contents), size, artefact.key, bytes(_UNCHECKED))
    out[_HEADER.size : _HEADER.size + len(contents)] = contents
    for offset, data in runs:
        out[first + offset : first + offset + len(data)] = data
    out[_HEADER.size - _UNCHECKED : _HEADER.size] = _checksum(memoryview(out))
    return bytes(out)


def _checksum(data: memoryview) -> bytes:
    state = blake2b(data[: _HEADER.size - _UNCHECKED], digest_size=_UNCHECKED)
    state.update(data[_HEADER.size :])
    return state.digest()


def is_artefact(data: Buffer) -> bool:
    """Whether bytes claim to be an artefact, of any version."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def decode(data: memoryview, key: bytes | None = None, *, checked: bool = True) -> Artefact:
    """The artefact in `data`, which has to stay as it is while the artefact is in use.

    Where not `checked`, the checksum is left alone. Raises ArtefactError where it is no artefact of this format, was
    made under another key than `key`, or is damaged.
    """
    if len(data) < _HEADER.size:
        raise ArtefactError("not an artefact: too short")
    magic, format_, contents_size, size, found, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ArtefactError("not an artefact")
    if format_ != FORMAT:
        raise ArtefactError(f"an artefact of format {format_}; this version knows format {FORMAT}")
    if key is not None and found != key:
        raise ArtefactError("an artefact of something else")
    if size != len(data) or _HEADER.size + contents_size > size:
        raise ArtefactError(f"damaged artefact: it has {len(data)} bytes instead of {size}")
    if checked and _checksum(data) != checksum:
        raise ArtefactError("damaged artefact: its checksum is wrong")
    try:
        return _parse(data, found, contents_size)
    except (ValueError, TypeError, EOFError):
        raise ArtefactError("damaged artefact: its contents table makes no sense") from None


def _parse(data: memoryview, key: bytes, contents_size: int) -> Artefact:
    info, image_rows, blob_rows = marshal.loads(data[_HEADER.size : _HEADER.size + contents_size])
    first = pages(_HEADER.size + contents_size)
    data = data.toreadonly()

    def run(offset: int, size: int) -> memoryview:
        if not 0 <= offset <= first + offset + size <= len(data):
            raise ValueError("a run leaves the file")
        return data[first + offset : first + offset + size]

    images: dict[str, Image] = {}
    offsets: dict[str, int] = {}
    for name, offset, text_size, rodata_size, fixups, symbols, lines in image_rows:
        content = run(offset, pages(text_size) + rodata_size)
        offsets[name] = first + offset
        images[name] = Image(
            content,
            text_size,
            rodata_size,
            fixups,
            symbols,
            lines=[(start, stop, run(at, length)) for start, stop, at, length in lines],
        )
    return Artefact(key, info, images, {name: run(at, length) for name, at, length in blob_rows}, offsets)


def numbers(blob: Buffer) -> array[int]:
    """A run of 32-bit numbers."""
    found = array("I")
    found.frombytes(blob)
    return found
