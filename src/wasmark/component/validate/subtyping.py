"""Which type may stand where another is expected (Explainer.md, "Type Checking").

Value types have to be equal; instances may export more, components may import less and export more. Resource types that
the expected type introduces are variables: the first thing that is given for one is what it stands for from then on.
"""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.validate.core import check_core_match
from wasmark.component.validate.substitution import Substitution, Work, freshened, opened
from wasmark.component.wit import sort_of, written_function
from wasmark.errors import InvalidError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Final

    from wasmark.validate.canon import TypeRegistry


def kind_of(type_: object) -> str:
    """What a type is, in errors."""
    if isinstance(type_, T.Primitive):
        return f"primitive `{type_.name}`"
    return type_.__class__.__name__.lower()


class Matcher:
    """Compares what is given with what is expected. `variables` are resource types of what is expected; `bound` says
    what they have turned out to be, and `values`, by id, what was given for the value types that are expected by a name
    (`Substitution` takes both). All methods raise InvalidError where something does not fit."""

    def __init__(self, registry: TypeRegistry, work: Work, variables: Iterable[T.ResourceType] = ()) -> None:
        self._registry = registry
        self._work = work
        self._variables = set(variables)
        self.bound: dict[T.ResourceType, T.ResourceType] = {}
        self.values: dict[int, tuple[T.ValType, T.ValType]] = {}
        self._known: dict[tuple[int, int], tuple[object, object]] = {}

    def extern(self, actual: T.ExternType, expected: T.ExternType, what: str) -> None:
        """What is imported or exported."""
        if actual.__class__ is not expected.__class__:
            raise InvalidError(f"type mismatch in {what}: expected {sort_of(expected)}, found {sort_of(actual)}")
        _EXTERNS[actual.__class__](self, actual, expected, what)

    def type_extern(self, actual: T.TypeExtern, expected: T.TypeExtern, what: str) -> None:
        """Types as such: they are equal, or one is what the other stands for."""
        given, wanted = actual.type, expected.type
        if isinstance(wanted, T.ResourceType):
            if not isinstance(given, T.ResourceType):
                raise InvalidError(f"type mismatch in {what}: expected resource, found {_described(given)}")
            self.resource(given, wanted, what)
        elif isinstance(given, T.ResourceType):
            raise InvalidError(f"type mismatch in {what}: expected {_described(wanted)}, found resource")
        elif isinstance(wanted, T.ValType) and isinstance(given, T.ValType):
            self.value(given, wanted, what)
            self.values[id(wanted)] = wanted, given
        elif isinstance(wanted, T.ValType) or isinstance(given, T.ValType) or given.__class__ is not wanted.__class__:
            raise InvalidError(f"type mismatch in {what}: expected {_described(wanted)}, found {_described(given)}")
        else:
            self.extern(given, wanted, what)
            # Equal types fit both ways. What is a variable on the one side is none on the other.
            back = Matcher(self._registry, self._work)
            back.bound = {target: variable for variable, target in self.bound.items()}
            back.extern(wanted, given, what)

    def module(self, actual: T.CoreModuleType, expected: T.CoreModuleType, what: str) -> None:
        """Core modules: what is given may import less and export more."""
        for key, wanted in actual.imports.items():
            name = "::".join(key)
            given = expected.imports.get(key)
            if given is None:
                raise InvalidError(f"{what}: missing expected import `{name}`")
            check_core_match(self._registry, given, wanted, f"import `{name}`")
        for export, extern in expected.exports.items():
            found = actual.exports.get(export)
            if found is None:
                raise InvalidError(f"{what}: missing expected export `{export}`")
            check_core_match(self._registry, found, extern, f"export `{export}`")

    def func(self, actual: T.FuncType, expected: T.FuncType, what: str) -> None:
        """Functions: parameters with their names, and results, are equal."""
        try:
            self._func(actual, expected, what)
        except InvalidError as error:
            shapes = f"expected {written_function(expected)}, found {written_function(actual)}"
            raise InvalidError(f"{error.message} ({shapes})") from None

    def _func(self, actual: T.FuncType, expected: T.FuncType, what: str) -> None:
        if actual.is_async != expected.is_async:
            kinds = ("a function that is not async", "an async function")
            raise InvalidError(f"{what}: expected {kinds[expected.is_async]}, found {kinds[actual.is_async]}")
        if len(actual.params) != len(expected.params):
            raise InvalidError(f"{what}: expected {len(expected.params)} parameters, found {len(actual.params)}")
        for (name, given), (label, wanted) in zip(actual.params, expected.params, strict=True):
            if name != label:
                raise InvalidError(f"{what}: expected parameter named `{label}`, found `{name}`")
            self.value(given, wanted, f"{what}: type mismatch in function parameter `{name}`")
        self._optional(actual.result, expected.result, f"{what}: type mismatch with result type", "a result")

    def instance(self, actual: T.InstanceType, expected: T.InstanceType, what: str) -> None:
        """Instances: what is given may export more."""
        self._variables.update(expected.resources)
        given, _ = opened(actual, self._work)
        self.exports(given.exports, expected.exports, what)

    def exports(
        self, actual: Mapping[str, T.ExternType], expected: Mapping[str, T.ExternType], what: str, part: str = "export"
    ) -> None:
        """Each of what is expected is there, by name."""
        for name, wanted in expected.items():
            found = actual.get(name)
            if found is None:
                raise InvalidError(f"{what}: missing expected {part} `{name}`")
            self.extern(found, wanted, f"{what}, {part} `{name}`" if what else f"{part} `{name}`")

    def component(self, actual: T.ComponentType, expected: T.ComponentType, what: str) -> None:
        """Components: what is given may import less and export more, when it gets what the expected one imports."""
        given = freshened(actual, self._work)
        wanted = freshened(expected, self._work)
        imports = Matcher(self._registry, self._work, given.imported)
        offered = Substitution(self.bound, self._work)  # it may mention our variables
        imports.exports({name: offered(each) for name, each in wanted.imports.items()}, given.imports, what, "import")
        made = Substitution(imports.bound, self._work, imports.values)
        self._variables.update(wanted.exported)
        self.exports({name: made(each) for name, each in given.exports.items()}, wanted.exports, what)

    def resource(self, actual: T.ResourceType, expected: T.ResourceType, what: str) -> None:
        """Resource types: the same, or what a variable stands for."""
        if expected in self._variables:
            self._variables.discard(expected)
            self.bound[expected] = actual
        elif self.bound.get(expected, expected) != actual:
            raise InvalidError(f"{what}: resource types are not the same")

    def value(self, actual: T.ValType, expected: T.ValType, what: str) -> None:
        """Value types: equal."""
        key = id(actual), id(expected)
        if key in self._known:
            return
        if actual.__class__ is not expected.__class__:
            raise InvalidError(f"{what}: expected {kind_of(expected)}, found {kind_of(actual)}")
        compare = _VALUES.get(actual.__class__)
        if compare is not None:
            compare(self, actual, expected, what)
        self._known[key] = actual, expected

    def _optional(self, actual: T.ValType | None, expected: T.ValType | None, what: str, part: str) -> None:
        if actual is None or expected is None:
            if actual is not expected:
                none = f"expected {part}, but found none" if actual is None else f"expected {part} to not be present"
                raise InvalidError(f"{what}: {none}")
            return
        self.value(actual, expected, what)

    def _handle(self, actual: Any, expected: Any, what: str) -> None:
        self.resource(actual.resource, expected.resource, what)

    def _element(self, actual: Any, expected: Any, what: str) -> None:
        self._optional(actual.element, expected.element, f"{what}: type mismatch in element", "an element type")

    def _fixed_list(self, actual: T.FixedList, expected: T.FixedList, what: str) -> None:
        if actual.length != expected.length:
            raise InvalidError(f"{what}: expected a list of {expected.length}, found one of {actual.length}")
        self._element(actual, expected, what)

    def _map(self, actual: T.Map, expected: T.Map, what: str) -> None:
        self.value(actual.key, expected.key, f"{what}: type mismatch in map key")
        self.value(actual.value, expected.value, f"{what}: type mismatch in map value")

    def _option(self, actual: T.Option, expected: T.Option, what: str) -> None:
        self.value(actual.some, expected.some, f"{what}: type mismatch in option")

    def _record(self, actual: T.Record, expected: T.Record, what: str) -> None:
        if len(actual.fields) != len(expected.fields):
            raise InvalidError(f"{what}: expected {len(expected.fields)} fields, found {len(actual.fields)}")
        for (name, given), (label, wanted) in zip(actual.fields, expected.fields, strict=True):
            if name != label:
                raise InvalidError(f"{what}: expected field name `{label}`, found `{name}`")
            self.value(given, wanted, f"{what}: type mismatch in record field `{name}`")

    def _tuple(self, actual: T.Tuple, expected: T.Tuple, what: str) -> None:
        if len(actual.types) != len(expected.types):
            raise InvalidError(f"{what}: expected {len(expected.types)} types, found {len(actual.types)}")
        for place, (given, wanted) in enumerate(zip(actual.types, expected.types, strict=True)):
            self.value(given, wanted, f"{what}: type mismatch in tuple field {place}")

    def _variant(self, actual: T.Variant, expected: T.Variant, what: str) -> None:
        if len(actual.cases) != len(expected.cases):
            raise InvalidError(f"{what}: expected {len(expected.cases)} cases, found {len(actual.cases)}")
        for (name, given), (label, wanted) in zip(actual.cases, expected.cases, strict=True):
            if name != label:
                raise InvalidError(f"{what}: expected case named `{label}`, found `{name}`")
            self._optional(given, wanted, f"{what}: type mismatch in variant case `{name}`", "a type")

    def _labels(self, actual: Any, expected: Any, what: str) -> None:
        if actual.labels != expected.labels:
            raise InvalidError(f"{what}: mismatch in {kind_of(actual)} elements")

    def _result(self, actual: T.Result, expected: T.Result, what: str) -> None:
        self._optional(actual.ok, expected.ok, f"{what}: type mismatch in ok variant", "an ok type")
        self._optional(actual.error, expected.error, f"{what}: type mismatch in err variant", "an err type")


def _described(type_: object) -> str:
    return "defined type" if isinstance(type_, T.ValType) else kind_of(type_)


_EXTERNS: Final[dict[type, Callable[[Matcher, Any, Any, str], None]]] = {
    T.CoreModuleType: Matcher.module,
    T.FuncType: Matcher.func,
    T.InstanceType: Matcher.instance,
    T.ComponentType: Matcher.component,
    T.TypeExtern: Matcher.type_extern,
}

_VALUES: Final[dict[type, Callable[[Matcher, Any, Any, str], None]]] = {
    T.List: Matcher._element,
    T.FixedList: Matcher._fixed_list,
    T.Map: Matcher._map,
    T.Record: Matcher._record,
    T.Tuple: Matcher._tuple,
    T.Variant: Matcher._variant,
    T.Enum: Matcher._labels,
    T.Flags: Matcher._labels,
    T.Option: Matcher._option,
    T.Result: Matcher._result,
    T.Own: Matcher._handle,
    T.Borrow: Matcher._handle,
    T.Stream: Matcher._element,
    T.Future: Matcher._element,
}
