"""Names, indices and aliases in the text format of components (Explainer.md, "Index Spaces" and "Alias Definitions").

What stands inline and has an index in a binary (the export of an instance) is put before the definition that it is part
of.
"""

from __future__ import annotations

from wasmark.component.binary.decoder import MAX_NESTING, OUTER_SORTS
from wasmark.component.model import ATTRIBUTES, CORE_SORTS, SORTS, ExportAlias, ExternName, OuterAlias
from wasmark.component.text.scope import TextScope
from wasmark.errors import UnsupportedError
from wasmark.text.types import TypeParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.text.lexer import Tokens

Binding = tuple[int, str | None, str | None]
"""A token, the identifier that stands there, and what an annotation says instead."""

_CORE_WORDS: Final = {sort.removeprefix("core "): sort for sort in CORE_SORTS.values()}
_WORDS: Final = frozenset(SORTS.values())
_IN_CORE_INSTANCES: Final = ("core func", "core table", "core memory", "core global", "core tag")
_VALUES: Final = "component values"


class IndexParser(TypeParser):
    """Reads what refers to the scope `scope`, and what adds to it. All methods raise MalformedError; UnsupportedError
    for values that are imported, exported or started, and for what is nested too deeply."""

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

    def is_index(self, ahead: int) -> bool:
        """Whether the token so many places ahead is an index."""
        token = self.toks[self.pos + ahead]
        return token[:1] == "$" or token[:1].isdecimal()

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
