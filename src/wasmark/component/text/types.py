"""Types in the text format of components (Explainer.md, "Type Definitions").

What stands inline and has an index in a binary (the type of a field) is put before the definition that it is part of.
"""

from __future__ import annotations

from functools import partial

from wasmark.component.canons import BY_NAME, OPTIONS
from wasmark.component.model import (
    ATTRIBUTES,
    ComponentTypeDef,
    CoreTypeDef,
    ExportDecl,
    ExternDesc,
    Handle,
    Import,
    InstanceTypeDef,
    ResourceDef,
    TypeDef,
    TypeRef,
)
from wasmark.component.text.core_types import CoreTypeParser
from wasmark.component.types import (
    PRIMITIVES,
    Enum,
    FixedList,
    Flags,
    FuncType,
    Future,
    List,
    Map,
    Option,
    Record,
    Result,
    Stream,
    Tuple,
    ValType,
    Variant,
)
from wasmark.text.keywords import is_keyword

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


_PRIMITIVES: Final = {type_.name: type_ for type_ in PRIMITIVES}


def is_component_keyword(token: str) -> bool:
    """Whether this word means something somewhere in a component."""
    return token in _KEYWORDS or is_keyword(token)


class ComponentTypeParser(CoreTypeParser):
    """Reads the types of values, functions, resources, instances and components. Raises as `IndexParser` does."""

    is_word = staticmethod(is_component_keyword)

    # Value types

    def value_type_ref(self) -> ValType:
        """A primitive type, or the index of one that is defined, right here if need be."""
        token = self.toks[self.pos]
        primitive = _PRIMITIVES.get(token)
        if primitive is not None:
            self.pos += 1
            return primitive
        if token != "(":
            return TypeRef(self.plain_index("type"))
        if self.toks[self.pos + 1] == "type":
            return TypeRef(self.index_of("type"))
        return TypeRef(self.scope.add(TypeDef(self._compound()), "type"))

    def _optional_value_type(self) -> ValType | None:
        return None if self.toks[self.pos] == ")" else self.value_type_ref()

    def _compound(self) -> ValType:
        keyword = self.toks[self.pos + 1]
        read = _COMPOUND.get(keyword)
        if read is None:
            raise self.unexpected("a value type")
        self._deeper()
        self.pos += 2
        type_ = read(self)
        self.expect(")")
        self._depth -= 1
        return type_

    def _labelled(self, keyword: str) -> tuple[tuple[str, ValType], ...]:
        found = []
        while self.at_form(keyword):
            self.pos += 2
            found.append((self.name("a label"), self.value_type_ref()))
            self.expect(")")
        return tuple(found)

    def _record(self) -> ValType:
        return Record(self._labelled("field"))

    def _variant(self) -> ValType:
        cases = []
        while self.at_form("case"):
            self.pos += 2
            cases.append((self.name("a label"), self._optional_value_type()))
            self.expect(")")
        return Variant(tuple(cases))

    def _list(self) -> ValType:
        element = self.value_type_ref()
        return List(element) if self.toks[self.pos] == ")" else FixedList(element, self.uint(32))

    def _tuple(self) -> ValType:
        types = []
        while self.toks[self.pos] != ")":
            types.append(self.value_type_ref())
        return Tuple(tuple(types))

    def _labels(self) -> tuple[str, ...]:
        labels = []
        while self.toks[self.pos] != ")":
            labels.append(self.name("a label"))
        return tuple(labels)

    def _result(self) -> ValType:
        ok = None if self.toks[self.pos] == ")" or self.at_form("error") else self.value_type_ref()
        error = None
        if self.at_form("error"):
            self.pos += 2
            error = self.value_type_ref()
            self.expect(")")
        return Result(ok, error)

    # Other types

    def component_func_type(self) -> FuncType:
        """`async? (param "n" t)* (result t)?`."""
        is_async = self.toks[self.pos] == "async"
        self.pos += is_async
        params = self._labelled("param")
        result = None
        if self.at_form("result"):
            self.pos += 2
            result = self.value_type_ref()
            self.expect(")")
        return FuncType(params, result, is_async)

    def defined_type(self) -> Any:
        """What a type definition can say."""
        token = self.toks[self.pos]
        if token != "(":
            if token in _PRIMITIVES:
                self.pos += 1
                return _PRIMITIVES[token]
            raise self.unexpected("a type")
        keyword = self.toks[self.pos + 1]
        read = _DEFINED.get(keyword)
        if read is None:
            return self._compound()
        self.pos += 2
        type_ = read(self)
        self.expect(")")
        return type_

    def _resource(self) -> ResourceDef:
        self.expect("(")
        self.expect("rep")
        rep = self.value_type()
        self.expect(")")
        dtor = None
        if self.at_form("dtor"):
            self.pos += 2
            dtor = self.index_of("core func")
            self.expect(")")
        return ResourceDef(rep, dtor)

    def component_type(self) -> ComponentTypeDef:
        """The declarations of the type of a component."""
        self.enter(None)
        while self.toks[self.pos] == "(":
            if self.at_form("import"):
                self.pos += 2
                name = self.extern_name()
                self.described(partial(Import, name))
                self.expect(")")
            else:
                self._declaration()
        return ComponentTypeDef(self.leave().definitions)

    def instance_type(self) -> InstanceTypeDef:
        """The declarations of the type of an instance."""
        self.enter(None)
        while self.toks[self.pos] == "(":
            self._declaration()
        return InstanceTypeDef(self.leave().definitions)

    def _declaration(self) -> None:
        opened = self.pos
        keyword = self.toks[opened + 1]
        self.pos += 2
        if keyword == "core":
            self.core_type_form()
        elif keyword == "type":
            self.type_form()
        elif keyword == "alias":
            self.alias_form()
        elif keyword == "export":
            name = self.extern_name()
            self.described(partial(ExportDecl, name))
        else:
            raise self.unexpected("a declaration: 'type', 'core type', 'alias', 'import' or 'export'", opened)
        self.expect(")")

    def type_form(self) -> int:
        """What follows `(type`, but for its closing bracket; the index."""
        binding = self.binding()
        return self.define(TypeDef(self.defined_type()), "type", binding)

    def type_reference(self, sort: str = "type") -> int | None:
        """`(type index)`, if it stands here, and is no definition of a type."""
        if not (self.at_form("type") and self.is_index(2) and self.toks[self.pos + 3][:1] in (")", '"')):
            return None
        self.pos += 2
        return self.rest_of_index(sort)

    def described(self, make: Callable[[ExternDesc], Any]) -> None:
        """`(sort name? what it is)`: what is imported or exported, and gets an index by it."""
        self.expect("(", " and what is imported or exported")
        sort = self.sort_word()
        binding = self.binding()
        desc = self.description(sort)
        self.expect(")")
        self.define(make(desc), sort, binding)

    def description(self, sort: str) -> ExternDesc:
        """What follows the sort of an import or export, and its name."""
        if sort == "type":
            self.expect("(", " and the bound of a type")
            bound = self.toks[self.pos]
            self.pos += 1
            index = None
            if bound == "eq":
                index = self.index_of("type")
            elif bound == "sub":
                self.expect("resource")
            else:
                raise self.unexpected("'eq' or 'sub'", self.pos - 1)
            self.expect(")")
            return ExternDesc(sort, index)
        if sort not in _DESCRIBED:
            raise self.unexpected("a sort that can be imported and exported", self.pos - 1)
        if sort == "core module":
            found = self.type_reference("core type")
            if found is None:
                found = self.define(CoreTypeDef(self.module_type()), "core type")
            return ExternDesc(sort, found)
        found = self.type_reference()
        if found is None:
            found = self.define(TypeDef(_DESCRIBED[sort](self)), "type")
        return ExternDesc(sort, found)


