"""Text to what its binary decodes to: the tests of the parser look at that, so they hold for the encoder too."""

from __future__ import annotations

from typing import Any

from wasmark.binary import decode_body, decode_constant, decode_module, encode_module
from wasmark.core.model import ConstExpr, ModuleModel
from wasmark.text import parse_module


def model(text: str) -> ModuleModel:
    """The decoded binary of a module in the text format."""
    return decode_module(encode_module(parse_module(text)))


def const(module: ModuleModel, expr: ConstExpr | None) -> list[tuple[str, Any]] | None:
    """A constant expression's instructions without the `end`."""
    if expr is None:
        return None
    return [(row.name, imm) for row, imm, _ in decode_constant(module, expr.start, expr.end)[:-1]]


def body(module: ModuleModel, index: int = -1) -> list[tuple[str, Any]]:
    """A function's instructions without the final `end`; by default the last function's."""
    function = module.functions[index]
    return [(row.name, imm) for row, imm, _ in decode_body(module, function.start, function.end)[:-1]]


def instructions(text: str, fields: str = "") -> list[tuple[str, Any]]:
    """The instructions of a function with this body, in a module with these fields before it."""
    return body(model(f"(module {fields} (func {text}))"))
