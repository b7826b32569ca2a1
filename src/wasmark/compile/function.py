"""One validated function body -> the text of one LLVM function.

The translator keeps the operand stack as SSA names. Locals, and the values that a branch carries to a label, live in
`alloca` slots of the entry block, which LLVM's SROA turns into SSA form: no phi is written here. Code that cannot be
reached is skipped. What an instruction does comes from the template tables (`numeric`, `access`); this file knows
control flow, and which operands a template gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.binary.metadata import LIKELY, UNLIKELY, branch_hints
from wasmark.compile import exceptions, fuel, tail_calls
from wasmark.compile.abi import LETTER_TO_LLVM, Places, llvm_type, result_type, signature
from wasmark.compile.access import ACCESS, ACCESSORS, ADDRESS_32, ADDRESS_32_OFFSET, ADDRESS_CHECKED, LOADS, STORES, USE
from wasmark.compile.atomics import ATOMICS, HOSTED, translate_atomic, translate_fence
from wasmark.compile.function_objects import ObjectInstructions
from wasmark.compile.method_names import METHOD_NAMES
from wasmark.compile.numeric import ARITHMETIC, NEUTRAL, NUMERIC, float_constant
from wasmark.compile.templates import MEMORY_ACCESS_COLUMN, location
from wasmark.compile.vector import NATURAL, V128, VECTORS, is_natural
from wasmark.compile.vector_function import VECTOR_RULES
from wasmark.compile.wide_arithmetic import WIDE, translate_wide
from wasmark.core.flavour import STANDARD, Flavour
from wasmark.core.object_layout import StructLayouts
from wasmark.core.opcodes import OPCODES, Opcode
from wasmark.core.types import FuncType
from wasmark.runtime.layout import OFFSET_GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.binary import Instr
    from wasmark.compile.exceptions import Handler
    from wasmark.core.model import Function, ModuleModel
    from wasmark.core.types import ValType
    from wasmark.runtime.layout import VMLayout

Operand = tuple[str, str]
"""(LLVM type, LLVM value)"""

_LEAF_BODY_LIMIT: Final = 4096
"""A function without calls and with fewer body bytes than this needs no stack check: its frame fits the headroom below
the limit many times over."""

_CALLING: Final = HOSTED | {
    op.name
    for op in OPCODES
    if op.name in ("call", "call_indirect", "call_ref", "memory.grow", "table.grow", *exceptions.INSTRUCTIONS)
    or ".new" in op.name
}

_WEIGHTS: Final[dict[bytes | None, str]] = {LIKELY: ", !prof !1", UNLIKELY: ", !prof !2"}
"""What a branch hint is for LLVM; the numbers are those of `prelude.METADATA`."""

_UNARY: Final = 1
_BINARY: Final = 2
_OF_FLOATS: Final = 3
_ARITHMETIC: Final = 4
_TERNARY: Final = 5
_TERNARY_OPERANDS: Final = 3
_COMMUTATIVE: Final = frozenset({"add", "mul"})


def _operands(op: Opcode) -> int:
    params = (op.sig or "").split(":")[0]
    if params not in ("ff", "FF"):
        return _TERNARY if len(params) == _TERNARY_OPERANDS else len(params)
    return _ARITHMETIC if op.name[4:] in ARITHMETIC else _OF_FLOATS


def _simple(templates: dict[str, str]) -> dict[Opcode, tuple[str, int, str]]:
    return {
        op: (templates[op.name], _operands(op), LETTER_TO_LLVM[op.sig[-1]])
        for op in OPCODES
        if op.sig is not None and op.name in templates
    }


_SIMPLE: Final[dict[bool, dict[Opcode, tuple[str, int, str]]]] = {
    deterministic: _simple(
        NUMERIC
        | VECTORS
        | {name: text for name, text in NATURAL.items() if is_natural(name, deterministic=deterministic)}
    )
    for deterministic in (False, True)
}
"""Rows that only compute -> (template, one of the five kinds of operands above, result type); by whether relaxed ones
are to be deterministic."""


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
        self.simple = _SIMPLE[flavour.deterministic]
        self.model = model
        self.layout = layout
        self.prefix = prefix
        self.imported_functions = model.imported["func"]
        self.imported_globals = model.imported["global"]
        self.branch_hints = branch_hints(model)
        self.structs = StructLayouts(model.types)
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


class FunctionTranslator(ObjectInstructions):
    """Translates one body; make a new one for each function."""

    def __init__(self, context: ModuleContext, defined_index: int, scope: int) -> None:
        self.context = context
        self.layout = context.layout
        self.model = context.model
        self.function: Function = context.model.functions[defined_index]
        self.func_index = context.imported_functions + defined_index
        self.branch_hints = context.branch_hints.get(self.func_index, {})
        self.scope = scope
        self.head: list[str] = []  # allocas
        self.out: list[str] = []
        self.stack: list[Operand] = []
        self.frames: list[Frame] = []
        self.local_types: list[str] = []
        self.n = 0
        self.d = ""
        self.offset = 0  # of the instruction that is being translated, in the module
        self.dead = False
        self.keeps_fuel = False  # whether it knows what is left, beside the store
        self.results: list[str] = []
        self.places: Places | None = None  # of the parameters, where the function has the wide type
        self.bases: dict[int, str] = {}
        self.calls: set[int] = set()  # functions called directly
        self.loaded: dict[str, tuple[int, str]] = {}  # loaded float, not used yet -> (place in `out`, location)
        self.literals: dict[str, tuple[str, bool, str]] = {}  # fenced float constant -> (itself, neutral, the fence)

    def translate(self, instrs: list[Instr]) -> str:
        """The definition of the function. `instrs` is the decoded, validated body."""
        params, results, returns = self.context.signature(self.function.type_index)
        self.results = results
        if self.func_index in self.context.wide:
            self.places = Places(self.context.abi_string(self.function.type_index))
        self.d = location(self.function.entry, self.scope)
        self._open_frame(params, instrs)
        if self.context.flavour.fuel:
            instrs = fuel.with_fuel(instrs)
            self._keep_fuel(instrs)
        self._start(params)
        self._open(Frame("return", results, results, 0))
        self._body(instrs)
        head = f"define hidden {self._header(params, returns)} #0 !dbg !{self.scope} {{\nentry:"
        return "\n".join([head, *self.head, *self.out, "}\n"])

    def _header(self, params: list[str], returns: str) -> str:
        if self.places is not None:
            return tail_calls.wide_header(self.places, returns, self.context.symbol(self.func_index))
        declared = "".join(f", {type_} %P{i}" for i, type_ in enumerate(params))
        return f"{returns} @{self.context.symbol(self.func_index)}(ptr %vm{declared})"

    def _start(self, params: list[str]) -> None:
        """Give the parameters to their locals."""
        if self.places is not None:
            tail_calls.take_parameters(self, self.places, params)
        else:
            self.out.extend(f"store {type_} %P{i}, ptr %L{i}" for i, type_ in enumerate(params))

    def _open(self, frame: Frame) -> None:
        if self.frames:
            frame.handler = self.frames[-1].handler
        self.frames.append(frame)

    def _open_frame(self, params: list[str], instrs: list[Instr]) -> None:
        types = list(params)
        for count, declared in self.function.locals:
            types.extend([llvm_type(declared)] * count)
        self.local_types = types
        self.head.extend(f"%L{i} = alloca {type_}" for i, type_ in enumerate(types))
        out = self.out
        zeros = {"ptr": "null", "i32": "0", "i64": "0", V128: "zeroinitializer"}
        for i in range(len(params), len(types)):
            type_ = types[i]
            if type_ not in zeros:
                zeros[type_] = self._fence(type_, "0.0")
            out.append(f"store {type_} {zeros[type_]}, ptr %L{i}")
        large = self.function.end - self.function.entry > _LEAF_BODY_LIMIT or len(types) > _LEAF_BODY_LIMIT // 8
        if large or any(row.name in _CALLING for row, _, _ in instrs):
            self._step("stack check", o=0)
        for index in sorted({imm[1] for row, imm, _ in instrs if row.access}):
            base = self.bases[index] = f"%mb{index}"
            out.append(
                f"%mp{index} = getelementptr i8, ptr %vm, i64 {self.layout.memory_base(index)}\n"
                f"{base} = load ptr, ptr %mp{index}, !invariant.load !0"
            )

    # --- the loop over the body -------------------------------------------------------------------

    def _body(self, instrs: list[Instr]) -> None:
        simple = self.context.simple
        special = _SPECIAL
        stack = self.stack
        push = stack.append
        pop = stack.pop
        emit = self.out.append
        literals = self.literals
        loaded = self.loaded
        scope = self.scope
        skipping = 0
        for row, imm, offset in instrs:
            if self.dead:
                name = row.name
                if name in _OPENERS:
                    skipping += 1
                    continue
                if skipping:
                    if name in _ENDS:
                        skipping -= 1
                    continue
                if name not in _CLOSERS:
                    continue
            entry = simple.get(row)
            if entry is not None:
                template, count, type_ = entry
                self.n = n = self.n + 1
                result = f"%v{n}"
                d = f", !dbg !DILocation(line: {offset}, scope: !{scope}"
                if count == _UNARY:
                    emit(template.format(r=result, a=pop()[1], n=n, d=d))
                elif count == _TERNARY:
                    c, b, a = pop()[1], pop()[1], pop()[1]
                    emit(template.format(r=result, a=a, b=b, c=c, n=n, d=d))
                else:
                    b = pop()[1]
                    a = pop()[1]
                    if count != _BINARY and (a in literals or b in literals):
                        a, b = self._literal_operands(a, b, arithmetic=count == _ARITHMETIC)
                    if count == _ARITHMETIC and (a in loaded) != (b in loaded):
                        folded = self._memory_operand(row, type_, a, b)
                        if folded is not None:
                            emit(template.format(r=result, a=a, b=b, n=n, d=folded) + USE.format(type=type_, r=result))
                            push((type_, result))
                            continue
                    emit(template.format(r=result, a=a, b=b, n=n, d=d))
                push((type_, result))
                continue
            self.offset = offset
            self.d = f", !dbg !DILocation(line: {offset}, scope: !{scope}"
            special[row](self, row, imm)

    # --- helpers ----------------------------------------------------------------------------------

    def _step(self, key: str, **operands: object) -> str:
        """Emit a template of `access`, or a step of another kind; returns the name of its result."""
        self.n += 1
        result = f"%v{self.n}"
        self.out.append(_STEPS[key].format(r=result, vm="%vm", n=self.n, d=self.d, **operands))
        return result

    def fill(self, template: str, type_: str | None, operands: dict[str, Any], *, same: bool = False) -> None:
        """Emit a template; its result, of this type, is pushed (None: it has none). With `same`, it belongs to the one
        before, whose names it goes on with."""
        self.n += not same
        self.out.append(template.format(r=f"%v{self.n}", n=self.n, d=self.d, **operands))
        if type_ is not None:
            self.stack.append((type_, f"%v{self.n}"))

    def _fence(self, type_: str, value: str) -> str:
        self.n += 1
        suffix = "f32" if type_ == "float" else "f64"
        self.out.append(f"%v{self.n} = call {type_} @llvm.arithmetic.fence.{suffix}({type_} {value})")
        return f"%v{self.n}"

    def _literal_operands(self, a: str, b: str, *, arithmetic: bool) -> tuple[str, str]:
        """The operands of a float instruction, with one that is a constant as LLVM likes to see it: unless the other
        one is a constant too, or arithmetic with it could be no operation (see `numeric`)."""
        first, second = self.literals.get(a), self.literals.get(b)
        known = second or first
        if known is None or (first and second):
            return a, b
        text, neutral, fence = known
        if arithmetic and neutral:
            return a, b
        if self.out[-1] is fence:
            self.out.pop()
        return (a, text) if second else (text, b)

    def _memory_operand(self, row: Opcode, type_: str, a: str, b: str) -> str | None:
        """Let a float instruction take an operand that was just loaded from memory itself, and answer where it is
        located then: at the load, for it may fault. None where the machine cannot do it.

        Its value needs the second use that the load loses: no later instruction may be merged with it. (Of two loaded
        operands one must come before: there is nothing to win.)
        """
        value = b if b in self.loaded else a
        if value == a and row.name[4:] not in _COMMUTATIVE:
            return None
        place, located = self.loaded.pop(value)
        self.out[place] = self.out[place].removesuffix(USE.format(type=type_, r=value))
        return located

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

    def _condition(self) -> str:
        self.n += 1
        self.out.append(f"%c{self.n} = icmp ne i32 {self.stack.pop()[1]}, 0{self.d})")
        return f"%c{self.n}"

    def _weights(self) -> str:
        """What the module says about the branch that is being translated, which goes to its first label or not."""
        return _WEIGHTS.get(self.branch_hints.get(self.offset - self.function.entry), "")

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

    # --- labels and branches ----------------------------------------------------------------------

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

    def _arrive(self, frame: Frame) -> None:
        """Put what came to `frame` by branches on the stack, which is as high as that says."""
        self._rejoin()
        for slot, type_ in zip(frame.slots, frame.types, strict=True):
            self.n += 1
            self.out.append(f"%v{self.n} = load {type_}, ptr {slot}")
            self.stack.append((type_, f"%v{self.n}"))

    def _rejoin(self) -> None:
        """What is on the stack at a label. On every way there it is the same."""

    def _block_types(self, block: tuple[tuple[ValType, ...], tuple[ValType, ...]]) -> tuple[list[str], list[str]]:
        return [llvm_type(t) for t in block[0]], [llvm_type(t) for t in block[1]]

    def block(self, row: Opcode, imm: Any) -> None:
        params, results = self._block_types(imm)
        self._open(Frame(self._label("end"), results, results, len(self.stack) - len(params)))

    def loop(self, row: Opcode, imm: Any) -> None:
        params, results = self._block_types(imm)
        frame = Frame(self._label("loop"), params, results, len(self.stack) - len(params), is_loop=True)
        self._open(frame)
        label = self._carry(frame)
        self.out.append(f"br label %{label}\n{label}:")
        del self.stack[frame.height :]
        self._arrive(frame)

    def if_(self, row: Opcode, imm: Any) -> None:
        condition = self._condition()
        params, results = self._block_types(imm)
        frame = Frame(self._label("end"), results, results, len(self.stack) - len(params))
        frame.entry_values = self.stack[frame.height :]
        frame.else_label = self._label("else")
        then = self._label("then")
        self._open(frame)
        weights = self._weights()
        self.out.append(f"br i1 {condition}, label %{then}, label %{frame.else_label}{self.d}){weights}\n{then}:")

    def else_(self, row: Opcode, imm: Any) -> None:
        frame = self.frames[-1]
        if not self.dead:
            self.out.append(f"br label %{self._carry(frame)}")
        self.out.append(f"{frame.else_label}:")
        frame.else_label = None
        del self.stack[frame.height :]
        self._rejoin()
        self.stack.extend(frame.entry_values)
        self.dead = False

    def end(self, row: Opcode, imm: Any) -> None:
        frame = self.frames[-1]
        out = self.out
        if frame.own_handler is not None:
            exceptions.end(self, frame)
        if frame.else_label is not None:  # an `if` without `else`: its parameters are its results
            self.else_(row, imm)
        self.frames.pop()
        if not frame.is_loop and frame.used:
            if not self.dead:
                out.append(f"br label %{self._carry(frame)}")
            out.append(f"{frame.label}:")
            del self.stack[frame.height :]
            self._arrive(frame)
            self.dead = False
        elif self.dead:
            del self.stack[frame.height :]
        if not self.frames and not self.dead:
            self._return(frame.results)

    def _return(self, results: list[str]) -> None:
        if not results:
            self.out.append(f"ret void{self.d})")
        elif len(results) == 1:
            self.out.append(f"ret {results[0]} {self.stack[-1][1]}{self.d})")
        elif self.places is not None and self.places.in_memory:
            tail_calls.return_in_memory(self, self.take(len(results)))
        else:
            returns = result_type(results)
            value = "poison"
            for i, (type_, operand) in enumerate(self.take(len(results))):
                self.n += 1
                self.out.append(f"%v{self.n} = insertvalue {returns} {value}, {type_} {operand}, {i}")
                value = f"%v{self.n}"
            self.out.append(f"ret {returns} {value}{self.d})")

    def br(self, row: Opcode, imm: int) -> None:
        self.out.append(f"br label %{self._carry(self.frames[-1 - imm])}{self.d})")
        self.dead = True

    def return_(self, row: Opcode, imm: Any) -> None:
        self.br(row, len(self.frames) - 1)

    def br_if(self, row: Opcode, imm: int) -> None:
        condition = self._condition()
        label = self._carry(self.frames[-1 - imm])
        go_on = self._label("next")
        weights = self._weights()
        self.out.append(f"br i1 {condition}, label %{label}, label %{go_on}{self.d}){weights}\n{go_on}:")

    def br_table(self, row: Opcode, imm: tuple[int, ...]) -> None:
        index = self.stack.pop()[1]
        labels = {depth: self._carry(self.frames[-1 - depth]) for depth in dict.fromkeys(imm)}
        cases = " ".join(f"i32 {i}, label %{labels[depth]}" for i, depth in enumerate(imm[:-1]))
        self.out.append(f"switch i32 {index}, label %{labels[imm[-1]]} [ {cases} ]{self.d})")
        self.dead = True

    def br_on_null(self, row: Opcode, imm: int) -> None:
        _, reference = self.stack.pop()
        label = self._carry(self.frames[-1 - imm])
        go_on = self._label("next")
        self.out.append(
            f"%c{self.n} = icmp eq ptr {reference}, null{self.d})\n"
            f"br i1 %c{self.n}, label %{label}, label %{go_on}{self.d})\n{go_on}:"
        )
        self.stack.append(("ptr", reference))

    def br_on_non_null(self, row: Opcode, imm: int) -> None:
        _, reference = self.stack[-1]
        label = self._carry(self.frames[-1 - imm])
        go_on = self._label("next")
        self.out.append(
            f"%c{self.n} = icmp ne ptr {reference}, null{self.d})\n"
            f"br i1 %c{self.n}, label %{label}, label %{go_on}{self.d})\n{go_on}:"
        )
        self.stack.pop()

    def unreachable(self, row: Opcode, imm: Any) -> None:
        self.out.append(_UNREACHABLE.format(d=self.d))
        self.dead = True

    def nop(self, row: Opcode, imm: Any) -> None:
        """Nothing is emitted."""

    def fuel(self, row: Opcode, imm: int) -> None:
        if self.keeps_fuel:
            self._step("fuel kept", o=imm, known=fuel.KEPT)
        else:
            self._step("fuel", o=imm)

    def _keep_fuel(self, instrs: list[Instr]) -> None:
        if not fuel.is_left_to_handlers(instrs):
            self.keeps_fuel = True
            self.head.append(f"{fuel.KEPT} = alloca i64")
            self._step("fuel again", known=fuel.KEPT)

    # --- calls ------------------------------------------------------------------------------------

    def _call(self, type_index: int, callee: str, vmctx: str) -> None:
        handler = self.frames[-1].handler
        if handler is not None:
            exceptions.call_guarded(self, handler, type_index, callee, vmctx)
            return
        params, results, returns = self.context.signature(type_index)
        arguments = "".join(f", {type_} {value}" for type_, value in self.take(len(params)))
        self.n += 1
        n = self.n
        # Each call is a frame of its own in tracebacks: LLVM may not make one of two equal ones.
        target = f"%v{n} = " if results else ""
        self.out.append(f"{target}call {returns} {callee}(ptr {vmctx}{arguments}) nomerge{self.d})")
        if self.keeps_fuel:
            self._step("fuel again", known=fuel.KEPT)
        if not results:
            return
        if len(results) == 1:
            self.stack.append((returns, f"%v{n}"))
            return
        for i, type_ in enumerate(results):
            self.out.append(f"%v{n}.{i} = extractvalue {returns} %v{n}, {i}")
            self.stack.append((type_, f"%v{n}.{i}"))

    def callee(self, func_index: int, *, tail: bool = False) -> tuple[str, str]:
        """(code, context) of a function of the module, for an ordinary call or a tail call."""
        context = self.context
        if func_index < context.imported_functions:
            self._step("callee imported", o=self.layout.imported_function(func_index))
            return f"%code{self.n}", f"%ctx{self.n}"
        number = func_index - context.imported_functions
        if context.here is not None and number not in context.here:
            self._step("callee slot", o=8 * number)
            return f"%code{self.n}", "%vm"
        self.calls.add(func_index)
        symbol = context.symbol(func_index)
        wide = func_index in context.wide
        return f"@{symbol}" if wide is tail else tail_calls.hidden(self, symbol), "%vm"

    def indirect_callee(self, imm: tuple[int, int]) -> tuple[str, str]:
        """(code, context) of the element of a table whose index is popped."""
        type_index, table = imm
        limits = self.model.table_types[table].limits
        index = self._widen(self.stack.pop()[1], is64=limits.is64)
        step = "callee table fixed" if limits.minimum == limits.maximum else "callee table"
        self._step(step, a=index, o=self.layout.table_def(table), length=limits.minimum)
        self.n -= 1  # the next steps go on with this one's names
        self._step("callee type", o=self.layout.type_id(type_index))
        self.n -= 1
        self._step("callee type final" if self.model.types[type_index].final else "callee type open")
        self.n -= 1
        self._step("callee load")
        return f"%code{self.n}", f"%ctx{self.n}"

    def referenced_callee(self) -> tuple[str, str]:
        """(code, context) of a reference that is popped."""
        self._step("callee ref", a=self.stack.pop()[1])
        self.n -= 1
        self._step("callee load")
        return f"%code{self.n}", f"%ctx{self.n}"

    def call(self, row: Opcode, imm: int) -> None:
        self._call(self.model.func_types[imm], *self.callee(imm))

    def call_indirect(self, row: Opcode, imm: tuple[int, int]) -> None:
        self._call(imm[0], *self.indirect_callee(imm))

    def call_ref(self, row: Opcode, imm: int) -> None:
        self._call(imm, *self.referenced_callee())

    def leave(self, signature: str, code: str, context: str) -> None:
        """A tail call."""
        tail_calls.leave(self, signature, code, context)

    # --- parametric and variable instructions -----------------------------------------------------

    def drop(self, row: Opcode, imm: Any) -> None:
        self.stack.pop()

    def select(self, row: Opcode, imm: Any) -> None:
        condition = self._condition()
        type_, second = self.stack.pop()
        _, first = self.stack.pop()
        self.n += 1
        self.out.append(f"%v{self.n} = select i1 {condition}, {type_} {first}, {type_} {second}{self.d})")
        self.stack.append((type_, f"%v{self.n}"))

    def local_get(self, row: Opcode, imm: int) -> None:
        self.n += 1
        type_ = self.local_types[imm]
        self.out.append(f"%v{self.n} = load {type_}, ptr %L{imm}")
        self.stack.append((type_, f"%v{self.n}"))

    def local_set(self, row: Opcode, imm: int) -> None:
        type_, value = self.stack.pop()
        self.out.append(f"store {type_} {value}, ptr %L{imm}")

    def local_tee(self, row: Opcode, imm: int) -> None:
        type_, value = self.stack[-1]
        self.loaded.pop(value, None)
        self.out.append(f"store {type_} {value}, ptr %L{imm}")

    def _global(self, action: str, index: int, **operands: object) -> str:
        type_ = llvm_type(self.model.global_types[index].value)
        if index < self.context.imported_globals:
            return self._step(f"{action} imported", o=self.layout.global_pointers + 8 * index, type=type_, **operands)
        return self._step(action, o=self.layout.global_cell(index), type=type_, **operands)

    def global_get(self, row: Opcode, imm: int) -> None:
        self.stack.append((llvm_type(self.model.global_types[imm].value), self._global("global.get", imm)))

    def global_set(self, row: Opcode, imm: int) -> None:
        self._global("global.set", imm, a=self.stack.pop()[1])

    def integer_const(self, row: Opcode, imm: int) -> None:
        self.stack.append((row.name[:3], str(imm)))

    def float_const(self, row: Opcode, imm: int) -> None:
        type_ = "float" if row.name == "f32.const" else "double"
        value = float_constant(type_, imm)
        fenced = self._fence(type_, value)
        self.literals[fenced] = (value, imm in NEUTRAL[type_], self.out[-1])
        self.stack.append((type_, fenced))

    # --- memory -----------------------------------------------------------------------------------

    def address(self, row: Opcode, imm: tuple[int, int, int], address: str) -> None:
        """Emit the address of an access as `%p<self.n>`."""
        _, memory, offset = imm
        base = self.bases[memory]
        type_ = self.model.memory_types[memory]
        if type_.is_guarded and offset + row.access <= OFFSET_GUARD:
            self.n += 1
            template = ADDRESS_32_OFFSET if offset else ADDRESS_32
            self.out.append(template.format(a=address, base=base, o=offset, n=self.n, d=self.d))
            return
        address = self._widen(address, is64=type_.limits.is64)
        extent = offset + row.access
        if extent >= 1 << 63:  # beyond every possible memory: fails the check, and stays a valid constant
            offset, extent = 0, (1 << 63) - 1
        self._step("memory.length", o=self.layout.memory_def(memory))
        length = f"%len{self.n}"
        self.n += 1
        self.out.append(
            ADDRESS_CHECKED.format(a=address, base=base, o=offset, extent=extent, length=length, n=self.n, d=self.d)
        )

    def load(self, row: Opcode, imm: tuple[int, int, int]) -> None:
        self.address(row, imm, self.stack.pop()[1])
        result = f"%v{self.n}"
        self.out.append(ACCESS[row.name].format(r=result, n=self.n, d=self.d))
        type_ = LOADS[row.name][2]
        if type_[0] != "i":
            self.loaded[result] = (len(self.out) - 1, f"{self.d}, column: {MEMORY_ACCESS_COLUMN}")
        self.stack.append((type_, result))

    def store(self, row: Opcode, imm: tuple[int, int, int]) -> None:
        value = self.stack.pop()[1]
        self.address(row, imm, self.stack.pop()[1])
        self.out.append(ACCESS[row.name].format(b=value, n=self.n, d=self.d))

    def memory_size(self, row: Opcode, imm: int) -> None:
        type_ = self.model.memory_types[imm]
        pages = self._step("memory.size", o=self.layout.memory_def(imm), shift=type_.page_size_log2)
        self.stack.append(self._narrow(pages, is64=type_.limits.is64))

    def memory_grow(self, row: Opcode, imm: int) -> None:
        is64 = self.model.memory_types[imm].limits.is64
        delta = self._widen(self.stack.pop()[1], is64=is64)
        pages = self._step("memory.grow", o=self.layout.memory_def(imm), a=delta)
        self.stack.append(self._narrow(pages, is64=is64))

    def _bulk(self, row: Opcode, where: tuple[int, int], is64: tuple[bool, bool, bool], **offsets: int) -> None:
        """A bulk instruction: pops length, source (or value) and destination; `is64` of each, deepest first."""
        c = self._widen(self.stack.pop()[1], is64=is64[2])
        b = self.stack.pop()[1] if row.name.endswith("fill") else self._widen(self.stack.pop()[1], is64=is64[1])
        a = self._widen(self.stack.pop()[1], is64=is64[0])
        self._step(row.name, a=a, b=b, c=c, o=where[0], o2=where[1])

    def memory_fill(self, row: Opcode, imm: int) -> None:
        is64 = self.model.memory_types[imm].limits.is64
        self._bulk(row, (self.layout.memory_def(imm), 0), (is64, is64, is64))

    def memory_copy(self, row: Opcode, imm: tuple[int, int]) -> None:
        to, from_ = (self.model.memory_types[index].limits.is64 for index in imm)
        where = (self.layout.memory_def(imm[0]), self.layout.memory_def(imm[1]))
        self._bulk(row, where, (to, from_, to and from_))

    def memory_init(self, row: Opcode, imm: tuple[int, int]) -> None:
        segment, memory = imm
        where = (self.layout.memory_def(memory), self.layout.data_segments + 16 * segment)
        self._bulk(row, where, (self.model.memory_types[memory].limits.is64, False, False))

    def data_drop(self, row: Opcode, imm: int) -> None:
        self._step(row.name, o=self.layout.data_segments + 16 * imm)

    # --- tables and references --------------------------------------------------------------------

    def table_get(self, row: Opcode, imm: int) -> None:
        index = self._widen(self.stack.pop()[1], is64=self.model.table_types[imm].limits.is64)
        self.stack.append(("ptr", self._step(row.name, o=self.layout.table_def(imm), a=index)))

    def table_set(self, row: Opcode, imm: int) -> None:
        value = self.stack.pop()[1]
        index = self._widen(self.stack.pop()[1], is64=self.model.table_types[imm].limits.is64)
        self._step(row.name, o=self.layout.table_def(imm), a=index, b=value)

    def table_size(self, row: Opcode, imm: int) -> None:
        size = self._step(row.name, o=self.layout.table_def(imm))
        self.stack.append(self._narrow(size, is64=self.model.table_types[imm].limits.is64))

    def table_grow(self, row: Opcode, imm: int) -> None:
        is64 = self.model.table_types[imm].limits.is64
        delta = self._widen(self.stack.pop()[1], is64=is64)
        size = self._step(row.name, o=self.layout.table_def(imm), a=self.stack.pop()[1], b=delta)
        self.stack.append(self._narrow(size, is64=is64))

    def table_fill(self, row: Opcode, imm: int) -> None:
        is64 = self.model.table_types[imm].limits.is64
        self._bulk(row, (self.layout.table_def(imm), 0), (is64, False, is64))

    def table_copy(self, row: Opcode, imm: tuple[int, int]) -> None:
        to, from_ = (self.model.table_types[index].limits.is64 for index in imm)
        where = (self.layout.table_def(imm[0]), self.layout.table_def(imm[1]))
        self._bulk(row, where, (to, from_, to and from_))

    def table_init(self, row: Opcode, imm: tuple[int, int]) -> None:
        segment, table = imm
        where = (self.layout.table_def(table), self.layout.element_segments + 16 * segment)
        self._bulk(row, where, (self.model.table_types[table].limits.is64, False, False))

    def elem_drop(self, row: Opcode, imm: int) -> None:
        self._step(row.name, o=self.layout.element_segments + 16 * imm)

    def ref_null(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("ptr", "null"))

    def ref_is_null(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("i32", self._step(row.name, a=self.stack.pop()[1])))

    def ref_as_non_null(self, row: Opcode, imm: Any) -> None:
        self._step(row.name, a=self.stack[-1][1])

    def ref_func(self, row: Opcode, imm: int) -> None:
        if imm < self.context.imported_functions:
            value = self._step("ref.func imported", o=self.layout.imported_function(imm) + 16)
        else:
            value = self._step("ref.func", o=self.layout.funcref(imm))
        self.stack.append(("ptr", value))


_OPENERS: Final = frozenset({"block", "loop", "if", "try_table", "try"})
_ENDS: Final = frozenset({"end", "delegate"})
_CLOSERS: Final = _ENDS | {"else", "catch", "catch_all"}
_UNREACHABLE: Final = "call void @llvm.ubsantrap(i8 1) #1{d}, column: 1)\nunreachable"

_IRREGULAR: Final = {
    **METHOD_NAMES,
    "i32.const": "integer_const",
    "i64.const": "integer_const",
    "f32.const": "float_const",
    "f64.const": "float_const",
}


def _method_name(name: str) -> str:
    if name in LOADS:
        return "load"
    if name in STORES:
        return "store"
    return _IRREGULAR.get(name, name.replace(".", "_"))


_RULES: Final[dict[str, Callable[[FunctionTranslator, Opcode, Any], None]]] = {
    **VECTOR_RULES,
    **dict.fromkeys(WIDE, translate_wide),
    **dict.fromkeys(ATOMICS, translate_atomic),
    "atomic.fence": translate_fence,
    **tail_calls.INSTRUCTIONS,
    **exceptions.INSTRUCTIONS,
}
"""Rules that are in files of their own."""
_STEPS: Final = {**ACCESSORS, **tail_calls.STEPS, **exceptions.STEPS, **fuel.STEPS}

_SPECIAL: Final[dict[Opcode, Callable[[FunctionTranslator, Opcode, Any], None]]] = {
    op: _RULES.get(op.name) or getattr(FunctionTranslator, _method_name(op.name))
    for op in (*OPCODES, fuel.FUEL)
    if op not in _SIMPLE[False]
}
"""Rows with a rule of their own -> the method that translates them. A row without one fails here, at import."""
