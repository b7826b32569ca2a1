"""The tests of this room are about code that LLVM has optimised: the default engine compiles eagerly here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wasmark import Config, Engine, engine


@pytest.fixture(scope="package", autouse=True)
def eager() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_default", Engine(Config(strategy="eager")))
        yield
