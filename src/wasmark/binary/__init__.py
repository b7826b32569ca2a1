"""The binary format (core §5), both ways."""

from wasmark.binary.decoder import decode_module
from wasmark.binary.encoder import encode_instruction, encode_module
from wasmark.binary.instructions import Instr, decode_body

__all__ = ["Instr", "decode_body", "decode_module", "encode_instruction", "encode_module"]
