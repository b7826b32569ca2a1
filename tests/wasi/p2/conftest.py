"""Fixtures: a component with `root` as its only directory, writable or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wasi.p2.guest import Guest
from wasmark.wasi import Preopen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def guest(root: Path) -> Iterator[Guest]:
    made = Guest(preopens=[Preopen(root, "/")])
    with made.wasi:
        yield made


@pytest.fixture
def readonly(root: Path) -> Iterator[Guest]:
    made = Guest(preopens=[Preopen(root, "/", readonly=True)])
    with made.wasi:
        yield made
