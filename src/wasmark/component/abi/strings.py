"""Strings in the memories of guests, in each of their encodings, and from one encoding to another (CanonicalABI.md,
`load_string`, `store_string`).

A string on its way between guests is a `Transit`: how many code units it had decides how much memory the other one
reserves for it at first. A Python string has no such past; its exact size is known at once.
"""

from __future__ import annotations

from wasmark.component.abi.guest import LATIN1_UTF16, UTF8, UTF16
from wasmark.component.abi.layout import MAX_BYTES
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NamedTuple, NoReturn

    from wasmark.component.abi.guest import Guest
else:
    from wasmark.core.record import NamedTuple

_LATIN1: Final = "latin1"
_CODE: Final = ComponentTrapCode.STRING_OUT_OF_BOUNDS


class Transit(NamedTuple):
    """A string that comes from a guest: its text, which of utf8, utf16 and latin1 it was in, and its code units there.

    `of` is the guest's encoding: latin1+utf16 says more of a string than each of the two alone."""

    text: str
    simple: str
    units: int
    of: str


# --- out of memory --------------------------------------------------------------------------------


def load_utf8(guest: Guest, start: int, size: int) -> str:
    """The string of `size` bytes at `start`."""
    if start + size > guest.length or size > MAX_BYTES:
        _check(guest, start, size, 1)
    try:
        return str(guest.view[start : start + size], "utf-8")
    except UnicodeDecodeError as error:
        _invalid(error)


def load_utf16(guest: Guest, start: int, units: int) -> str:
    """The string of so many code units."""
    size = 2 * units
    _check(guest, start, size, 2)
    try:
        return str(guest.view[start : start + size], "utf-16-le")
    except UnicodeDecodeError as error:
        _invalid(error)


def load_latin1_utf16(guest: Guest, start: int, units: int) -> str:
    """The string of so many code units, of either encoding: the highest bit says of which."""
    tag = _tag(guest)
    if units & tag:
        return load_utf16(guest, start, units ^ tag)
    _check(guest, start, units, 2)
    return str(guest.view[start : start + units], "latin-1")


def _check(guest: Guest, start: int, size: int, alignment: int) -> None:
    if size > MAX_BYTES:
        # Only a memory that large could have it at all.
        guest.reach(start, size, _CODE, "string pointer/length out of bounds of memory")
        raise ComponentTrap(ComponentTrapCode.TOO_LONG)
    if start & (alignment - 1):
        raise ComponentTrap(ComponentTrapCode.UNALIGNED_POINTER)
    guest.reach(start, size, _CODE, "string pointer/length out of bounds of memory")


def _invalid(error: UnicodeDecodeError) -> NoReturn:
    encoding = error.encoding.removesuffix("-le")
    cut = encoding == "utf-8" and error.end == len(error.object) and error.reason == "unexpected end of data"
    detail = f"incomplete {encoding} byte sequence" if cut else f"invalid {encoding}"
    raise ComponentTrap(ComponentTrapCode.INVALID_STRING, f"{detail}: {error.reason}") from None


def _tag(guest: Guest) -> int:
    return 1 << (8 * guest.layout.pointer - 1)


LOADERS: Final[dict[str, Callable[[Guest, int, int], str]]] = {
    UTF8: load_utf8,
    UTF16: load_utf16,
    LATIN1_UTF16: load_latin1_utf16,
}
"""By the encoding of the guest."""


def load_transit(guest: Guest, start: int, units: int) -> Transit:
    """A string that goes to another guest."""
    encoding = guest.encoding
    text = LOADERS[encoding](guest, start, units)
    if encoding != LATIN1_UTF16:
        return Transit(text, encoding, units, encoding)
    tag = _tag(guest)
    return Transit(text, UTF16, units ^ tag, encoding) if units & tag else Transit(text, _LATIN1, units, encoding)


# --- into memory: strings of Python's ---------------------------------------------------------------


def store_utf8(guest: Guest, text: str) -> tuple[int, int]:
    """(address, code units) of a string. Raises UnicodeEncodeError for a surrogate, AttributeError or TypeError for
    what is no string."""
    data = text.encode()
    size = len(data)
    if size > MAX_BYTES:
        _too_long(size)
    start = guest.allocate(1, size, _CODE)
    guest.view[start : start + size] = data
    return start, size


def store_utf16(guest: Guest, text: str) -> tuple[int, int]:
    """The same."""
    data = text.encode("utf-16-le")
    return _put(guest, data, 2), len(data) >> 1


