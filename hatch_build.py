"""The build hook: a wheel, also an editable one, gets the ready-made code that `wasmark.jit.shipped` looks for.

Where it cannot be made (another machine than x86-64 Linux), the wheel comes without it, and works all the same where
LLVM does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedCode(BuildHookInterface):  # type: ignore[type-arg]
    """Makes `src/wasmark/shipped/x86_64.wasmark`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the wheel is put together."""
        sys.path.insert(0, str(Path(self.root, "src")))
        try:
            from wasmark.baseline.shipping import make
            from wasmark.errors import UnsupportedError
            from wasmark.jit.shipped import PATH

            target = Path(PATH)
            try:
                contents = make()
            except UnsupportedError as error:
                target.unlink(missing_ok=True)
                self.app.display_warning(f"no ready-made code: {error}")
                return
            target.parent.mkdir(exist_ok=True)
            fresh = target.with_suffix(".new")
            fresh.write_bytes(contents)
            fresh.replace(target)  # whoever has mapped the old one keeps it
            build_data["artifacts"].append(f"/{target.relative_to(self.root).as_posix()}")
        finally:
            sys.path.pop(0)
