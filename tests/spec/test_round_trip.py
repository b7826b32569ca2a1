"""Every module of the official testsuite is the same again after a way through its text: text to binary to text to
binary gives the same bytes, and so does binary to text to binary, once it has the shortest encoding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.spec.official import SCRIPTS, TESTSUITE, needs_testsuite
from wasmark.binary import decode_module, encode_module
from wasmark.errors import InvalidError, UnsupportedError
from wasmark.text import parse_module
from wasmark.text.printer import print_module
from wasmark.text.script import AssertModule, DefineModule, ModuleSource, parse_script

_NO_MODULE = ("malformed", "malformed_custom")


def sources(name: str) -> Iterator[tuple[int, ModuleSource, bool]]:
    """(line, source, whether it is valid) of the modules of a script that are well-formed."""
    for command in parse_script((TESTSUITE / name).read_bytes().decode()):
        if isinstance(command, DefineModule):
            yield command.line, command.source, True
        elif (
            isinstance(command, AssertModule)
            and isinstance(command.module, ModuleSource)
            and command.kind not in _NO_MODULE
        ):
            yield command.line, command.module, command.kind != "invalid"


def again(binary: bytes) -> bytes:
    """A module by way of its text."""
    text = "".join(print_module(decode_module(binary)))
    return encode_module(parse_module(text))


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_is_the_same_after_a_way_through_its_text(name: str) -> None:
    for line, source, is_valid in sources(name):
        try:
            binary = source.binary()
            through_text = again(binary)
        except UnsupportedError:  # a part of the standard that is not here yet
            continue
        except InvalidError:  # there is no text for a block whose type is none
            assert not is_valid, f"line {line}"
            continue
        if source.kind == "binary":
            assert len(through_text) <= len(binary), f"line {line}"
            assert again(through_text) == through_text, f"line {line}"
        else:
            assert through_text == binary, f"line {line}"


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_encoding_gives_back_what_was_decoded(name: str) -> None:
    for line, source, _ in sources(name):
        try:
            binary = source.binary()
            model = decode_module(binary)
        except (UnsupportedError, InvalidError):
            continue
        encoded = encode_module(model)
        if source.kind != "binary":
            assert encoded == binary, f"line {line}"
        assert encode_module(decode_module(encoded)) == encoded, f"line {line}"
