"""Core types in the text format of components, those of modules included (Explainer.md, "Type Definitions")."""

from __future__ import annotations

from wasmark.component.model import CoreExportDecl, CoreTypeDef, ModuleTypeDef
from wasmark.component.text.indices import Binding, IndexParser
from wasmark.core.model import Import as CoreImport
from wasmark.core.types import SubType, TagType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


class CoreTypeParser(IndexParser):
    """Reads core types."""

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


_CORE_DESCS: Final[dict[str, Callable[[CoreTypeParser], Any]]] = {
    "func": lambda parser: parser.type_use(parser.binder({}, {}, "param")),
    "table": lambda parser: parser.table_type(),
    "memory": lambda parser: parser.memory_type(),
    "global": lambda parser: parser.global_type(),
    "tag": lambda parser: TagType(parser.type_use(parser.binder({}, {}, "param"))),
}
