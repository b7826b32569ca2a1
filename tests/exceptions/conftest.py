"""Every test of exceptions is under every way in which code comes about."""

from __future__ import annotations

import pytest

from tests.ways import WAYS, config
from wasmark import Engine


@pytest.fixture(params=WAYS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(config(request.param, cache=False, max_wasm_stack=6 << 20))
