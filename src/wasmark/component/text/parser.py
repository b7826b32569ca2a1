"""Components in the text format (Explainer.md, "Component Definitions"): definitions to a `ComponentModel`."""

from __future__ import annotations

from functools import partial

from wasmark.binary.decoder import decode_module
from wasmark.binary.encoder import encode_module
from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary.names import NAME_SECTION, read_names, write_names
from wasmark.component.canons import BY_NAME, LIFT, OPTION_SORTS, OPTIONS
from wasmark.component.text.indices import Binding
from wasmark.component.text.types import ComponentTypeParser
from wasmark.text.annotations import CUSTOM
from wasmark.text.lexer import ANNOTATION, Tokens
from wasmark.text.module import ModuleParser, is_component

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from wasmark.component.types import ValType


def parse_component(source: str | Tokens) -> M.ComponentModel:
    """A component in the text format; the `(component ...)` around the definitions may be missing.

    Raises MalformedError with line and column, and UnsupportedError for values that are imported, exported or started
    and for what is nested too deeply.
    """
    tokens = source if isinstance(source, Tokens) else Tokens(source)
    parser = ComponentParser(tokens, 0)
    if not is_component(tokens):
        return parser.component(None, "")
    parser.pos = 2
    model = parser.component(parser.optional_id(), ")")
    if parser.toks[parser.pos]:
        raise parser.unexpected("the end of the text")
    return model


def parse_component_fields(tokens: Tokens, pos: int, name: str | None = None) -> M.ComponentModel:
    """A component's definitions from the token `pos` to the bracket that closes it."""
    return ComponentParser(tokens, pos).component(name, ")")


