"""Names of imports and exports, and labels (Explainer.md, "Import and Export Definitions" and "Name Uniqueness")."""

from __future__ import annotations

import re

from wasmark.core.record import FrozenRecord, set_
from wasmark.errors import InvalidError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_is_label: Final = re.compile(r"(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)(?:-(?:[0-9a-z]+|[0-9A-Z]+))*").fullmatch
_are_words: Final = re.compile(r"[a-z][0-9a-z]*(?:-[0-9a-z]+)*").fullmatch
_NUMBER: Final = r"(?:0|[1-9][0-9]*)"
_is_semver: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
).fullmatch
_is_canonical_version: Final = re.compile(r"[1-9][0-9]*|0\.[1-9][0-9]*|0\.0\.[1-9][0-9]*|0\.0\.0").fullmatch

_ANNOTATIONS: Final = ("constructor", "method", "static")


class Name(FrozenRecord):
    """A valid name. `kind` is "label", "constructor", "method", "static" or "interface"; `resource` is the label of the
    resource that a constructor, method or static function belongs to; `version` is that of an interface."""

    __slots__ = ("kind", "resource", "text", "version")
    text: str
    kind: str
    resource: str
    version: str

    def __init__(self, text: str, kind: str, resource: str = "", version: str = "") -> None:
        set_(self, "text", text)
        set_(self, "kind", kind)
        set_(self, "resource", resource)
        set_(self, "version", version)

    @property
    def unique(self) -> str:
        """What must differ from that of all other names beside this one."""
        name, at, version = self.text.partition("@")
        lowered = name.lower()
        if self.kind not in ("method", "static"):
            return lowered + at + version
        own = lowered.partition("]")[2]
        resource, _, label = own.partition(".")
        return label if resource == label else own


def check_label(label: str, what: str) -> None:
    """Raises InvalidError unless this is a label, which is the name of `what`."""
    if not label:
        raise InvalidError(f"{what} name cannot be empty")
    if not _is_label(label):
        raise InvalidError(f"{what} name `{label}` is not in kebab case")


def check_labels(labels: Iterable[str], what: str) -> None:
    """Raises InvalidError unless these are labels that differ by more than case."""
    seen: dict[str, str] = {}
    for label in labels:
        check_label(label, what)
        key = label.lower()
        if key in seen:
            raise InvalidError(f"{what} name `{label}` conflicts with previous name `{seen[key]}`")
        seen[key] = label


def parse_name(text: str) -> Name:
    """The name of an import or export. Raises InvalidError."""
    if text.startswith("["):
        annotation, closed, rest = text[1:].partition("]")
        if not closed or annotation not in _ANNOTATIONS:
            raise InvalidError(f"`{text}` is not a valid extern name: its annotation is unknown")
        resource, dot, label = rest.partition(".")
        if annotation == "constructor":
            _check_part(text, rest)
            return Name(text, annotation, rest)
        if not dot:
            raise InvalidError(f"`{text}` is not a valid extern name: failed to find `.` character")
        _check_part(text, resource)
        _check_part(text, label)
        return Name(text, annotation, resource)
    if ":" in text:
        return _parse_interface(text)
    _check_part(text, text)
    return Name(text, "label")


def _check_part(text: str, label: str) -> None:
    if not _is_label(label):
        raise InvalidError(f"`{text}` is not a valid extern name: `{label}` is not in kebab case")


def _parse_interface(text: str) -> Name:
    wrong = f"`{text}` is not a valid extern name"
    namespace, _, rest = text.partition(":")
    path, at, version = rest.partition("@")
    package, slash, label = path.partition("/")
    for words in (namespace, package):
        if not _are_words(words):
            if ":" in words:
                raise InvalidError(f"{wrong}: expected `/` after package name")
            raise InvalidError(f"{wrong}: `{words}` is not in kebab case, of lower-case words")
    if not slash:
        raise InvalidError(f"{wrong}: expected `/` after package name")
    label, more, _ = label.partition("/")
    if more:
        raise InvalidError(f"{wrong}: trailing characters found: `{path[path.index(label) + len(label) :]}`")
    _check_part(text, label)
    if at and not (_is_semver(version) or _is_canonical_version(version)):
        raise InvalidError(f"{wrong}: `{version}` is not a version")
    return Name(text, "interface", version=version)


def check_version_suffix(name: Name, suffix: str) -> None:
    """Raises InvalidError unless the suffix makes a whole version of the one that the name ends with."""
    if not _is_canonical_version(name.version):
        raise InvalidError(f"`{name.text}` has a version suffix, and does not end with a canonical version")
    if not _is_semver(name.version + suffix):
        raise InvalidError(f"`{name.version}{suffix}`, the version of `{name.text}` with its suffix, is no version")


class NameSet:
    """Names of one scope, no two of which may be alike. `what` is "import" or "export"."""

    __slots__ = ("_seen", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._seen: dict[str, str] = {}

    def add(self, name: Name) -> None:
        """Raises InvalidError where there is a name that this one cannot be told from."""
        key = name.unique
        if key in self._seen:
            raise InvalidError(f"{self._what} name `{name.text}` conflicts with previous name `{self._seen[key]}`")
        self._seen[key] = name.text
