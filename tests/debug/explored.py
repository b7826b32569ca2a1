"""What is in a page of the explorer, read as its script reads it."""

from __future__ import annotations

import base64
import json
import re
import zlib
from itertools import accumulate
from typing import Any

_BLOCK = re.compile(r'<script type="text/plain" id="([\w-]+)">([A-Za-z0-9+/=]*)</script>')


def expanded(page: str) -> dict[str, Any]:
    """The contents of each data block, by its name."""
    return {id_: json.loads(zlib.decompress(base64.b64decode(data), wbits=-15)) for id_, data in _BLOCK.findall(page)}


def functions(page: str) -> list[dict[str, Any]]:
    """The functions in order: what the index says of each, and under "listing" its lines."""
    blocks = expanded(page)
    return [
        {**function, "listing": blocks[f"chunk-{function['c']}"][function["p"]]}
        for function in blocks["index"]["functions"]
    ]


def machine_code(listing: dict[str, Any], tier: int = 0) -> list[tuple[int, str, int, int | None]]:
    """(offset in the function, instruction, row, trap code) of each machine instruction."""
    code = listing["t"][tier]
    lines = code["m"].split("\n")
    ends = list(accumulate(code["z"]))
    traps = dict(zip(code["x"][::2], code["x"][1::2], strict=True))
    return [
        (end - size, line, row, traps.get(number))
        for number, (line, end, size, row) in enumerate(zip(lines, ends, code["z"], accumulate(code["r"]), strict=True))
    ]


def wasm_lines(listing: dict[str, Any]) -> list[tuple[int, str]]:
    """(module offset, line) of each row."""
    return list(zip(accumulate(listing["o"]), listing["w"].split("\n"), strict=True))
