"""Indices and types in the text format of components (Explainer.md, "Index Spaces", "Alias Definitions" and "Type
Definitions").

What stands inline and has an index in a binary (the type of a field, the export of an instance) is put before the
definition that it is part of.
"""

from __future__ import annotations

from functools import partial

from wasmark.component.binary.decoder import MAX_NESTING, OUTER_SORTS
from wasmark.component.model import (
    ATTRIBUTES,
    CORE_SORTS,
    SORTS,
    ComponentTypeDef,
    CoreExportDecl,
    CoreTypeDef,
    ExportAlias,
    ExportDecl,
    ExternDesc,
    ExternName,
    Handle,
    Import,
    InstanceTypeDef,
    ModuleTypeDef,
    OuterAlias,
    ResourceDef,
    TypeDef,
    TypeRef,
)
from wasmark.component.text.scope import TextScope
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
from wasmark.core.model import Import as CoreImport
from wasmark.core.types import SubType, TagType
from wasmark.errors import UnsupportedError
from wasmark.text.types import TypeParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.text.lexer import Tokens

Binding = tuple[int, str | None, str | None]
"""A token, the identifier that stands there, and what an annotation says instead."""

_PRIMITIVES: Final = {type_.name: type_ for type_ in PRIMITIVES}
_CORE_WORDS: Final = {sort.removeprefix("core "): sort for sort in CORE_SORTS.values()}
_WORDS: Final = frozenset(SORTS.values())
_IN_CORE_INSTANCES: Final = ("core func", "core table", "core memory", "core global", "core tag")
_VALUES: Final = "component values"


