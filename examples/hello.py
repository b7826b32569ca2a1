"""The smallest program: a module in the text format, one function, one call."""

from __future__ import annotations

import wasmark

module = wasmark.Module(
    """
    (module
      (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1))))
    """
)
instance = wasmark.Instance(module)
print(instance.exports.add(40, 2))
