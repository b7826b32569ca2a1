"""Where in a text an instruction stands that breaks a rule of validation. What is validated is a binary, and so are the
offsets in its errors; a person who wrote text looks for a line.

The text is read once more, with an annotation in front of each instruction that says which token it is. Such metadata
goes to the binary by the offset of what it is about, folded instructions included, and is read back from there.
"""

from __future__ import annotations

from typing import Final

from wasmark.binary.decoder import decode_module
from wasmark.binary.encoder import encode_module
from wasmark.binary.metadata import CODE_METADATA, read_code_metadata
from wasmark.core.opcodes import BY_NAME
from wasmark.errors import InvalidError
from wasmark.text.lexer import ANNOTATION, Tokens
from wasmark.text.module import is_component, parse_module

_SECTION: Final = f"{CODE_METADATA}token"
_NOT_ANNOTATED: Final = frozenset({"else", "end", "catch", "catch_all", "delegate"})
"""Words of the opcode table that are parts of an instruction in the text."""
_INSTRUCTIONS: Final = frozenset(BY_NAME) - _NOT_ANNOTATED


def located(error: InvalidError, source: str) -> InvalidError:
    """The same error with the line and column of the instruction, where it is about one of a module that was made of
    this text. An `end` has the place of what stands before it, in an empty function that of the function.
    """
    if error.func_index is None or error.offset is None:
        return error
    tokens = Tokens(source)
    if is_component(tokens):
        return error
    annotated, starts = _annotated(tokens.list)
    model = decode_module(encode_module(parse_module(annotated)))
    said = next((model.data[c.start : c.end] for c in model.customs if c.name == _SECTION), None)
    places = {} if said is None else read_code_metadata(said).get(error.func_index, {})
    # Without the annotations everything lies elsewhere, but for what is in a function.
    original = decode_module(encode_module(parse_module(tokens)))
    number = error.func_index - original.imported["func"]
    within = error.offset - original.functions[number].entry
    before = [offset for offset in places if offset <= within]
    line, column = tokens.position(int(places[max(before)]) if before else starts[number])
    return InvalidError(error.message, offset=error.offset, func_index=error.func_index, line=line, column=column)


def _annotated(tokens: list[str]) -> tuple[str, list[int]]:
    """The text with an annotation before each instruction of a function, and no other ones; and the first token of each
    function that is defined."""
    out: list[str] = []
    starts: list[int] = []
    fields = 1 if tokens[:2] == ["(", "module"] else 0
    depth = 0
    in_function = False
    for index, token in enumerate(tokens):
        if token == ANNOTATION:
            continue
        word = tokens[index + 1] if token == "(" else token if tokens[index - 1] != "(" else ""
        if token == "(" and depth == fields:
            in_function = word == "func"
            if in_function:
                starts.append(index)
        elif in_function and word in _INSTRUCTIONS:
            out.append(f'(@{_SECTION} "{index}")')
        elif in_function and token == "(" and word == "import":
            starts.pop()
        depth += (token == "(") - (token == ")")
        out.append(token)
    return " ".join(out), starts
