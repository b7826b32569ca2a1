"""Validation of components: whether a component keeps the rules, and what its indices mean."""

from __future__ import annotations

from wasmark.component.validate.component import CheckedComponent, validate_component

__all__ = ["CheckedComponent", "validate_component"]
