"""What the methods are called that translate instructions, in both tiers, where that is not the instruction's name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

METHOD_NAMES: Final = {
    "if": "if_",
    "else": "else_",
    "return": "return_",
    "try": "try_",
    "struct.get_s": "struct_get",
    "struct.get_u": "struct_get",
    "array.get_s": "array_get",
    "array.get_u": "array_get",
    "i31.get_s": "i31_get",
    "i31.get_u": "i31_get",
    "any.convert_extern": "convert",
    "extern.convert_any": "convert",
    "br_on_cast_fail": "br_on_cast",
}
"""Text name -> method; keywords of Python, and instructions that share a method."""
