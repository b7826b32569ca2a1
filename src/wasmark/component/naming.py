"""Names of components as Python writes them: `read-via-stream` is `read_via_stream`, a class `StreamError`, a member of
an enum `READ_ONLY`."""

from __future__ import annotations

import keyword
from collections import Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple
else:
    from wasmark.core.record import NamedTuple


def snake(label: str) -> str:
    """The name of a function, parameter, field or attribute."""
    name = label.replace("-", "_").lower()
    return f"{name}_" if keyword.iskeyword(name) or name in ("None", "True", "False") else name


def pascal(label: str) -> str:
    """The name of a class."""
    name = "".join(word[:1].upper() + word[1:] for word in label.split("-"))
    return f"{name}_" if keyword.iskeyword(name) else name


def pascals(labels: Iterable[str]) -> list[str]:
    """The names of classes beside each other. Labels that would have the same one (`a1` and `a-1`) keep a line where
    they have a hyphen."""
    named = [(label, pascal(label)) for label in labels]
    counts = Counter(name for _, name in named)
    return [name if counts[name] == 1 else "_".join(map(pascal, label.split("-"))) for label, name in named]


def upper(label: str) -> str:
    """The name of a member of an enum."""
    return label.replace("-", "_").upper()


class PlainName(NamedTuple):
    """A function's name in parts: `kind` is "constructor", "method", "static", or "" for a function of its own, and
    `resource` what it belongs to."""

    kind: str
    resource: str
    label: str


def parse_name(name: str) -> PlainName:
    """The parts of `[method]codec.encode` and its like."""
    name = name.removeprefix("[async]")
    if not name.startswith("["):
        return PlainName("", "", name)
    kind, _, rest = name[1:].partition("]")
    resource, _, label = rest.partition(".")
    return PlainName(kind.removeprefix("async "), resource, label)


class InterfaceName(NamedTuple):
    """`wasi:io/streams@0.2.0` in parts; `version` is "" where there is none."""

    package: str
    interface: str
    version: str


def parse_interface(name: str) -> InterfaceName | None:
    """The parts of the name of an interface, None for a plain name."""
    package, slash, rest = name.rpartition("/")
    if not slash or ":" not in package:
        return None
    interface, _, version = rest.partition("@")
    return InterfaceName(package, interface, version)


def module_name(interface: str) -> str:
    """What classes of an interface, or of a component itself (""), have for a module."""
    parsed = parse_interface(interface)
    return snake(parsed.interface if parsed else interface) or "wasmark.component"


def compatible_version(version: str) -> str:
    """What versions that can stand in for each other have in common: `0.2.6` -> `0.2`, `1.4.0` -> `1`; pre-releases are
    only themselves."""
    if "-" in version:
        return version
    numbers = version.partition("+")[0].split(".")
    if len(numbers) != 3:
        return version
    major, minor, patch = numbers
    if major != "0":
        return major
    return f"0.{minor}" if minor != "0" else f"0.0.{patch}"
