"""`ModuleRegistry`: the modules of one store, found by the addresses of their code.

It keeps alive what it knows, also modules without any code (their data segments are still needed), as long as the store
lives. Whatever is registered here the process-wide registry knows too. An address is looked up there first, in a
table that covers all code of the process; then whether the code it belongs to is part of this store. As long as the
store is able to run code, it answers: also for a finalizer in the garbage cycle that the store is part of.
"""

from __future__ import annotations

from itertools import islice

from wasmark.registry.frames import FrameInfo, Site, frame_info, frames_at
from wasmark.registry.process_table import ensure_registered, find_code, find_id, when_code_goes
from wasmark.runtime.forks import RenewedLock
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, Protocol

    from wasmark.errors import TrapCode
    from wasmark.registry.code_object import CodeModule, CodeObject, GrowingModule, RegisteredModule
    from wasmark.registry.table import RegistryTable
else:
    Protocol = object


class RegisteredComponent(Protocol):
    """What the registry needs of a component."""

    def code_object(self) -> CodeObject | None:
        """The code of all its modules; None where they have none."""


class CompiledFunction(Protocol):
    """What the registry needs of a function to find its trampoline."""

    @property
    def code_address(self) -> int:
        """Where its code starts."""

    @property
    def signature(self) -> str:
        """Its signature, as the keys of `CodeObject.trampolines` are written."""


def _growing(module: Any) -> GrowingModule | None:
    """The module, if it is one that is compiled bit by bit."""
    growing: GrowingModule | None = module if hasattr(module, "code_objects") else None
    return growing


_generation: Final = [0]
"""How often code has gone."""


def _next_generation() -> None:
    _generation[0] += 1


when_code_goes(_next_generation)


class _Owned:
    """A module's code in one registry. `parts` are its code objects, and which of their parts is the module's; `seen`
    is how many of those that the module has were looked at, and `indexed` how many parts `ranges` has: function index
    -> start -> end."""

    __slots__ = ("indexed", "module", "parts", "ranges", "seen")

    def __init__(self, module: RegisteredModule) -> None:
        self.module = module
        self.parts: dict[tuple[CodeObject, int], None] = {}
        self.seen = 0
        self.indexed = 0
        self.ranges: dict[int, dict[int, int]] = {}


