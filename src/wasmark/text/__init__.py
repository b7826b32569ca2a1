"""The text format (core §6): WAT to a model, and the scripts of the official tests."""

from wasmark.text.module import parse_module

__all__ = ["parse_module"]
