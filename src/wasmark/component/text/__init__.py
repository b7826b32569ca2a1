"""The text format of components (Explainer.md): text to `ComponentModel`, and back."""

from __future__ import annotations

from wasmark.component.text.parser import parse_component, parse_component_fields

__all__ = ["parse_component", "parse_component_fields"]