class ModuleRegistry:
    """The loaded code of a store. Look-ups answer None for everything that is not in it, whatever they are given."""

    __slots__ = ("_by_id", "_frames", "_generation", "_kept", "_loaded", "_lock", "_owned")

    def __init__(self) -> None:
        # A finalizer may run in the middle of a change, and look something up.
        self._lock = RenewedLock()
        # Code object -> the registered owner of each of its modules.
        self._loaded: dict[CodeObject, list[RegisteredModule | None]] = {}
        self._by_id: dict[int, CodeObject] = {}
        # Everything that was registered, by identity; what is not to be found in `_loaded` has no code.
        self._kept: dict[int, object] = {}
        self._owned: dict[int, _Owned] = {}
        # By return address, or by the negative pc of an innermost frame; as long as no code has gone.
        self._frames: dict[int, FrameInfo | None] = {}
        self._generation = _generation[0]

    def __len__(self) -> int:
        """How many code objects are loaded."""
        return len(self._loaded)

    def register_module(self, module: RegisteredModule) -> None:
        """Add a module; adding it again changes nothing.

        Raises AssertionError where its place in the code object belongs to another module.
        """
        code = module.code_object()
        with self._lock.held:
            if code is not None and code.text_start < code.text_end:
                self._push_module(code, module)
            self._kept[id(module)] = module

    def register_component(self, component: RegisteredComponent) -> None:
        """Add a component: its code is loaded; whose it is, is said when its modules are registered."""
        code = component.code_object()
        with self._lock.held:
            if code is not None and code.text_start < code.text_end:
                self._load(code, [])
            self._kept[id(component)] = component

    def _load(self, code: CodeObject, known: Sequence[tuple[int, RegisteredModule]]) -> list[RegisteredModule | None]:
        """The owners of code, which is loaded now; `known` are those of its parts that had none. Others find the code
        when that is done: they look without a lock."""
        owners = self._loaded.get(code)
        is_new = owners is None
        if owners is None:
            ensure_registered(code)
            owners = [None] * len(code.modules)
        for number, module in known:
            if owners[number] is None:
                self._own(code, owners, number, module)
        if is_new:
            self._loaded[code] = owners
            self._by_id[code.id] = code
        return owners

    def _push_module(self, code: CodeObject, module: RegisteredModule) -> None:
        number = next((number for number, part in enumerate(code.modules) if part.module is module), None)
        if number is None and _growing(module) is not None and code.modules[0].module is None:
            # In the middle of garbage that is taken apart: weak references to the module are dead. Its thunks are its.
            number = 0
        owners = self._load(code, [] if number is None else [(number, module)])
        if module in owners:
            return
        first = next(iter(module.finished_functions()), None)
        if first is None:
            # Nothing was compiled of it: no address leads here.
            return
        found = code.find_function(first[1])
        if found is None:
            raise AssertionError(f"the code at {first[1]:#x} is not part of the module's code object")
        number = found[0]
        if owners[number] is not None:
            raise AssertionError(f"the code at {first[1]:#x} belongs to another module")
        code.modules[number].attach(module)
        self._own(code, owners, number, module)

    def _own(
        self, code: CodeObject, owners: list[RegisteredModule | None], number: int, module: RegisteredModule
    ) -> None:
        self._owned.setdefault(id(module), _Owned(module)).parts[code, number] = None
        owners[number] = module

    def _adopt(self, code: CodeObject) -> bool:
        """Load code that was compiled after its module had been registered here. Whether it is such code."""
        parts = [(number, part.module) for number, part in enumerate(code.modules)]
        known = [(number, module) for number, module in parts if module is not None and id(module) in self._kept]
        if known:
            with self._lock.held:
                self._load(code, known)
        return bool(known)

    def _adopt_ownerless(self, id_: int) -> CodeObject | None:
        """The same for code that is called by a finalizer while the garbage that it is part of is taken apart: weak
        references to it and to its module are dead, but the module still has it."""
        for module in tuple(self._kept.values()):
            growing = _growing(module)
            if growing is not None:
                for code in growing.code_objects():
                    if code.id == id_:
                        parts = enumerate(code.modules)
                        with self._lock.held:
                            self._load(code, [(n, growing) for n, part in parts if part.module in (None, growing)])
                        return code
        return None

    def _find(self, pc: int) -> CodeObject | None:
        """The code object of this store at `pc`."""
        id_ = find_id(pc)
        code = self._by_id.get(id_)
        if code is None and id_:
            later = find_code(pc)
            if later is not None and self._adopt(later):
                code = later
            elif later is None or any(part.module is None for part in later.modules):
                code = self._adopt_ownerless(id_)
        # A page may be longer than the code on it.
        return code if code is not None and code.text_start <= pc < code.text_end else None

    def lookup_module(self, pc: int) -> RegisteredModule | None:
        """The module whose function is at `pc`."""
        code = self._find(pc)
        found = code.find_function(pc) if code is not None else None
        return self._loaded[code][found[0]] if code is not None and found is not None else None

    def lookup_frame_info(self, pc: int) -> FrameInfo | None:
        """Function, name and wasm offset at `pc`. For a return address, look up the byte before it."""
        code = self._find(pc)
        return frame_info(code, pc, self._loaded[code]) if code is not None else None

    def locate_frames(self, pcs: Sequence[int]) -> list[Site]:
        """Where the frames of a stack are, innermost first, given the pc of that and the return addresses of the
        others. It may go through other stores as well."""
        sites: list[Site] = []
        found: tuple[CodeObject, Sequence[RegisteredModule | None]] | None = None
        start = end = back = 0
        for pc in pcs:
            # A return address may lie behind the last instruction of the caller.
            at = pc - back
            back = 1
            if not start <= at < end:
                found = self._code_and_owners(at)
                start, end = (found[0].text_start, found[0].text_end) if found is not None else (0, 0)
            if found is not None:
                sites.append((*found, at))
        return sites

    def frames(self, pcs: Sequence[int]) -> list[FrameInfo]:
        """The frames of a stack, given as `locate_frames` wants it, where it goes through this store alone. What was at
        an address once is not looked up again."""
        if self._generation != _generation[0]:
            generation = _generation[0]
            self._frames = {}
            self._generation = generation  # last: who sees it must not see the old frames
        known = self._frames
        frames = []
        back = 0
        for pc in pcs:
            key = pc if back else -pc
            try:
                frame = known[key]
            except KeyError:
                found = frames_at(self.locate_frames((pc - back,)), innermost=not back)
                frame = known[key] = found[0] if found else None
            back = 1
            if frame is not None:
                frames.append(frame)
        return frames

    def _code_and_owners(self, pc: int) -> tuple[CodeObject, Sequence[RegisteredModule | None]] | None:
        """The code at `pc`, of this store or another; None where it is that of no module."""
        id_ = find_id(pc)
        if not id_:
            return None
        code = self._by_id.get(id_)
        if code is None:
            elsewhere = find_code(pc)
            if elsewhere is not None and not elsewhere.modules:
                return None
            code = self._find(pc)
            if code is None:
                return (elsewhere, [part.module for part in elsewhere.modules]) if elsewhere is not None else None
        return code, self._loaded[code]

    def lookup_trap_code(self, pc: int) -> TrapCode | None:
        """Why the instruction at exactly `pc` stops, if it does."""
        code = self._find(pc)
        return code.trap_code(pc) if code is not None else None

    def lookup_trampoline(self, func: CompiledFunction) -> int | None:
        """The address of the code that calls functions of this one's signature from outside."""
        code = self._find(func.code_address)
        return code.trampolines.get(func.signature) if code is not None else None

    def function_ranges(self, module: RegisteredModule, func_index: int) -> list[tuple[int, int]]:
        """Every (start, end exclusive) of code that a function has now, in the order in which it came: the other
        direction of `lookup_frame_info`."""
        owned = self._code_of(module)
        if owned is None:
            return []
        with self._lock.held:
            # Whatever comes in between, doing a part again changes nothing.
            for code, number in islice(owned.parts, owned.indexed, None):
                for index, start, end in code.modules[number].functions:
                    owned.ranges.setdefault(index, {})[start] = end
                owned.indexed += 1
            return list(owned.ranges.get(func_index, {}).items())

    def _code_of(self, module: RegisteredModule) -> _Owned | None:
        """What a module has here by now; None for one that is not registered, or has no code."""
        owned = self._owned.get(id(module))
        growing = _growing(module)
        if owned is not None and growing is not None:
            codes = growing.code_objects()
            for code in codes[owned.seen :]:
                if code not in self._loaded:
                    self._adopt(code)
            owned.seen = len(codes)
        return owned

    def modules(self) -> list[RegisteredModule]:
        """The modules that have code here, in the order in which they came."""
        return [owned.module for owned in self._owned.copy().values()]

    def code_of(self, module: RegisteredModule) -> list[tuple[CodeObject, CodeModule]]:
        """All code that a module has here by now: code objects, and the part of each that is the module's."""
        owned = self._code_of(module)
        return [(code, code.modules[number]) for code, number in (tuple(owned.parts) if owned is not None else ())]

    def dump(self) -> RegistryTable:
        """Every function with code in this registry, now: a table for people, and a sequence of rows for programs."""
        late_import("wasmark.registry.table")
        from wasmark.registry.table import RegistryTable

        return RegistryTable(self)

    def __repr__(self) -> str:
        modules = self.modules()
        for module in modules:
            self._code_of(module)
        codes = self._loaded.copy()
        size = sum(code.text_end - code.text_start for code in codes)
        late_import("wasmark.shown")
        from wasmark.shown import counted

        what = f"{counted(len(codes), 'code object')}, {counted(size, 'byte')}"
        return f"<wasmark.ModuleRegistry of {counted(len(modules), 'module')}: {what}>"

    def _repr_html_(self) -> str:
        return self.dump()._repr_html_()
