"""Damage to what a component means: the tree of its definitions is decoded, a part of it is changed for another one of
the same kind, and it is encoded again. So nearly all of it reaches the validator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, get_args

from wasmark.component import canons
from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary import decode_component, encode_component
from wasmark.core.model import ModuleModel
from wasmark.core.record import Record

_SORTS: Final = (*M.SORTS.values(), *M.CORE_SORTS.values())
_NAMES: Final = (
    *("", "a", "b-c", "x" * 100, "a--b", "1a", "a_b", "%a", "\u00e9", "[method]a.b", "[constructor]a", "[static]a.b"),
    *("[async]a", "a:b/c", "a:b/c@1.0.0", "a:b/c@1.0.1", "a:b/c@0.1.0", "a:b/c@1", "A:b/c", "a:b"),
)
_LEAVES: Final = (ModuleModel, M.ComponentNames)


def restructure(data: bytes, random: Random, other: bytes) -> bytes | None:
    """A sound component with one to three changes; None where what came out cannot be written down."""
    model = decode_component(data)
    donor = decode_component(other)
    change = _Change(random, model, donor)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        changed = _Rewriter(random.randrange(1, _count(model)), change).run(model)
        try:
            encode_component(changed)
        except (TypeError, ValueError, KeyError, AttributeError, AssertionError, IndexError):
            continue
        model = changed
    found = encode_component(model)
    return None if found == data else found


def _parts(value: Any) -> list[Any]:
    if isinstance(value, _LEAVES):
        return []
    if isinstance(value, Record):
        return [getattr(value, name) for name in type(value).field_names if name != "offset"]
    return list(value) if isinstance(value, tuple | list) else []


def _count(value: Any) -> int:
    return 1 + sum(map(_count, _parts(value)))


def _types(value: Any) -> list[T.ValType]:
    own = [value] if isinstance(value, T.ValType) else []
    return own + [each for part in _parts(value) for each in _types(part)]


class _Rewriter:
    """Copies a tree, but for one node of it, which is changed."""

    def __init__(self, target: int, change: Callable[[Any], Any]) -> None:
        self.left = target
        self.change = change

    def run(self, value: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            return self.change(value)
        if self.left < -1 or isinstance(value, _LEAVES):
            return value
        if isinstance(value, Record):
            names = [name for name in type(value).field_names if name != "offset"]
            return type(value)(**{name: self.run(getattr(value, name)) for name in names})
        if isinstance(value, tuple | list):
            return type(value)(self.run(each) for each in value)
        return value


class _Change:
    """Another value of the same kind."""

    def __init__(self, random: Random, model: M.ComponentModel, donor: M.ComponentModel) -> None:
        self.random = random
        self.model = model
        self.donor = donor
        self.types = [*_types(model), *_types(donor), *T.PRIMITIVES]

    def __call__(self, value: Any) -> Any:
        random = self.random
        match value:
            case bool():
                return not value
            case int():
                near = (value - 1, value + 1, value + 1, random.randrange(8), random.randrange(8), 1 << 20)
                return max(0, random.choice(near))
            case None:
                return random.choice((0, 1, 2, 3, random.choice(T.PRIMITIVES)))
            case str():
                return self._word(value)
            case T.ValType():
                return self._type(value)
            case tuple() | list():
                return type(value)(self._sequence(list(value)))
        if isinstance(value, get_args(M.Definition)):
            return random.choice(self.model.definitions)
        return value

    def _word(self, value: str) -> str:
        for words in (_SORTS, tuple(canons.BY_NAME), canons.OPTIONS):
            if value in words:
                return self.random.choice(words)
        return self.random.choice((*_NAMES, f"{value}-a", f"{value}1", value[:-1]))

    def _type(self, value: T.ValType) -> T.ValType:
        random = self.random
        return random.choice(
            (
                random.choice(self.types),
                random.choice(T.PRIMITIVES),
                M.TypeRef(random.randrange(8)),
                M.Handle(random.random() < 0.5, random.randrange(6)),
                T.List(value),
                T.Option(value),
                T.Result(value),
                T.Tuple((value, value)),
                T.Map(random.choice(T.PRIMITIVES), value),
                T.Stream(value),
                T.Future(value),
                T.Record((("a", value), ("b", value))),
                T.Variant((("a", value), ("b", None))),
                T.Flags(tuple(f"f{number}" for number in range(random.choice((1, 32, 33))))),
            )
        )

    def _sequence(self, items: list[Any]) -> list[Any]:
        random = self.random
        if not items:
            return items
        place = random.randrange(len(items))
        match random.randrange(5):
            case 0:
                del items[place]
            case 1:
                items.insert(place, random.choice(items))
            case 2:
                items[place], items[0] = items[0], items[place]
            case 3 if isinstance(items[0], get_args(M.Definition)) and self.donor.definitions:
                items.insert(place, random.choice(self.donor.definitions))
            case _:
                items.append(items.pop(place))
        return items
