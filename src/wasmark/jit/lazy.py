"""Functions that are compiled when they are called first, and again when they prove to be hot.

A call that finds a function not compiled yet comes here from its thunk, through the store. It is translated by the
first tier, together with what it calls directly, up to a limit that grows from time to time: so code is published in
pieces that fill their pages. Every piece is a code object of its own, and known to the registry before any slot leads
into it. One thread at a time compiles for a module; the others that want the same wait for it.

Code of the first tier counts how often its functions are called and its loops go round (see `baseline.shapes`). At a
limit it asks for code of the second tier: for the function, which gets its slot, or for a loop, which goes on in it at
once. Code of the first tier stays, for it may still be running.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref

from wasmark.baseline.thunks import Thunks
from wasmark.binary import decode_body
from wasmark.binary.names import module_name
from wasmark.compile.hot import Hot
from wasmark.errors import Error
from wasmark.jit.ledger import About, Ledger, open_ledger, stored_pieces
from wasmark.jit.optimizer import optimizer
from wasmark.registry.code_object import CodeModule, CodeObject
from wasmark.registry.process_table import ensure_registered
from wasmark.runtime.elf import make_image
from wasmark.runtime.forks import RenewedLock
from wasmark.runtime.image import load
from wasmark.runtime.late_import import late_import
from wasmark.runtime.symbols import process_symbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from wasmark.baseline.assembler import Context, Fragment
    from wasmark.baseline.library import Library
    from wasmark.binary import Instr
    from wasmark.config import Config
    from wasmark.core.model import ModuleModel
    from wasmark.jit.cache import CodeCache, StoredArtefact
    from wasmark.jit.optimizer import Optimizer
    from wasmark.registry.code_object import RegisteredModule
    from wasmark.runtime.layout import VMLayout
    from wasmark.validate.module import ModuleValidator

_FIRST_PIECE: Final = 8 << 10
_LARGEST_PIECE: Final = 64 << 10
"""Bytes of wasm that are translated together; each piece may be twice as large as the one before."""

_WAITING: Final = 1_000_000
"""How often code that waits for the second tier runs until it asks again."""

_numbers = itertools.count(1)


class LazyCode:
    """The code of one module with functions: what there is of it by now."""

    def __init__(
        self,
        model: ModuleModel,
        layout: VMLayout,
        config: Config,
        cache: CodeCache | None,
        key: bytes,
        validator: Callable[[], ModuleValidator] | None,
        stored: StoredArtefact | None,
        about: About | None,
    ) -> None:
        """`layout` comes from validating the module; `validator` is given where that left its bodies out, and answers
        what checks them. `key` is where the cache has its code, `stored` what it has, `about` what that says."""
        self.number = next(_numbers)
        self._validator = validator
        self._limit = config.tier_up
        self._in_background = config.tier_up_in_background
        # A finalizer may run in the middle of translating, and call a function of this module.
        self._lock = RenewedLock()
        self._model = model
        self._cache = cache
        self._layout = layout
        self.flavour = config.flavour
        self._first_tier: tuple[Library, Context] | None = None
        if about is None:
            about = self._learned(validated=validator is None)
        first = self._first = model.imported["func"]
        self.thunks = Thunks(first, about.contexts, about.trampolines)
        count = len(about.contexts)
        # The table of functions: an address for each, and behind them a counter for each.
        table = ctypes.create_string_buffer(12 * count)
        self.table_address = ctypes.addressof(table)
        self._slots = (ctypes.c_uint64 * count).from_buffer(table)
        self._slots[:] = list(self.thunks.openers())
        self._counters = (ctypes.c_int32 * count).from_buffer(table, 8 * count)
        if self._limit is not None:
            self._counters[:] = [self._limit] * count
        self._optimized: dict[Hot, int] = {}  # the address of its code
        self._asked: dict[Hot, Optimizer] = {}  # what is on its way
        self._done = bytearray(count)
        self._piece = _FIRST_PIECE
        self._module: weakref.ref[RegisteredModule] | None = None
        self.pieces: list[CodeObject] = []
        """The code objects of what is compiled."""
        self._ledger: Ledger | None = None
        if stored is not None:
            self._take(stored)
        if cache is not None:
            self._ledger = Ledger(key, cache, first, about)
            open_ledger(self._ledger, self)

    def _learned(self, *, validated: bool) -> About:
        """What the cache is going to know of a module that it does not have."""
        late_import("wasmark.baseline.ways_in")
        from wasmark.baseline.ways_in import contexts, trampolines
        from wasmark.compile.check import defined_signatures, escaping_signatures

        library, _ = self._translating()
        return About(
            module_name(self._model),
            validated,
            self._layout.escaping,
            contexts(library, defined_signatures(self._model)),
            trampolines(library, escaping_signatures(self._model, self._layout)),
        )

    def _translating(self) -> tuple[Library, Context]:
        """The stencils that the first tier needs, and what it knows of the module. What is in the cache needs none."""
        with self._lock.held:
            if self._first_tier is None:
                late_import("wasmark.baseline.assembler")
                from wasmark.baseline.assembler import Context

                late_import("wasmark.baseline.library")
                from wasmark.baseline.library import keep_library, shared_library

                late_import("wasmark.compile.check")
                from wasmark.compile.check import signatures_of

                library = shared_library(self._cache)
                library.require(signatures_of(self._model))
                keep_library(library, self._cache)
                context = Context(
                    self._model,
                    self._layout,
                    library,
                    self.flavour,
                    lazy=True,
                    counted=self._limit is not None,
                )
                self._first_tier = library, context
            return self._first_tier

    def attach(self, module: RegisteredModule) -> None:
        """Say whose code this is."""
        self._module = weakref.ref(module)
        for code in (self.thunks.code, *self.pieces):
            code.modules[0].attach(module)

    def functions(self) -> list[tuple[int, int, int]]:
        """(function index, start, end) of what is compiled, in the order of addresses."""
        found = [row for piece in tuple(self.pieces) for row in piece.modules[0].functions]
        return sorted(found, key=lambda row: row[1])

    def compile(self, number: int) -> int:
        """Compile the defined function with this number unless it is there; its address now.

        Raises InvalidError (or UnsupportedError, MalformedError) where it had not been validated, OutOfCodeMemoryError.
        """
        with self._lock.held:
            if not self._done[number]:
                self._compile(number)
            return self._slots[number]

    def _body(self, number: int) -> list[Instr]:
        function = self._model.functions[number]
        body = decode_body(self._model, function.start, function.end)
        if self._validator is not None:
            self._validator().validate_body(number, body)
        return body

    def _compile(self, wanted: int) -> None:
        library, context = self._translating()
        translator = late_import("wasmark.baseline.translator").Translator
        image = late_import("wasmark.baseline.image").FragmentImage
        functions = self._model.functions
        first = self._first
        room = self._piece
        queue = [wanted]
        seen = {wanted}
        fragments: list[Fragment] = []
        for number in queue:
            function = functions[number]
            room -= function.end - function.entry
            if fragments and room < 0:
                break
            try:
                body = self._body(number)
            except Error:
                if number == wanted:
                    raise
                continue  # that is told when it is called
            fragment = translator(context, number).translate(body)
            fragments.append(fragment)
            for callee in fragment.callees:
                if callee - first not in seen and not self._done[callee - first]:
                    seen.add(callee - first)
                    queue.append(callee - first)
        self._piece = min(2 * self._piece, _LARGEST_PIECE)
        code = image([fragments], library).load()
        self._publish(code)
        if self._ledger is not None:
            self._ledger.add_fragments(fragments, library)
        for func_index, start, _ in code.modules[0].functions:
            self._done[func_index - first] = 1
            self._slots[func_index - first] = start

    def _take(self, stored: StoredArtefact) -> None:
        """Use what the cache has."""
        for piece in stored_pieces(stored, self._first):
            self._publish(piece.code)
            for hot, address in piece.places:
                if piece.second:
                    self._optimized.setdefault(hot, address)
                else:
                    self._done[hot.number] = 1
                    self._slots[hot.number] = address
        for (number, loop), address in self._optimized.items():
            if not loop:
                self._done[number] = 1
                self._slots[number] = address

    def _publish(self, code: CodeObject) -> None:
        module = self._module() if self._module is not None else None
        if module is not None:
            code.modules[0].attach(module)
        ensure_registered(code)
        self.pieces.append(code)

    # --- the second tier --------------------------------------------------------------------------

    @property
    def binary(self) -> bytes:
        """The module."""
        return self._model.data

    @property
    def escaping(self) -> list[int]:
        """The functions that can become references."""
        return self._layout.escaping

    def size(self, hot: Hot) -> int:
        """Bytes of wasm of a function."""
        function = self._model.functions[hot.number]
        return function.end - function.entry

    def tier_up(self, number: int, loop: int) -> int:
        """What code of the first tier asks when a counter has come to its end: the address of code that goes on at
        this loop, or 0 where there is none by now. A function (`loop` is 0) does not change in the middle."""
        assert self._limit is not None
        hot = Hot(number, loop)
        if hot not in self._optimized:
            if self._in_background:
                self._ask(hot, urgent=True)
                if loop:
                    self._ask(Hot(number, 0), urgent=False)
            else:
                self._optimize_now(hot)
        address = self._optimized.get(hot, 0)
        self._counters[number] = self._limit if address else _WAITING
        return address if loop else 0

    def _ask(self, hot: Hot, *, urgent: bool) -> None:
        here = optimizer()
        if hot not in self._optimized and self._asked.get(hot) is not here:
            # In this order: an exception between the two has it asked for twice, and not never.
            here.request(self, hot, urgent=urgent)
            self._asked[hot] = here

    def _optimize_now(self, hot: Hot) -> None:
        hot_ir = late_import("wasmark.compile.batch").hot_ir
        compile_ir = late_import("wasmark.compile.llvm").compile_ir
        with self._lock.held:
            if hot not in self._optimized:
                text = hot_ir(self._model, self._layout, [hot], self.flavour)
                self.install([hot], compile_ir(text))

    def install(self, wanted: Sequence[Hot], data: bytes) -> None:
        """Take the object code of these pieces, and let it be used."""
        first = self._first
        loaded = load(make_image([data]), process_symbol)
        places = [loaded.symbols[hot.symbol(first)] for hot in wanted]
        rows = [(first + hot.number, start, start + size) for hot, (start, size) in zip(wanted, places, strict=True)]
        code = CodeObject(
            loaded.code_memory,
            loaded.text_start,
            loaded.text_end,
            [CodeModule(rows)],
            line_sources=loaded.line_sources,
        )
        with self._lock.held:
            self._publish(code)
            if self._ledger is not None:
                self._ledger.add_hot(wanted, data)
            for hot, (start, _) in zip(wanted, places, strict=True):
                self._optimized[hot] = start
                if not hot.loop:
                    self._slots[hot.number] = start
                self._counters[hot.number] = 0  # who is still in the first tier asks at the next loop
