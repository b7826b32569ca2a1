"""The binary format of components (Binary.md): bytes to `ComponentModel` and back."""

from __future__ import annotations

from wasmark.component.binary.decoder import decode_component
from wasmark.component.binary.encoder import encode_component

__all__ = ["decode_component", "encode_component"]