def store_latin1_utf16(guest: Guest, text: str) -> tuple[int, int]:
    """The same; the highest bit says whether it is UTF-16."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        start, units = store_utf16(guest, text)
        return start, units | _tag(guest)
    return _put(guest, data, 2), len(data)


def _put(guest: Guest, data: bytes, alignment: int) -> int:
    size = len(data)
    if size > MAX_BYTES:
        _too_long(size)
    start = guest.allocate(alignment, size, _CODE)
    guest.view[start : start + size] = data
    return start


def _too_long(size: int) -> NoReturn:
    raise ValueError(f"a string of {size:,} bytes; {MAX_BYTES:,} are the most")


STORERS: Final[dict[str, Callable[[Guest, str], tuple[int, int]]]] = {
    UTF8: store_utf8,
    UTF16: store_utf16,
    LATIN1_UTF16: store_latin1_utf16,
}
"""By the encoding of the guest."""


# --- into memory: strings of another guest ----------------------------------------------------------


def store_transit(guest: Guest, string: Transit) -> tuple[int, int]:
    """(address, code units) of a string that came from another guest: what memory it asks for is laid down."""
    return _TRANSITS[string.simple if guest.encoding != LATIN1_UTF16 else string.of, guest.encoding](guest, string)


def _room(guest: Guest, alignment: int, size: int) -> int:
    if size > MAX_BYTES:
        raise ComponentTrap(ComponentTrapCode.TOO_LONG)
    return guest.allocate(alignment, size, _CODE)


def _more_room(guest: Guest, start: int, old_size: int, alignment: int, size: int) -> int:
    if size > MAX_BYTES:
        raise ComponentTrap(ComponentTrapCode.TOO_LONG)
    return guest.reallocate(start, old_size, alignment, size, _CODE)


def _copied(guest: Guest, string: Transit, encoding: str, alignment: int) -> tuple[int, int]:
    data = string.text.encode(encoding)
    start = _room(guest, alignment, len(data))
    guest.view[start : start + len(data)] = data
    return start, string.units


def _utf8_copied(guest: Guest, string: Transit) -> tuple[int, int]:
    return _copied(guest, string, "utf-8", 1)


def _utf16_copied(guest: Guest, string: Transit) -> tuple[int, int]:
    return _copied(guest, string, "utf-16-le", 2)


def _to_utf8(guest: Guest, string: Transit) -> tuple[int, int]:
    """`store_string_to_utf8`: ASCII is what is expected."""
    text, units = string.text, string.units
    data = text.encode()
    start = _room(guest, 1, units)
    if len(data) == units and text.isascii():
        guest.view[start : start + units] = data
        return start, units
    first = next(place for place, character in enumerate(text) if character > "\x7f")
    guest.view[start : start + first] = data[:first]
    most = units * (3 if string.simple == UTF16 else 2)
    start = _more_room(guest, start, units, 1, most)
    guest.view[start + first : start + len(data)] = data[first:]
    if most > len(data):
        start = guest.reallocate(start, most, 1, len(data), _CODE)
    return start, len(data)


def _utf8_to_utf16(guest: Guest, string: Transit) -> tuple[int, int]:
    """`store_utf8_to_utf16`."""
    data = string.text.encode("utf-16-le")
    most = 2 * string.units
    start = _room(guest, 2, most)
    guest.view[start : start + len(data)] = data
    if len(data) < most:
        start = guest.reallocate(start, most, 2, len(data), _CODE)
    return start, len(data) >> 1


def _to_latin1_or_utf16(guest: Guest, string: Transit) -> tuple[int, int]:
    """`store_string_to_latin1_or_utf16`: Latin-1 as far as it goes, then all of it in UTF-16."""
    text, units = string.text, string.units
    start = _room(guest, 2, units)
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError as error:
        fits = error.start
        guest.view[start : start + fits] = text[:fits].encode("latin-1")
        most = 2 * units
        start = _more_room(guest, start, units, 2, most)
        data = text.encode("utf-16-le")
        # What is there already is widened where it lies, whatever the guest has made of it.
        wide = str(guest.view[start : start + fits], "latin-1").encode("utf-16-le")
        guest.view[start : start + len(data)] = wide + data[len(wide) :]
        if most > len(data):
            start = guest.reallocate(start, most, 2, len(data), _CODE)
        return start, len(data) >> 1 | _tag(guest)
    guest.view[start : start + len(data)] = data
    if len(data) < units:
        start = guest.reallocate(start, units, 2, len(data), _CODE)
    return start, len(data)


def _latin1_utf16_to_same(guest: Guest, string: Transit) -> tuple[int, int]:
    """A copy of Latin-1; UTF-16 probably stays that (`store_probably_utf16_to_latin1_or_utf16`)."""
    text, units = string.text, string.units
    if string.simple == _LATIN1:
        return _copied(guest, string, "latin-1", 2)
    data = text.encode("utf-16-le")
    start = _room(guest, 2, len(data))
    guest.view[start : start + len(data)] = data
    try:
        narrow = text.encode("latin-1")
    except UnicodeEncodeError:
        return start, units | _tag(guest)
    guest.view[start : start + len(narrow)] = narrow
    return guest.reallocate(start, len(data), 1, len(narrow), _CODE), len(narrow)


_TRANSITS: Final = {
    (UTF8, UTF8): _utf8_copied,
    (UTF16, UTF8): _to_utf8,
    (_LATIN1, UTF8): _to_utf8,
    (UTF8, UTF16): _utf8_to_utf16,
    (UTF16, UTF16): _utf16_copied,
    (_LATIN1, UTF16): _utf16_copied,
    (UTF8, LATIN1_UTF16): _to_latin1_or_utf16,
    (UTF16, LATIN1_UTF16): _to_latin1_or_utf16,
    (LATIN1_UTF16, LATIN1_UTF16): _latin1_utf16_to_same,
}
"""By the encoding of a string, and that of the guest that gets it."""
