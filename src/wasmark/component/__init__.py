"""The component model: what a component is, its two formats, its validation, and how it runs.

Rooms depend in one direction, as those of modules do: `types`, `model` <- `binary`, `text` <- `validate` <- `abi` <-
`instantiate`. `component`, `instance` and `linker` have the public classes, `values` says what Python values are.
"""

from __future__ import annotations

from wasmark.component.component import Component
from wasmark.component.instance import ComponentInstance
from wasmark.component.linker import ComponentLinker
from wasmark.component.resources import ResourceObject
from wasmark.component.streams import FutureReader, FutureWriter, StreamReader, StreamWriter, future, stream
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.component.values import Err, ErrorContext, Ok, ResultError, Some

__all__ = [
    "Component",
    "ComponentInstance",
    "ComponentLinker",
    "ComponentTrap",
    "ComponentTrapCode",
    "Err",
    "ErrorContext",
    "FutureReader",
    "FutureWriter",
    "Ok",
    "ResourceObject",
    "ResultError",
    "Some",
    "StreamReader",
    "StreamWriter",
    "future",
    "stream",
]