_COMPOUND: Final[dict[str, Callable[[ComponentTypeParser], ValType]]] = {
    "record": ComponentTypeParser._record,
    "variant": ComponentTypeParser._variant,
    "list": ComponentTypeParser._list,
    "tuple": ComponentTypeParser._tuple,
    "flags": lambda parser: Flags(parser._labels()),
    "enum": lambda parser: Enum(parser._labels()),
    "option": lambda parser: Option(parser.value_type_ref()),
    "result": ComponentTypeParser._result,
    "map": lambda parser: Map(parser.value_type_ref(), parser.value_type_ref()),
    "own": lambda parser: Handle(True, parser.index_of("type")),
    "borrow": lambda parser: Handle(False, parser.index_of("type")),
    "stream": lambda parser: Stream(parser._optional_value_type()),
    "future": lambda parser: Future(parser._optional_value_type()),
}

_KEYWORDS: Final = frozenset(
    (
        *("core", "component", "instance", "alias", "outer", "canon", "instantiate", "with", "eq", "sub", "value"),
        *("field", "case", "error", "resource", "rep", "dtor", "async", "cancellable", "shared"),
        *(*_PRIMITIVES, *_COMPOUND, *ATTRIBUTES, *OPTIONS, *BY_NAME),
    )
)
"""The words of the format, but for those that modules have as well."""

_DESCRIBED: Final[dict[str, Callable[[ComponentTypeParser], Any]]] = {
    "core module": ComponentTypeParser.module_type,
    "func": ComponentTypeParser.component_func_type,
    "component": ComponentTypeParser.component_type,
    "instance": ComponentTypeParser.instance_type,
}
"""What describes an import or export that has no index for its type."""

_DEFINED: Final[dict[str, Callable[[ComponentTypeParser], Any]]] = {
    "resource": ComponentTypeParser._resource,
    "func": ComponentTypeParser.component_func_type,
    "component": ComponentTypeParser.component_type,
    "instance": ComponentTypeParser.instance_type,
}
"""Types that are not those of values."""
