"""The code cache of the tests: their own, and one for the whole session, so that a large program compiles once."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_VARIABLE = "XDG_CACHE_HOME"


def pytest_configure(config: pytest.Config) -> None:
    # The workers of pytest-xdist inherit the environment of the process that started them, and so its directory.
    if not hasattr(config, "workerinput"):
        directory = tempfile.TemporaryDirectory(prefix="wasmark-tests-")
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = directory.name

        def restore() -> None:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before
            directory.cleanup()

        config.add_cleanup(restore)
