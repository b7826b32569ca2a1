"""Characters to tokens (core §6.3): what may stand where in the text, before any of it has a meaning.

A token is simply its spelling; empty ones at the end of the list allow to look ahead. One regular expression finds them
all, so that a megabyte takes some ten milliseconds. White space, comments and unknown annotations leave no token, a
known one leaves ANNOTATION, and positions are only computed when somebody asks (for an error, or for the lines of a
script's commands).

Strings are the one kind of token whose shape is settled here; whether any other run of identifier characters is a
keyword, a number, an identifier or merely reserved (§6.3.1) is decided by the parser that wants one of these.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from wasmark.errors import MalformedError
from wasmark.text.annotations import Annotation, Item, is_known, read_annotation

ANNOTATION: Final = "\0"
"""The token of an annotation that means something. No other one is spelled like this."""

_ID_CHARS: Final = r"0-9A-Za-z!#$%&'*+\-./:<=>?@\\^_`|~"
_ESCAPE: Final = r"""\\(?:[nrt\\'"]|[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f]++(?:_[0-9A-Fa-f]++)*+\})"""
_PLAIN_CHARS: Final = r'[^"\\\x00-\x1f\x7f\ud800-\udfff]++'
_STRING_START: Final = rf'"(?:{_PLAIN_CHARS}|{_ESCAPE})*+'
_ATOM: Final = rf'(?:[{_ID_CHARS}]++|{_STRING_START}")++'

_find_tokens: Final = re.compile(rf"(?:[ \t\n\r]++|;;[^\n\r]*+)*+([()]|{_ATOM}|\Z|.)", re.DOTALL).findall
_iter_tokens: Final = re.compile(rf"(?:[ \t\n\r]++|;;[^\n\r]*+)*+([()]|{_ATOM}|\Z|.)", re.DOTALL).finditer
_is_token: Final = re.compile(rf"[()]|{_ATOM}|").fullmatch
_string_start: Final = re.compile(_STRING_START).match
_is_string: Final = re.compile(_STRING_START + '"').fullmatch
_sub_escapes: Final = re.compile(rb"\\(?:u\{([0-9A-Fa-f_]+)\}|([0-9A-Fa-f]{2})|(.))").sub
_find_lines: Final = re.compile(r"\r\n|\n|\r").finditer

# Comments and annotations nest, which a regular expression cannot follow: they are blanked out before.
_find_nested: Final = re.compile(rf'{_STRING_START}"|;;[^\n\r]*|\(;|\(@|"').search
_find_comment_edge: Final = re.compile(r"\(;|;\)").search
_annotation_id: Final = re.compile(rf'\(@(?:[{_ID_CHARS}]+|({_STRING_START}"))').match
_annotation_item: Final = re.compile(rf"[ \t\n\r]+|;;[^\n\r]*|(\(;)|([()])|{_ATOM}|[,;\[\]{{}}]").match

_SIMPLE_ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}


class Tokens:
    """The tokens of a source text: `list[i]` is a spelling, `position(i)` where it stands, and `annotations[i]` the
    annotation where that is ANNOTATION."""

    __slots__ = ("_line_starts", "_offsets", "_source", "_text", "annotations", "list")

    def __init__(self, source: str) -> None:
        """Raises MalformedError where the characters form no tokens."""
        self._offsets: list[int] | None = None
        self._line_starts: list[int] | None = None
        self._source = self._text = source
        known: list[Annotation] = []
        if "(;" in source or "(@" in source:
            self._text = self._blank_nested(source, known)
        self.list: list[str] = [*_find_tokens(self._text), "", ""]
        self.annotations: dict[int, Annotation] = {}
        wrong = {token for token in set(self.list) if not _is_token(token)}
        if known:
            places = (place for place, token in enumerate(self.list) if token == ANNOTATION)
            self.annotations = dict(zip(places, known, strict=True))
            wrong.discard(ANNOTATION)
        if wrong:
            self._explain(next(i for i, token in enumerate(self.list) if token in wrong))

    def position(self, index: int) -> tuple[int, int]:
        """Line and column of a token, both counted from 1."""
        if self._offsets is None:
            self._offsets = [match.start(1) for match in _iter_tokens(self._text)]
        return self._locate(self._offsets[min(index, len(self._offsets) - 1)])

    def _locate(self, offset: int) -> tuple[int, int]:
        if self._line_starts is None:
            self._line_starts = [0, *(match.end() for match in _find_lines(self._text))]
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def _error(self, offset: int, message: str) -> MalformedError:
        line, column = self._locate(offset)
        return MalformedError(message, line=line, column=column)

    def _explain(self, index: int) -> None:
        """Raise the error for the token `index`, a single character that starts no token."""
        self.position(index)
        assert self._offsets is not None
        offset = self._offsets[index]
        char = self._source[offset]
        if char != '"':
            if char in ",;[]{}":  # reserved by §6.3.1
                raise self._error(offset, f"unknown operator {char!r}")
            raise self._error(offset, _illegal(char))
        start = _string_start(self._text, offset)
        assert start is not None
        end = start.end()
        char = self._source[end : end + 1]
        if char in ("", "\n", "\r"):
            raise self._error(offset, "unclosed string: it starts here")
        if char == "\\":
            raise self._error(end, f"illegal escape {self._source[end : end + 2]!r} in a string")
        raise self._error(end, _illegal(char) + " in a string")

    def _blank_nested(self, source: str, known: list[Annotation]) -> str:
        """The source with block comments and annotations replaced by as many characters of white space, the first one
        of an annotation that goes to `known` by ANNOTATION."""
        source = source.replace(ANNOTATION, _ILLEGAL)
        pieces = []
        done = 0
        pos = 0
        while (found := _find_nested(source, pos)) is not None:
            start = found.start()
            pos = found.end()
            if found.group() == '"':  # a broken string: the tokens will tell
                break
            if source[start] != "(":
                continue
            count = len(known)
            if source[start + 1] == ";":
                pos = self._comment_end(source, start)
            else:
                pos = self._annotation_end(source, start, known)
            pieces.append(source[done:start])
            pieces.append(ANNOTATION if len(known) > count else " ")
            pieces.append(_blank(source[start + 1 : pos]))
            done = pos
        pieces.append(source[done:])
        return "".join(pieces)

    def _comment_end(self, source: str, start: int) -> int:
        depth = 0
        pos = start
        while (found := _find_comment_edge(source, pos)) is not None:
            pos = found.end()
            depth += 1 if found.group() == "(;" else -1
            if not depth:
                return pos
        raise self._error(start, "unclosed comment: it starts here")

    def _annotation_end(self, source: str, start: int, known: list[Annotation] | None) -> int:
        """Where the annotation at `start` ends. It goes to `known` if it is; None stands for those inside of one."""
        head = _annotation_id(source, start)
        if head is None:
            raise self._error(start, "empty annotation id: a name must follow the @")
        kind = head.group()[2:]
        quoted = head.group(1)
        if quoted is not None:
            try:
                kind = decode_string(quoted).decode()
            except (UnicodeDecodeError, ValueError):
                raise self._error(start, "malformed UTF-8 encoding in an annotation id") from None
            if not kind:
                raise self._error(start, "empty annotation id: a name must follow the @")
        pos = head.end()
        depth = 1
        items: list[Item] | None = [] if known is not None and is_known(kind) else None
        while depth:
            if items is not None and source.startswith("(@", pos):
                pos = self._annotation_end(source, pos, None)
                continue
            item = _annotation_item(source, pos)
            if item is None:
                if pos == len(source):
                    raise self._error(start, "unclosed annotation: it starts here")
                wrong = "unclosed string: it starts here" if source[pos] == '"' else _illegal(self._source[pos])
                raise self._error(pos, wrong)
            pos = item.end()
            if item.group(1):
                pos = self._comment_end(source, item.start())
                continue
            if item.group(2):
                depth += 1 if item.group(2) == "(" else -1
            if items is not None and depth and not item.group().startswith((" ", "\t", "\n", "\r", ";;")):
                items.append(self._item(item))
        if known is not None and items is not None:
            known.append(read_annotation(kind, items, pos - 1, self._error))
        return pos

    def _item(self, item: re.Match[str]) -> Item:
        token = item.group()
        if not is_string(token):
            return token, None, item.start()
        try:
            return token, decode_string(token), item.start()
        except ValueError as error:
            raise self._error(item.start(), f"malformed UTF-8 encoding: {error}") from None


_ILLEGAL: Final = "\1"  # as illegal as ANNOTATION, which it replaces in a source
_replace_visible: Final = re.compile(r"[^\n\r]").sub


def _blank(text: str) -> str:
    return _replace_visible(" ", text)


def _illegal(char: str) -> str:
    if "\ud800" <= char <= "\udfff":
        return f"malformed UTF-8 encoding: {ord(char):#x} is half of a character"
    return f"illegal character {char!r}"


def decode_source(data: bytes) -> str:
    """A source text, which is UTF-8 (§6.3.1). Raises MalformedError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line_starts = [0, *(match.end() for match in _find_lines(before))]
        message = f"malformed UTF-8 encoding: {data[error.start : error.end].hex(' ')}"
        column = len(before) - line_starts[-1] + 1
        raise MalformedError(message, line=len(line_starts), column=column) from None


def is_string(token: str) -> bool:
    """Whether a token is one string literal, and not several run together, which is a reserved token."""
    return _is_string(token) is not None


def decode_string(token: str) -> bytes:
    """The bytes of a string literal (§6.3.3). Raises ValueError for a `\\u{...}` that is no Unicode scalar value."""
    raw = token[1:-1].encode()
    if b"\\" not in raw:
        return raw
    return _sub_escapes(_unescape, raw)


def _unescape(match: re.Match[bytes]) -> bytes:
    scalar, byte, simple = match.groups()
    if byte is not None:
        return bytes((int(byte, 16),))
    if simple is not None:
        return _SIMPLE_ESCAPES[simple]
    number = int(scalar.replace(b"_", b""), 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise ValueError(f"{number:#x} is not a Unicode scalar value")
    return chr(number).encode()
