"""A place in the token list, and what is elementary there: strings, names, numbers, identifiers, brackets.

Also where every error of the text is worded: what was found, what could have stood there, line and column.
"""

from __future__ import annotations

from typing import Final

from wasmark.errors import MalformedError, UnsupportedError
from wasmark.text.annotations import NAME
from wasmark.text.keywords import is_keyword, missing_part, similar_instruction
from wasmark.text.lexer import ANNOTATION, Tokens, decode_string, is_string
from wasmark.text.numbers import parse_f64, parse_uint

_LONGEST_QUOTED: Final = 40
_INSTRUCTION: Final = "instruction"  # as all who want one call it
_LONGEST_MESSAGE: Final = 160


class Cursor:
    """Reads tokens one after the other; `pos` is the index of the next one. All methods raise MalformedError.

    `is_word` says whether a token means something somewhere in what is read."""

    is_word = staticmethod(is_keyword)

    def __init__(self, tokens: Tokens, pos: int = 0) -> None:
        self.tokens = tokens
        self.toks = tokens.list
        self.pos = pos

    def error(self, message: str, at: int | None = None) -> MalformedError:
        """An error at the token `at`, by default the next one."""
        line, column = self.tokens.position(self.pos if at is None else at)
        if len(message) > _LONGEST_MESSAGE:  # it quotes a token of any length
            message = message[: _LONGEST_MESSAGE - 3] + "..."
        return MalformedError(message, line=line, column=column)

    def unexpected(self, expected: str, at: int | None = None) -> MalformedError | UnsupportedError:
        """The error for a token (the next one, or `at`) that cannot stand where it does.

        It is an UnsupportedError where the token belongs to a part of the standard that is not here yet.
        """
        index = self.pos if at is None else at
        token = self.toks[index]
        if token == ANNOTATION:
            return self.error(f"misplaced @{self.tokens.annotations[index].kind} annotation", index)
        if not token:
            return self.error(f"unexpected token: end of text, expected {expected}", index)
        if token[0] == "$":
            try:
                self.canonical_id(token, index)
            except MalformedError as error:
                return error
        word = self.toks[index + 1] if token == "(" else token
        part = missing_part(word)
        if part is not None:
            line, column = self.tokens.position(index)
            return UnsupportedError(f"{line}:{column}: {part} is not supported yet: {word}", part=part)
        shown = token if len(token) <= _LONGEST_QUOTED else token[: _LONGEST_QUOTED - 3] + "..."
        if token == "(" and word not in ("", "(", ")"):
            shown = f"({word}"
        if token in "()" or token[0] == "$" or is_string(token) or self.is_word(token) or _is_number(token):
            return self.error(f"unexpected token {shown}, expected {expected}", index)
        meant = similar_instruction(word) if _INSTRUCTION in expected and shown == token else None
        perhaps = "" if meant is None else f"; perhaps {meant} is meant"
        return self.error(f"unknown operator {shown}, expected {expected}{perhaps}", index)

    def expect(self, token: str, where: str = "") -> None:
        """Step over a bracket or keyword that must stand here."""
        if self.toks[self.pos] != token:
            raise self.unexpected(f"{token!r}{where}")
        self.pos += 1

    def at_form(self, keyword: str) -> bool:
        """Whether `(keyword` stands here."""
        return self.toks[self.pos] == "(" and self.toks[self.pos + 1] == keyword

    def string(self, what: str = "a string") -> bytes:
        """A string literal's bytes."""
        token = self.toks[self.pos]
        if token[:1] != '"' or not is_string(token):
            raise self.unexpected(what)
        try:
            value = decode_string(token)
        except ValueError as error:
            raise self.error(f"malformed UTF-8 encoding: {error}") from None
        self.pos += 1
        return value

    def strings(self) -> bytes:
        """Any number of string literals, joined."""
        parts = []
        while self.toks[self.pos][:1] == '"':
            parts.append(self.string())
        return b"".join(parts)

    def name(self, what: str = "a name") -> str:
        """A string literal that must be UTF-8 (§6.3.4)."""
        value = self.string(what)
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise self.error("malformed UTF-8 encoding in a name", self.pos - 1) from None

    def uint(self, bits: int, what: str = "a number") -> int:
        """An unsigned integer literal."""
        token = self.toks[self.pos]
        if not token[:1].isdecimal():
            raise self.unexpected(what)
        try:
            value = parse_uint(token, bits)
        except ValueError as error:
            raise self.error(f"{error}: {token}") if _is_number(token) else self.unexpected(what) from None
        self.pos += 1
        return value

    def canonical_id(self, token: str, at: int) -> str:
        """An identifier (§6.3.5) in the one spelling by which it is known: `$name`, without quotes and escapes."""
        if '"' not in token:
            if len(token) == 1:
                raise self.error("empty identifier: a name must follow the $", at)
            return token
        quoted = token[1:]
        if not is_string(quoted):
            raise self.error(f"unknown operator {token}: a space is needed between an identifier and a string", at)
        try:
            name = decode_string(quoted).decode()
        except (UnicodeDecodeError, ValueError):
            raise self.error("malformed UTF-8 encoding in an identifier", at) from None
        if not name:
            raise self.error("empty identifier: a name must follow the $", at)
        return "$" + name

    def optional_id(self) -> str | None:
        """An identifier, if there is one."""
        token = self.toks[self.pos]
        if token[:1] != "$":
            return None
        name = self.canonical_id(token, self.pos)
        self.pos += 1
        return name

    def name_annotation(self) -> str | None:
        """What a `(@name "...")` says, if there is one."""
        if self.toks[self.pos] != ANNOTATION or self.tokens.annotations[self.pos].kind != NAME:
            return None
        self.pos += 1
        return self.tokens.annotations[self.pos - 1].text

    def skip_form(self, opened: int) -> None:
        """Step behind the bracket that closes the form we are in, which began at the token `opened`."""
        toks = self.toks
        pos = self.pos
        depth = 1
        while depth:
            token = toks[pos]
            pos += 1
            if token == "(":
                depth += 1
            elif token == ")":
                depth -= 1
            elif not token:
                raise self.error("unexpected token: end of text, expected ')' for this '('", opened)
        self.pos = pos


def _is_number(token: str) -> bool:
    try:
        parse_f64(token)
    except ValueError as error:
        return str(error) != "unexpected token"
    return True
