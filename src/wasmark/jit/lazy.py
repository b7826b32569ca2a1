"""Functions that are compiled when they are called first.

A call that finds a function not compiled yet comes here from its thunk, through the store. It is translated by the
first tier, together with what it calls directly, up to a limit that grows from time to time: so code is published in
pieces that fill their pages. Every piece is a code object of its own, and known to the registry before any slot leads
into it. One thread at a time compiles for a module; the others that want the same wait for it.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import TYPE_CHECKING, Final

from wasmark.baseline.assembler import Context
from wasmark.baseline.image import FragmentImage
from wasmark.baseline.library import Library, keep_library, shared_library
from wasmark.baseline.module import signatures_of
from wasmark.baseline.thunks import Thunks
from wasmark.baseline.translator import Translator
from wasmark.binary import decode_body
from wasmark.compile.check import defined_signatures, escaping_signatures
from wasmark.errors import Error
from wasmark.registry.process_table import ensure_registered

if TYPE_CHECKING:
    from wasmark.baseline.assembler import Fragment
    from wasmark.binary import Instr
    from wasmark.core.model import ModuleModel
    from wasmark.jit.cache import CodeCache
    from wasmark.registry.code_object import CodeObject, RegisteredModule
    from wasmark.runtime.layout import VMLayout
    from wasmark.validate.module import ModuleValidator

_FIRST_PIECE: Final = 8 << 10
_LARGEST_PIECE: Final = 64 << 10
"""Bytes of wasm that are translated together; each piece may be twice as large as the one before."""


class LazyCode:
    """The code of one module with functions: what there is of it by now."""

    def __init__(
        self, model: ModuleModel, layout: VMLayout, cache: CodeCache | None, validator: ModuleValidator | None
    ) -> None:
        """`layout` comes from validating the module; `validator` is given where that left its bodies out."""
        self._validator = validator
        # A finalizer may run in the middle of translating, and call a function of this module.
        self._lock = threading.RLock()
        library: Library = shared_library(cache)
        library.require(signatures_of(model))
        keep_library(library, cache)
        self._model = model
        self._library = library
        self._context = Context(model, layout, library)
        first = self._first = model.imported["func"]
        signatures = defined_signatures(model)
        self.thunks = Thunks(first, signatures, dict.fromkeys(escaping_signatures(model, layout)), library)
        count = len(signatures)
        self._slots = (ctypes.c_uint64 * count)(*map(self.thunks.opener, range(count)))
        self.table_address = ctypes.addressof(self._slots)
        self._done = bytearray(count)
        self._piece = _FIRST_PIECE
        self._module: weakref.ref[RegisteredModule] | None = None
        self.pieces: list[CodeObject] = []
        """The code objects of what is compiled."""

    def attach(self, module: RegisteredModule) -> None:
        """Say whose code this is."""
        self._module = weakref.ref(module)
        self.thunks.code.modules[0].attach(module)

    def functions(self) -> list[tuple[int, int, int]]:
        """(function index, start, end) of what is compiled, in the order of addresses."""
        found = [row for piece in tuple(self.pieces) for row in piece.modules[0].functions]
        return sorted(found, key=lambda row: row[1])

    def compile(self, number: int) -> int:
        """Compile the defined function with this number unless it is there; its address now.

        Raises InvalidError (or UnsupportedError, MalformedError) where it had not been validated, OutOfCodeMemoryError.
        """
        with self._lock:
            if not self._done[number]:
                self._compile(number)
            return self._slots[number]

    def _body(self, number: int) -> list[Instr]:
        function = self._model.functions[number]
        body = decode_body(self._model, function.start, function.end)
        if self._validator is not None:
            self._validator.validate_body(number, body)
        return body

    def _compile(self, wanted: int) -> None:
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
            fragment = Translator(self._context, number).translate(body)
            fragments.append(fragment)
            for callee in fragment.callees():
                if callee - first not in seen and not self._done[callee - first]:
                    seen.add(callee - first)
                    queue.append(callee - first)
        self._piece = min(2 * self._piece, _LARGEST_PIECE)
        code = FragmentImage([fragments], self._library, outside=self.thunks.address).load()
        module = self._module() if self._module is not None else None
        if module is not None:
            code.modules[0].attach(module)
        ensure_registered(code)
        self.pieces.append(code)
        for func_index, start, _ in code.modules[0].functions:
            self._done[func_index - first] = 1
            self._slots[func_index - first] = start