class ComponentParser(ComponentTypeParser):
    """Reads one component, and those in it."""

    def component(self, name: str | None, end: str, *, is_named: bool = True) -> M.ComponentModel:
        """The definitions up to the token `end`, which is passed. `is_named` is whether its identifier is its name as
        well."""
        scope = self.enter(name)
        if not is_named:
            scope.names.component = None
        annotated = self.name_annotation()
        if annotated is not None:
            scope.names.component = annotated
        while (token := self.toks[self.pos]) == "(" or token == ANNOTATION:
            if token == ANNOTATION:
                self._annotation()
                continue
            read = _DEFINITIONS.get(self.toks[self.pos + 1])
            if read is None:
                raise self.unexpected("a definition of a component", self.pos)
            self.pos += 2
            read(self)
            self.expect(")")
        if self.toks[self.pos] != end:
            raise self.unexpected("a definition" + (" or ')'" if end else " or the end of the text"))
        self.pos += 1
        self.leave()
        given = next((each for each in scope.definitions if _is_name_section(each)), None)
        if given is not None and given.contents:  # it stands for all names
            scope.names = read_names(given.contents)
            return M.ComponentModel(scope.definitions, scope.names)
        if given is None and (names := write_names(scope.names)):
            scope.definitions.append(M.CustomSection(NAME_SECTION, names))
        elif given is not None:  # it keeps the place
            given.contents = write_names(scope.names)
        return M.ComponentModel(scope.definitions, scope.names)

    def _annotation(self) -> None:
        annotation = self.tokens.annotations[self.pos]
        if annotation.kind != CUSTOM:
            raise self.unexpected("a definition")
        self.pos += 1
        self.scope.definitions.append(M.CustomSection(annotation.text, annotation.data))

    # What definitions have in common

    def _inline_exports(self) -> list[M.ExternName]:
        """`(export "name")*`: what is exported as it is defined."""
        names = []
        while self.at_form("export") and self._is_inline(self.pos + 2):
            self.pos += 2
            names.append(self.extern_name())
            self.expect(")")
        return names

    def _is_inline(self, pos: int) -> bool:
        """Whether an export or import has nothing behind its name and attributes."""
        pos += 1
        while self.toks[pos] == "(" and self.toks[pos + 1] in ("implements", "versionsuffix", "external-id"):
            pos += 4
        return self.toks[pos] == ")"

    def _inline_import(self) -> M.ExternName | None:
        """`(import "name")`, if it stands here."""
        if not (self.at_form("import") and self._is_inline(self.pos + 2)):
            return None
        self.pos += 2
        name = self.extern_name()
        self.expect(")")
        return name

    def _export(self, names: list[M.ExternName], sort: str, index: int) -> None:
        for name in names:
            self.define(M.Export(name, sort, index), sort)

    def _elsewhere(self, sort: str, binding: Binding) -> bool:
        """A definition that is an import or an alias, with the sort put first; whether it was one."""
        if self.at_inverted_alias():
            self.inverted_alias(sort, binding)
            return True
        imported = self._inline_import()
        if imported is None:
            return False
        self.define(M.Import(imported, self.description(sort)), sort, binding)
        return True

    # Core definitions

    def core(self) -> None:
        """What follows `(core`."""
        word = self.toks[self.pos]
        if word in ("type", "rec"):
            self.core_type_form()
            return
        sort = self.core_sort_word()
        binding = self.binding()
        if sort == "core module":
            self._core_module(binding)
        elif self.at_inverted_alias():
            self.inverted_alias(sort, binding)
        elif sort == "core instance":
            self._core_instance(binding)
        elif sort == "core func" and self.at_form("canon"):
            self.pos += 2
            self.define(self._canon(), sort, binding)
            self.expect(")")
        else:
            raise self.unexpected("'(alias'" + (" or '(canon'" if sort == "core func" else ""))

    def _core_module(self, binding: Binding) -> None:
        names = self._inline_exports()
        index = self.scope.counts["core module"]
        if not self._elsewhere("core module", binding):
            if self.toks[self.pos] == "binary":
                self.pos += 1
                binary = self.strings()
            else:
                # What an annotation says is the name among the modules here, and an identifier alone both.
                parser = ModuleParser(self.tokens, self.pos)
                binary = encode_module(parser.module(None if binding[2] is not None else binding[1], ")"))
                self.pos = parser.pos - 1
            index = self.define(M.CoreModule(decode_module(binary)), "core module", binding)
        self._export(names, "core module", index)

    def _core_instance(self, binding: Binding) -> None:
        if not self.at_form("instantiate"):
            self.define(M.CoreExports(self._core_exports()), "core instance", binding)
            return
        self.pos += 2
        module = self._index_in_core("core module")
        args = []
        while self.at_form("with"):
            self.pos += 2
            name = self.name()
            self.expect("(")
            self.expect("instance")
            if self.toks[self.pos] in (")", "("):
                index = self.define(M.CoreExports(self._core_exports()), "core instance")
            else:
                index = self.plain_index("core instance")
            args.append((name, index))
            self.expect(")")
            self.expect(")")
        self.expect(")")
        self.define(M.CoreInstantiate(module, args), "core instance", binding)

    def _index_in_core(self, sort: str) -> int:
        """An index inside of a form that is about core things, where the word `core` is left out."""
        if self.toks[self.pos] != "(":
            return self.plain_index(sort)
        self.pos += 1
        self.expect(sort.removeprefix("core "))
        return self.rest_of_index(sort)

    def _core_exports(self) -> list[tuple[str, str, int]]:
        exports = []
        while self.at_form("export"):
            self.pos += 2
            name = self.name()
            self.expect("(", " and what is exported")
            sort = self.core_sort_word()
            exports.append((name, sort, self.rest_of_index(sort)))
            self.expect(")")
        return exports

    # Components, instances, functions, types

    def nested(self) -> None:
        """What follows `(component`."""
        binding = self.binding()
        names = self._inline_exports()
        index = self.scope.counts["component"]
        if not self._elsewhere("component", binding):
            model = self.component(binding[1], ")", is_named=binding[2] is None)
            self.pos -= 1
            index = self.define(M.NestedComponent(model), "component", binding)
        self._export(names, "component", index)

    def instance(self) -> None:
        """What follows `(instance`."""
        binding = self.binding()
        names = self._inline_exports()
        index = self.scope.counts["instance"]
        if not self._elsewhere("instance", binding):
            made = self._instantiate() if self.at_form("instantiate") else M.InlineExports(self._bag())
            index = self.define(made, "instance", binding)
        else:
            index = self.scope.counts["instance"] - 1
        self._export(names, "instance", index)

    def _instantiate(self) -> M.Instantiate:
        self.pos += 2
        component = self.index_of("component")
        args = []
        while self.at_form("with"):
            self.pos += 2
            name = self.name()
            args.append((name, *self._argument()))
            self.expect(")")
        self.expect(")")
        return M.Instantiate(component, args)

    def _argument(self) -> tuple[str, int]:
        self.expect("(", " and what is given")
        sort = self.sort_word()
        if sort == "instance" and self.toks[self.pos] in (")", "("):
            index = self.define(M.InlineExports(self._bag()), sort)
            self.expect(")")
            return sort, index
        return sort, self.rest_of_index(sort)

    def _bag(self) -> list[tuple[M.ExternName, str, int]]:
        exports = []
        while self.at_form("export"):
            self.pos += 2
            name = self.extern_name()
            exports.append((name, *self._argument()))
            self.expect(")")
        return exports

    def func(self) -> None:
        """What follows `(func`."""
        binding = self.binding()
        names = self._inline_exports()
        if not self._elsewhere("func", binding):
            type_ = self.description("func").index
            self.expect("(")
            self.expect("canon")
            self.expect("lift")
            core, options = self.index_of("core func"), self._options()
            self.expect(")")
            self.define(M.Canon("lift", (core, type_), options), "func", binding)
        self._export(names, "func", self.scope.counts["func"] - 1)

    def type(self) -> None:
        """What follows `(type`."""
        binding = self.binding()
        names = self._inline_exports()
        if not self._elsewhere("type", binding):
            self.define(M.TypeDef(self.defined_type()), "type", binding)
        self._export(names, "type", self.scope.counts["type"] - 1)

    # Canonical definitions

    def canon(self) -> None:
        """What follows `(canon`."""
        if self.toks[self.pos] == LIFT.name:
            self.pos += 1
            core, options = self.index_of("core func"), self._options()
            self.expect("(")
            self.expect("func")
            binding = self.binding()
            type_ = self.description("func").index
            self.expect(")")
            self.define(M.Canon(LIFT.name, (core, type_), options), "func", binding)
            return
        canon = self._canon()
        self.expect("(")
        self.expect("core")
        self.expect("func")
        binding = self.binding()
        self.expect(")")
        self.define(canon, "core func", binding)

    def _canon(self) -> M.Canon:
        """What follows `(canon`, of all but `lift`, up to what it makes."""
        row = BY_NAME.get(self.toks[self.pos])
        if row is None or row is LIFT:
            raise self.unexpected("a canonical definition")
        self.pos += 1
        operands = tuple([self._operand(kind) for kind in row.operands])
        return M.Canon(row.name, operands, self._options() if row.has_options else ())

    def _operand(self, kind: str) -> object:
        if kind in ("async", "cancellable", "shared"):
            present = self.toks[self.pos] == kind
            self.pos += present
            return present
        if kind == "core valtype":
            return self.value_type()
        if kind == "u32":
            return self.uint(32)
        if kind == "result":
            return self._result_operand()
        if kind != "memory":
            return self.index_of(kind)
        self.expect("(")
        self.expect("memory")
        index = self.index_of("core memory")
        self.expect(")")
        return index

    def _result_operand(self) -> ValType | None:
        if not self.at_form("result"):
            return None
        self.pos += 2
        type_ = self.value_type_ref()
        self.expect(")")
        return type_

    def _options(self) -> tuple[tuple[str, int | None], ...]:
        options: list[tuple[str, int | None]] = []
        while True:
            token = self.toks[self.pos]
            if token in OPTIONS and token not in OPTION_SORTS:
                self.pos += 1
                options.append((token, None))
                continue
            name = self.toks[self.pos + 1]
            if token != "(" or name not in OPTION_SORTS:
                return tuple(options)
            self.pos += 2
            options.append((name, self.index_of(OPTION_SORTS[name])))
            self.expect(")")

    # Imports and exports

    def import_(self) -> None:
        """What follows `(import`."""
        name = self.extern_name()
        self.described(partial(M.Import, name))

    def export(self) -> None:
        """What follows `(export`."""
        binding = self.binding()
        name = self.extern_name()
        self.expect("(", " and what is exported")
        sort = self.sort_word()
        index = self.rest_of_index(sort)
        desc = None
        if self.toks[self.pos] == "(":
            self.pos += 1
            if self.sort_word() != sort:
                raise self.unexpected(f"'({sort}'", self.pos - 1)
            desc = self.description(sort)
            self.expect(")")
        self.define(M.Export(name, sort, index, desc), sort, binding)

    def value(self) -> None:
        """`(value` and `(start`."""
        raise self.no_values()


def _is_name_section(definition: object) -> bool:
    return isinstance(definition, M.CustomSection) and definition.name == NAME_SECTION


_DEFINITIONS: Final[dict[str, Callable[[ComponentParser], None]]] = {
    "core": ComponentParser.core,
    "component": ComponentParser.nested,
    "instance": ComponentParser.instance,
    "alias": ComponentParser.alias_form,
    "type": ComponentParser.type,
    "func": ComponentParser.func,
    "canon": ComponentParser.canon,
    "import": ComponentParser.import_,
    "export": ComponentParser.export,
    "value": ComponentParser.value,
    "start": ComponentParser.value,
}
