"""Records: equal by their fields, unhashable unless frozen, and the frozen ones stay as they are."""

from __future__ import annotations

import copy
import pickle
from typing import NamedTuple

import pytest

import wasmark
from wasmark.core import record
from wasmark.core.model import ConstExpr, DataSegment, Export
from wasmark.core.types import F64, I32, FuncType, Limits, SubType


def test_equal_fields_make_equal_records_of_one_class() -> None:
    assert Export("a", "func", 1) == Export("a", "func", 1, 0)
    assert Export("a", "func", 1) != Export("a", "func", 2)
    assert ConstExpr(1, 2) != DataSegment(1, 2)
    assert ConstExpr(1, 2) != (1, 2)


def test_only_frozen_records_can_be_keys() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(ConstExpr(1, 2))
    assert {FuncType((I32,), ()): 1}[FuncType((I32,), ())] == 1
    assert hash(SubType(FuncType((), (F64,)))) == hash(SubType(FuncType((), (F64,)), (), True))


def test_frozen_records_stay_as_they_are() -> None:
    config = wasmark.Config()
    with pytest.raises(AttributeError, match="Config is immutable"):
        config.strategy = "lazy"
    with pytest.raises(AttributeError, match="Config is immutable"):
        del config.strategy
    assert config.strategy == wasmark.Config().strategy


@pytest.mark.parametrize("value", [Limits(1, None, True), wasmark.Config(cache=False), FuncType((I32,), ())])
def test_frozen_records_can_be_copied_and_pickled(value: object) -> None:
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other == value


def test_their_text_names_the_fields_in_the_order_of_the_parameters() -> None:
    assert repr(ConstExpr(3, 4)) == "ConstExpr(start=3, end=4)"
    assert repr(Limits(1)) == "Limits(minimum=1, maximum=None, is64=False, shared=False)"


def test_named_tuples_are_those_of_typing() -> None:
    class Ours(record.NamedTuple):
        """What it says."""

        first: int
        second: str = "s"

        def both(self) -> str:
            return f"{self.first}{self.second}"

    class Theirs(NamedTuple):
        """What it says."""

        first: int
        second: str = "s"

    ours = Ours(1)
    assert ours == Theirs(1) == (1, "s")
    assert ours._replace(second="t") == Theirs(1, "t")
    assert (Ours._fields, Ours.__doc__, Ours.__module__) == (Theirs._fields, Theirs.__doc__, Theirs.__module__)
    assert ours.both() == "1s"
    with pytest.raises(TypeError):
        Ours()
