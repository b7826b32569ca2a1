"""The binary format (core §5), both ways. The way back is loaded when it is needed: few programs write modules."""

from __future__ import annotations

from wasmark.binary.decoder import decode_module
from wasmark.binary.instructions import Instr, decode_body, decode_constant
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.binary.encoder import encode_instruction, encode_module

__all__ = ["Instr", "decode_body", "decode_constant", "decode_module", "encode_instruction", "encode_module"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    late_import("wasmark.binary.encoder")
    from wasmark.binary import encoder

    return getattr(encoder, name)
