"""What one function's LLVM function is written with: the text so far, the operand stack as SSA names, and the labels.

The translators of instructions build on it: `function_memory`, `function_objects`, and all others in `function`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.binary.metadata import branch_hints
from wasmark.compile import exceptions, fuel, tail_calls
from wasmark.compile.abi import llvm_type, result_type, signature
from wasmark.compile.access import ACCESSORS
from wasmark.compile.simple import SIMPLE
from wasmark.core.flavour import STANDARD, Flavour
from wasmark.core.object_layout import ObjectLayouts
from wasmark.core.types import FuncType

if TYPE_CHECKING:
    from wasmark.compile.exceptions import Handler
    from wasmark.core.model import Function, ModuleModel
    from wasmark.runtime.layout import VMLayout

Operand = tuple[str, str]
"""(LLVM type, LLVM value)"""


class Frame:
    """A label (core §4.2.8): where a branch goes and the slots for what it carries. `label` is used by branches to
    it."""

    __slots__ = (
        "else_label",
        "entry_values",
        "handler",
        "height",
        "is_loop",
        "label",
        "own_handler",
        "results",
        "slots",
        "types",
        "used",
    )

    def __init__(self, label: str, types: list[str], results: list[str], height: int, *, is_loop: bool = False) -> None:
        self.label = label
        self.types = types  # of the values that a branch carries
        self.results = results
        self.height = height
        self.is_loop = is_loop
        self.slots: list[str] = []
        self.used = False
        self.else_label: str | None = None
        self.entry_values: list[Operand] = []
        self.handler: Handler | None = None  # where exceptions go that are thrown directly inside
        self.own_handler: Handler | None = None


class ModuleContext:
    """What all functions of one module share while they are translated.

    here: the functions (by number, imported ones not counted) that can be called by their symbols; the others are
    called through the module's table of functions. None means all.
    """

    def __init__(
        self,
        model: ModuleModel,
        layout: VMLayout,
        prefix: str,
        here: frozenset[int] | None = None,
        flavour: Flavour = STANDARD,
    ) -> None:
        self.here = here
        self.flavour = flavour
        self.simple = SIMPLE[flavour.deterministic]
        self.model = model
        self.layout = layout
        self.prefix = prefix
        self.imported_functions = model.imported["func"]
        self.imported_globals = model.imported["global"]
        self.branch_hints = branch_hints(model)
        self.objects = ObjectLayouts(model.types)
        self._signatures: dict[int, tuple[list[str], list[str], str]] = {}
        self.wide: frozenset[int] = frozenset()
        """Of the functions that go to LLVM together, those of the wide type (see `tail_calls`), by index."""

    def abi_string(self, type_index: int) -> str:
        """The ABI string of a function type."""
        type_ = self.model.types[type_index].composite
        assert isinstance(type_, FuncType)
        return signature(type_)

    def signature(self, type_index: int) -> tuple[list[str], list[str], str]:
        """(parameter types, result types, return type) of a function type, as LLVM types."""
        found = self._signatures.get(type_index)
        if found is None:
            type_: FuncType = self.model.types[type_index].composite  # type: ignore[assignment]
            params = [llvm_type(t) for t in type_.params]
            results = [llvm_type(t) for t in type_.results]
            found = self._signatures[type_index] = (params, results, result_type(results))
        return found

    def symbol(self, func_index: int) -> str:
        """The symbol of a defined function."""
        return f"{self.prefix}f{func_index}"


class BodyWriter:
    """Where the translation of one body is written."""

    def __init__(self, context: ModuleContext, defined_index: int, scope: int) -> None:
        self.context = context
        self.layout = context.layout
        self.model = context.model
        self.function: Function = context.model.functions[defined_index]
        self.func_index = context.imported_functions + defined_index
        self.scope = scope
        self.head: list[str] = []  # allocas
        self.out: list[str] = []
        self.stack: list[Operand] = []
        self.frames: list[Frame] = []
        self.n = 0
        self.d = ""
        self.offset = 0  # of the instruction that is being translated, in the module
        self.dead = False

    def _step(self, key: str, **operands: object) -> str:
        """Emit a template of `access`, or a step of another kind; returns the name of its result."""
        self.n += 1
        result = f"%v{self.n}"
        self.out.append(STEPS[key].format(r=result, vm="%vm", n=self.n, d=self.d, **operands))
        return result

    def fill(self, template: str, type_: str | None, operands: dict[str, Any], *, same: bool = False) -> None:
        """Emit a template; its result, of this type, is pushed (None: it has none). With `same`, it belongs to the one
        before, whose names it goes on with."""
        self.n += not same
        self.out.append(template.format(r=f"%v{self.n}", n=self.n, d=self.d, **operands))
        if type_ is not None:
            self.stack.append((type_, f"%v{self.n}"))

    def _widen(self, value: str, *, is64: bool) -> str:
        """An address or index as i64."""
        if is64:
            return value
        self.n += 1
        self.out.append(f"%w{self.n} = zext i32 {value} to i64{self.d})")
        return f"%w{self.n}"

    def _narrow(self, value: str, *, is64: bool) -> Operand:
        if is64:
            return "i64", value
        self.n += 1
        self.out.append(f"%w{self.n} = trunc i64 {value} to i32{self.d})")
        return "i32", f"%w{self.n}"

    def fresh(self) -> str:
        """A name for a value that nothing else has."""
        self.n += 1
        return f"%v{self.n}"

    def _label(self, prefix: str) -> str:
        self.n += 1
        return f"{prefix}{self.n}"

    def take(self, count: int) -> list[Operand]:
        """Pop operands; the deepest first."""
        if not count:
            return []
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _slots(self, frame: Frame) -> list[str]:
        if not frame.slots and frame.types:
            self.n += 1
            frame.slots = [f"%s{self.n}.{i}" for i in range(len(frame.types))]
            self.head.extend(f"{slot} = alloca {type_}" for slot, type_ in zip(frame.slots, frame.types, strict=True))
        return frame.slots

    def _carry(self, frame: Frame) -> str:
        """Store what a branch to `frame` carries; returns the label to jump to. The operands stay on the stack.

        Also right before a conditional branch that is not taken: the slots are read at the label only, and every way
        there stores them first.
        """
        frame.used = True
        slots = self._slots(frame)
        if slots:
            for slot, (type_, value) in zip(slots, self.stack[-len(slots) :], strict=True):
                self.out.append(f"store {type_} {value}, ptr {slot}")
        return frame.label


STEPS: Final = {**ACCESSORS, **tail_calls.STEPS, **exceptions.STEPS, **fuel.STEPS}
"""All that is written in several steps, by name."""