class ComponentTypeParser(TypeParser):
    """Reads what stands in the scope `scope`. All methods raise MalformedError; UnsupportedError for values that are
    imported, exported or started, and for what is nested too deeply."""

    def __init__(self, tokens: Tokens, pos: int = 0) -> None:
        super().__init__(tokens, pos)
        self.scope = TextScope(None, None)
        self.types = self.scope.core_types
        self._depth = 0

    # Scopes

    def enter(self, name: str | None) -> TextScope:
        """Go into a component or type; `leave` goes out again."""
        self._deeper()
        self.scope = TextScope(self.scope, name)
        self.types = self.scope.core_types
        return self.scope

    def leave(self) -> TextScope:
        """Go back to the scope outside; the one that was left."""
        left = self.scope
        assert left.parent is not None
        self._depth -= 1
        self.scope = left.parent
        self.types = self.scope.core_types
        return left

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            line, column = self.tokens.position(self.pos)
            message = f"{line}:{column}: components or types nested more than {MAX_NESTING} deep"
            raise UnsupportedError(message, part="deep nesting")

    # Names and indices

    def binding(self) -> Binding:
        """An identifier and an annotation with a name, where there are any, and where they stand."""
        at = self.pos
        return at, self.optional_id(), self.name_annotation()

    def define(self, definition: Any, sort: str, binding: Binding | None = None, count: int = 1) -> int:
        """Put a definition behind the others, and give it its name; its index."""
        scope = self.scope
        index = scope.counts[sort]
        if binding is not None:
            at, name, annotated = binding
            if name is not None:
                if name in scope.ids[sort]:
                    raise self.error(f"duplicate {sort} {name}", at)
                scope.ids[sort][name] = index
                annotated = name[1:] if annotated is None else annotated
            if annotated is not None:
                scope.names.spaces.setdefault(sort, {})[index] = annotated
        return scope.add(definition, sort, count)

    def sort_word(self) -> str:
        """A sort, as the first word or two of a form."""
        word = self.toks[self.pos]
        if word == "core":
            self.pos += 1
            return self.core_sort_word()
        if word not in _WORDS:
            raise self.unexpected("a sort: 'func', 'type', 'component', 'instance' or 'core'")
        if word == "value":
            raise self.no_values()
        self.pos += 1
        return word

    def core_sort_word(self) -> str:
        """The sort of a core thing, without the word `core`."""
        sort = _CORE_WORDS.get(self.toks[self.pos])
        if sort is None:
            raise self.unexpected(
                "a core sort: 'func', 'table', 'memory', 'global', 'tag', 'type', 'module' or 'instance'"
            )
        self.pos += 1
        return sort

    def no_values(self) -> UnsupportedError:
        """The error for the part of the component model that is about values."""
        line, column = self.tokens.position(self.pos)
        return UnsupportedError(f"{line}:{column}: values in components are not supported yet", part=_VALUES)

    def plain_index(self, sort: str) -> int:
        """A number, or an identifier of this scope or of one outside."""
        token = self.toks[self.pos]
        if token[:1] != "$":
            return self.uint(32, f"a {sort} index")
        at = self.pos
        name = self.canonical_id(token, at)
        self.pos += 1
        index = self.scope.ids[sort].get(name)
        return self._outer_index(sort, name, at) if index is None else index

    def _outer_index(self, sort: str, name: str, at: int) -> int:
        outside, count = self.scope.parent, 1
        while outside is not None:
            found = outside.ids[sort].get(name)
            if found is not None:
                if sort not in OUTER_SORTS:
                    raise self.error(f"outer item `{name[1:]}` is not a module, type, or component", at)
                alias = OuterAlias(sort, count, found)
                self.note_outer(alias)
                index = self.scope.ids[sort][name] = self.scope.add(alias, sort)
                return index
            outside, count = outside.parent, count + 1
        raise self.error(f"unknown {sort} {name}", at)

    def note_outer(self, alias: OuterAlias) -> None:
        """For the alias of a core type: let uses of its index here know what it is."""
        outside: TextScope | None = self.scope
        for _ in range(min(alias.count, MAX_NESTING + 1)):
            outside = None if outside is None else outside.parent
        if alias.sort == "core type" and outside is not None and alias.index < len(outside.core_types.types):
            self.types.types.append(outside.core_types.types[alias.index])

    def index_of(self, sort: str) -> int:
        """An index, or `(sort index name*)`: that of what an instance exports."""
        if self.toks[self.pos] != "(":
            return self.plain_index(sort)
        at = self.pos
        self.pos += 1
        if self.sort_word() != sort:
            raise self.unexpected(f"'({sort}'", at)
        return self.rest_of_index(sort)

    def rest_of_index(self, sort: str) -> int:
        """What follows `(sort`, with the closing bracket."""
        at = self.pos
        last = self.toks[self.pos + 1]
        if last[:1] != '"':
            index = self.plain_index(sort)
            self.expect(")")
            return index
        core = sort in _IN_CORE_INSTANCES
        index = self.plain_index("core instance" if core else "instance")
        names = []
        while self.toks[self.pos] != ")":
            names.append(self.name("the name of an export"))
        self.pos += 1
        if core and len(names) != 1:
            raise self.error("a core instance exports no instances", at)
        for name in names[:-1]:
            index = self.scope.add(ExportAlias("instance", False, index, name), "instance")
        return self.scope.add(ExportAlias(sort, core, index, names[-1]), sort)

    def extern_name(self) -> ExternName:
        """A name with its attributes."""
        name = self.name("the name of an import or export")
        attributes: list[tuple[str, str]] = []
        while self.toks[self.pos] == "(" and (kind := self.toks[self.pos + 1]) in ATTRIBUTES:
            if any(kind == other for other, _ in attributes):
                raise self.unexpected("what is imported or exported, and no second attribute of this kind")
            self.pos += 2
            attributes.append((kind, self.name()))
            self.expect(")")
        return ExternName(name, tuple(attributes))

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

    def is_index(self, ahead: int) -> bool:
        """Whether the token so many places ahead is an index."""
        token = self.toks[self.pos + ahead]
        return token[:1] == "$" or token[:1].isdecimal()

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

    # Aliases

    def alias_form(self) -> None:
        """What follows `(alias`, but for its closing bracket."""
        make = self._alias_target()
        self.expect("(", " and what the alias is of")
        sort = self.sort_word()
        binding = self.binding()
        self.expect(")")
        self._add_alias(make(sort), sort, binding)

    def at_inverted_alias(self) -> bool:
        """Whether an alias stands here that does not say what it makes."""
        if not self.at_form("alias"):
            return False
        names = 2 if self.toks[self.pos + 2] == "core" else 1
        return self.toks[self.pos + 4 + names] == ")"

    def inverted_alias(self, sort: str, binding: Binding) -> None:
        """`(alias ...)` in the definition of what it makes."""
        self.pos += 2
        make = self._alias_target()
        self.expect(")")
        self._add_alias(make(sort), sort, binding)

    def _add_alias(self, alias: ExportAlias | OuterAlias, sort: str, binding: Binding) -> None:
        if isinstance(alias, OuterAlias):
            self.note_outer(alias)
        self.define(alias, sort, binding)

    def _alias_target(self) -> Callable[[str], ExportAlias | OuterAlias]:
        """What makes the alias of its sort, which is known behind it."""
        word = self.toks[self.pos]
        self.pos += 1
        if word == "outer":
            return self._outer_target()
        core = word == "core"
        if core:
            word = self.toks[self.pos]
            self.pos += 1
        if word != "export":
            raise self.unexpected("'export', 'core export' or 'outer'", self.pos - 1)
        index = self.plain_index("core instance" if core else "instance")
        name = self.name("the name of an export")
        return lambda sort: ExportAlias(sort, core, index, name)

    def _outer_target(self) -> Callable[[str], OuterAlias]:
        at = self.pos
        token = self.toks[at]
        scope: TextScope | None = self.scope
        if token[:1] == "$":
            wanted = self.canonical_id(token, at)
            self.pos += 1
            count = 0
            while scope is not None and scope.name != wanted:
                scope, count = scope.parent, count + 1
            if scope is None:
                raise self.error(f"unknown component {token}", at)
        else:
            count = self.uint(32, "how many scopes outside")
            for _ in range(min(count, MAX_NESTING + 1)):
                scope = None if scope is None else scope.parent
        target = self.pos
        if not self.is_index(0):
            raise self.unexpected("an index")
        self.pos += 1

        def make(sort: str) -> OuterAlias:
            behind, self.pos = self.pos, target
            token = self.toks[target]
            if token[:1] != "$":
                index = self.uint(32)
            else:
                name = self.canonical_id(token, target)
                found = None if scope is None else scope.ids[sort].get(name)
                if found is None:
                    raise self.error(f"unknown {sort} {token}")
                index = found
            self.pos = behind
            return OuterAlias(sort, count, index)

        return make

    # Core types

    def core_type_form(self) -> None:
        """What follows `(core` in the definition of a core type, but for its closing bracket."""
        if self.toks[self.pos] == "rec":
            self.pos += 1
            self._recursion_group()
            return
        self.expect("type")
        binding = self.binding()
        if self.at_form("module"):
            self.pos += 2
            self.define(CoreTypeDef(self.module_type()), "core type", binding)
            self.expect(")")
            return
        self._core_group([binding], [self.sub_type()])

    def _recursion_group(self) -> None:
        # Members may refer to each other, so all identifiers come first.
        start = self.pos
        first = self.scope.counts["core type"]
        bindings = []
        while self.at_form("type"):
            opened = self.pos
            self.pos += 2
            bindings.append(self.binding())
            name = bindings[-1][1]
            if name is not None:
                if name in self.types.names:
                    raise self.error(f"duplicate core type {name}", bindings[-1][0])
                self.types.names[name] = first + len(bindings) - 1
            self.skip_form(opened)
        self.pos = start
        members = []
        while self.at_form("type"):
            self.pos += 2
            self.binding()
            members.append(self.sub_type())
            self.expect(")")
        for _, name, _ in bindings:
            if name is not None:
                del self.types.names[name]
        self._core_group(bindings, members)

    def _core_group(self, bindings: list[Binding], members: list[SubType]) -> None:
        scope = self.scope
        first = scope.counts["core type"]
        self.types.define(members)
        self.define(CoreTypeDef(tuple(members)), "core type", None, len(members))
        for place, (at, name, annotated) in enumerate(bindings):
            if name is not None:
                if name in self.types.names:
                    raise self.error(f"duplicate core type {name}", at)
                self.types.names[name] = first + place
                annotated = name[1:] if annotated is None else annotated
            if annotated is not None:
                scope.names.spaces.setdefault("core type", {})[first + place] = annotated

    def module_type(self) -> ModuleTypeDef:
        """The declarations of the type of a core module."""
        scope = self.enter(None)
        decls: list[Any] = scope.definitions
        while self.toks[self.pos] == "(":
            opened = self.pos
            keyword = self.toks[opened + 1]
            self.pos += 2
            if keyword == "type" or keyword == "rec":
                self.pos -= 1
                self.core_type_form()
            elif keyword == "alias":
                self._module_alias()
            elif keyword == "import":
                module, name = self.name("a module name"), self.name("a name")
                kind, desc = self._core_desc()
                decls.append(CoreImport(module, name, kind, desc))
            elif keyword == "export":
                name = self.name("a name")
                kind, desc = self._core_desc()
                decls.append(CoreExportDecl(name, kind, desc))
            else:
                raise self.unexpected("a declaration: 'type', 'rec', 'alias', 'import' or 'export'", opened)
            self.expect(")")
        return ModuleTypeDef(self.leave().definitions)

    def _module_alias(self) -> None:
        if self.toks[self.pos] != "outer":
            raise self.unexpected("'outer'")
        make = self._alias_target()
        self.expect("(")
        self.expect("type")
        binding = self.binding()
        self.expect(")")
        self._add_alias(make("core type"), "core type", binding)

    def _core_desc(self) -> tuple[str, Any]:
        self.expect("(", " and what is imported or exported")
        kind = self.toks[self.pos]
        read = _CORE_DESCS.get(kind)
        if read is None:
            raise self.unexpected("'func', 'table', 'memory', 'global' or 'tag'")
        self.pos += 1
        self.optional_id()
        known = len(self.types.types)
        desc = read(self)
        # A type that is only implied by its use is defined before it.
        for type_ in self.types.types[known:]:
            self.scope.add(CoreTypeDef((type_,)), "core type")
        self.expect(")")
        return kind, desc


_CORE_DESCS: Final[dict[str, Callable[[ComponentTypeParser], Any]]] = {
    "func": lambda parser: parser.type_use(parser.binder({}, {}, "param")),
    "table": lambda parser: parser.table_type(),
    "memory": lambda parser: parser.memory_type(),
    "global": lambda parser: parser.global_type(),
    "tag": lambda parser: TagType(parser.type_use(parser.binder({}, {}, "param"))),
}

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
