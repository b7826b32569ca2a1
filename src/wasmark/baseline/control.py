"""Labels, branches and calls in the first tier.

A branch brings what it carries to the homes at the label's height; at a label everything is in its home. What a
conditional branch has to copy it copies on the way that is taken only, for the other way may still need what is there.
"""

from __future__ import annotations

from wasmark.baseline.assembler import Assembler, Handler, Label, vector_places
from wasmark.compile.abi import slot_count, vector_slots
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.layout import SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.baseline.stencil import Stencil
    from wasmark.core.opcodes import Opcode


class Control(Assembler):
    """The instructions that lead elsewhere."""

    # --- carrying ---------------------------------------------------------------------------------

    def is_carried(self, label: Label) -> bool:
        """Whether a branch to `label` would have to copy nothing."""
        count = label.carried
        if not count:
            return True
        home = self.home + SLOT_SIZE * label.height
        return self.stack[-count:] == list(range(home, home + SLOT_SIZE * count, SLOT_SIZE))

    def carry(self, height: int, count: int) -> None:
        """Bring the topmost values to the homes above `height`; the stack stays as it is.

        In this order no value is overwritten that is still to be copied: each goes down, or stays.
        """
        if count:
            for position, entry in enumerate(self.stack[-count:], height):
                self.put(entry, self.home_of(position))

    def arrive(self, label: Label) -> None:
        """The stack at the end of a label."""
        self.cut(label.height)
        self.push_homes(label.results, label.vectors)

    def ending(self, name: str) -> str:
        """The stencil that ends the body in this way."""
        return f"{name} leaving" if self.leaves else name

    def leave(self, label: Label) -> None:
        """Branch to `label` for good."""
        self.carry(label.height, label.carried)
        if label is self.labels[0]:
            self.emit(self.library[self.ending("return")])
        else:
            self.emit(self.library["jump"], taken=label)

    def branch(self, label: Label, stencil: Stencil, opposite: Stencil, **operands: int) -> None:
        """Branch where `stencil` takes its branch; `opposite` takes it otherwise."""
        if self.is_carried(label):
            self.emit(stencil, taken=label, **operands)
            return
        over: list[tuple[int, int]] = []
        self.emit(opposite, taken=over, **operands)
        self.leave(label)
        self.bind(over)

    def open(self, label: Label) -> None:
        """Open a label."""
        if self.labels:
            label.handler = self.labels[-1].handler
        self.labels.append(label)

    # --- blocks -----------------------------------------------------------------------------------

    def block(self, row: Opcode, imm: Any) -> None:
        self.save_all()
        params, results = imm
        count = slot_count(results)
        label = Label(count, count, len(self.stack) - slot_count(params))
        label.vectors = vector_places(results)
        self.open(label)

    def loop(self, row: Opcode, imm: Any) -> None:
        self.save_all()
        params, results = imm
        height = len(self.stack) - slot_count(params)
        self.settle(height)
        label = Label(slot_count(params), slot_count(results), height, is_loop=True)
        label.vectors = vector_places(results)
        label.position = len(self.out)
        self.open(label)
        if self.context.counted:
            self.count(self.offset)

    def count(self, where: int) -> None:
        """Count, and tier up at last. `where` is the loop that starts here, by the byte of the module; 0 stands for the
        function. All operands are in their homes, where optimised code can find them."""
        fixups: list[tuple[int, int]] = []
        self.emit(self.library["count"], x=self.counter, taken=fixups)
        back = Label(0, 0, 0)
        back.position = len(self.out)
        self.hot.append((where, fixups, back))

    def fuel(self, row: Opcode, imm: int) -> None:
        self.emit(self.library["fuel"], x=imm)

    def tier_up(self) -> None:
        """What all counts of the function lead to, behind its body."""
        for where, fixups, back in self.hot:
            self.bind(fixups)
            self.offset = where or self.function.start
            self.emit(self.library[self.ending("tier up")], x=self.number, y=where, taken=back)

    def if_(self, row: Opcode, imm: Any) -> None:
        condition = self.pop_slot()
        self.emit(self.library["unless"], a=condition, taken=self.begin_if(imm))

    def begin_if(self, imm: Any) -> list[tuple[int, int]]:
        """Open an `if`, to be followed by the branch to its `else`, which belongs into the list."""
        self.save_all()
        params, results = imm
        height = len(self.stack) - slot_count(params)
        self.settle(height)
        count = slot_count(results)
        label = Label(count, count, height)
        label.vectors = vector_places(results)
        label.params = slot_count(params)
        label.param_vectors = vector_places(params)
        label.else_fixups = []
        self.open(label)
        return label.else_fixups

    def else_(self, row: Opcode, imm: Any) -> None:
        label = self.labels[-1]
        if not self.dead:
            self.carry(label.height, label.carried)
            self.emit(self.library["jump"], taken=label)
        assert label.else_fixups is not None
        self.bind(label.else_fixups)
        label.else_fixups = None
        self.cut(label.height)
        self.push_homes(label.params, label.param_vectors)
        self.dead = False

    def end(self, row: Opcode, imm: Any) -> None:
        label = self.labels[-1]
        if label.own_handler is not None:
            self.close_handler(label)
        if label.else_fixups is not None:  # an `if` without `else`: its parameters are its results
            if not self.dead:
                self.carry(label.height, label.results)
            self.bind(label.else_fixups)
            self.bind(label.fixups)
            self.arrive(label)
            self.dead = False
        elif label.fixups and not label.is_loop:
            if not self.dead:
                self.carry(label.height, label.results)
            self.bind(label.fixups)
            self.arrive(label)
            self.dead = False
        elif self.dead:
            self.cut(label.height)
        elif len(self.labels) == 1:
            self.carry(0, label.results)
        self.labels.pop()
        if not self.labels and not self.dead:
            self.emit(self.library[self.ending("return")])

    # --- branches ---------------------------------------------------------------------------------

    def close_handler(self, label: Label) -> None:
        """What comes before the `end` of a block that has a handler of its own (see `exceptions`)."""
        raise NotImplementedError

    def br(self, row: Opcode, imm: int) -> None:
        self.leave(self.labels[-1 - imm])
        self.dead = True

    def return_(self, row: Opcode, imm: Any) -> None:
        self.leave(self.labels[0])
        self.dead = True

    def br_if(self, row: Opcode, imm: int) -> None:
        condition = self.pop_slot()
        self.branch(self.labels[-1 - imm], self.library["if"], self.library["unless"], a=condition)

    def br_table(self, row: Opcode, imm: tuple[int, ...]) -> None:
        """A binary search over ranges of equal targets."""
        index = self.pop_slot()
        labels = {depth: self.labels[-1 - depth] for depth in dict.fromkeys(imm)}
        landings: dict[int, Label] = {}  # where a branch has to copy something
        for depth, label in labels.items():
            landings[depth] = label if self.is_carried(label) else Label(0, 0, 0)
        starts = [i for i in range(len(imm)) if i == 0 or imm[i] != imm[i - 1]]
        below = self.library["i32.lt_u const if"]
        jump = self.library["jump"]
        pending: list[tuple[int, int, list[tuple[int, int]]]] = [(0, len(starts), [])]
        while pending:
            first, last, fixups = pending.pop()
            self.bind(fixups)
            while last - first > 1:
                middle = (first + last) // 2
                lower: list[tuple[int, int]] = []
                self.emit(below, a=index, x=starts[middle], taken=lower)
                pending.append((first, middle, lower))
                first = middle
            self.emit(jump, taken=landings[imm[starts[first]]])
        for depth, landing in landings.items():
            if landing is not labels[depth]:
                self.bind(landing.fixups)
                self.leave(labels[depth])
        self.dead = True

    def br_on_null(self, row: Opcode, imm: int) -> None:
        reference = self.pop_slot()
        library = self.library
        self.branch(self.labels[-1 - imm], library["ref.is_null if"], library["ref.is_null unless"], a=reference)
        self.stack.append(reference)

    def br_on_non_null(self, row: Opcode, imm: int) -> None:
        self.settle(len(self.stack) - 1)
        library = self.library
        a = self.stack[-1]
        self.branch(self.labels[-1 - imm], library["ref.is_null unless"], library["ref.is_null if"], a=a)
        self.stack.pop()

    def unreachable(self, row: Opcode, imm: Any) -> None:
        self.emit(self.library["unreachable"])
        self.dead = True

    # --- calls ------------------------------------------------------------------------------------

    def _arguments(self, params: int, results: int, text: str) -> int:
        """Bring the arguments to their homes, and push the results; the slot of the first of either. `text` is the ABI
        string."""
        self.calls = True
        height = len(self.stack) - params
        self.settle(height)
        self.cut(height)
        self.push_homes(results, vector_slots(text.partition(":")[2]) if "v" in text else ())
        return self.home_of(height)

    def pair(self) -> tuple[int, int]:
        """The homes above the stack, for the code and the context of who is called."""
        depth = len(self.stack)
        return self.home_of(depth), self.home_of(depth + 1)

    def find_function(self, func_index: int) -> tuple[int, int]:
        """Bring the code and the context of a function of the module to the `pair`."""
        code, context = self.pair()
        if func_index >= self.context.imported_functions:
            self.callees.append(func_index)
            if self.context.lazy:
                self.emit(self.library["own code slot"], d=code, x=8 * (func_index - self.context.imported_functions))
            else:
                self.emit(self.library["own code"], d=code, callee=func_index)
            self.emit(self.library["vmctx"], d=context)
        else:
            self.emit(self.library["ref.func"], d=code, x=self.layout.imported_function(func_index))
            self.open_reference()
        return code, context

    def open_reference(self) -> tuple[int, int]:
        """Take apart the FuncRef to which the first of the `pair` points."""
        code, context = self.pair()
        word = self.library["word"]
        self.emit(word, a=code, d=context, x=L.FUNCREF_CONTEXT)
        self.emit(word, a=code, d=code, x=L.FUNCREF_CODE)
        return code, context

    def call(self, row: Opcode, imm: int) -> None:
        type_index = self.model.func_types[imm]
        params, results, text = self.context.signature(type_index)
        handler = self.labels[-1].handler
        if handler is not None:
            self._call_guarded(type_index, self.find_function(imm)[0], handler)
            return
        if imm < self.context.imported_functions:
            pair = self.home_of(len(self.stack))
            self.emit(self.library["ref.func"], d=pair, x=self.layout.imported_function(imm))
            self._call_through(type_index, pair)
            return
        self.callees.append(imm)
        first = self._arguments(params, results, text)
        if self.context.lazy:
            slot = 8 * (imm - self.context.imported_functions)
            self.emit(self.library[f"call slot {text}"], a=first, d=first, x=slot)
        else:
            self.emit(self.library[f"call {text}"], a=first, d=first, callee=imm)

    def find_element(self, imm: tuple[int, int]) -> int:
        """Pop the index of a table's element that is to be called; the slot with its FuncRef, the home above the
        arguments."""
        type_index, table = imm
        index = self.pop_slot()
        width = "i64" if self.model.table_types[table].limits.is64 else "i32"
        kind = "final" if self.model.types[type_index].final else "open"
        pair = self.home_of(len(self.stack))
        stencil = self.library[f"call_indirect {width} {kind}"]
        self.emit(stencil, a=index, d=pair, x=self.layout.table_def(table), y=self.layout.type_id(type_index))
        return pair

    def find_reference(self) -> int:
        """The same for a reference."""
        reference = self.pop_slot()
        pair = self.home_of(len(self.stack))
        self.emit(self.library["call_ref"], a=reference, d=pair)
        return pair

    def call_indirect(self, row: Opcode, imm: tuple[int, int]) -> None:
        self._call_through(imm[0], self.find_element(imm))

    def call_ref(self, row: Opcode, imm: int) -> None:
        self._call_through(imm, self.find_reference())

    def _call_through(self, type_index: int, pair: int) -> None:
        handler = self.labels[-1].handler
        if handler is not None:
            self._call_guarded(type_index, self.open_reference()[0], handler)
            return
        params, results, text = self.context.signature(type_index)
        first = self._arguments(params, results, text)
        self.emit(self.library[f"call through {text}"], a=first, b=pair, d=first)

    def _call_guarded(self, type_index: int, code: int, handler: Handler) -> None:
        """A call of what is in the `pair`, from which exceptions go to a handler."""
        params, results, text = self.context.signature(type_index)
        first = self._arguments(params, results, text)
        handler.is_used = True
        self.emit(self.library[f"call guarded {text}"], a=first, b=code, d=first, taken=handler.fixups)
