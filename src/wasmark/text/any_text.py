"""A text of which nobody has said whether it is a module or a component: to the binary of what it is."""

from __future__ import annotations

from wasmark.binary.encoder import encode_module
from wasmark.text.lexer import Tokens
from wasmark.text.module import is_component, parse_module


def binary_of(source: str) -> bytes:
    """The binary of a module or component in the text format. Raises MalformedError, UnsupportedError."""
    tokens = Tokens(source)
    if not is_component(tokens):
        return encode_module(parse_module(tokens))
    from wasmark.component.binary import encode_component
    from wasmark.component.text import parse_component

    return encode_component(parse_component(tokens))
