"""Canonical definitions: which options they need and take, and the types of the functions they make (CanonicalABI.md,
"Canonical Definitions")."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.layout import (
    LAYOUTS,
    MAX_FLAT_ASYNC_PARAMS,
    MAX_FLAT_PARAMS,
    MAX_FLAT_RESULTS,
    Layout,
    core_signature,
)
from wasmark.component.canons import BY_NAME, OPTION_SORTS
from wasmark.component.types import CoreFunc
from wasmark.component.validate.rebuild import mentions
from wasmark.core.record import Record
from wasmark.core.types import FUNCREF, I32, I64, FuncType, MemoryType, NumType, SubType, TableType
from wasmark.errors import InvalidError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark.component.model import Canon
    from wasmark.component.validate.scope import Scope
    from wasmark.core.types import ValType as CoreValType
    from wasmark.validate.canon import TypeRegistry

CONTEXT_SLOTS: Final = 2
"""How many values `context.get` and `context.set` know."""

_IN_MEMORY: Final = (T.String, T.List, T.Map)
"""Values of these types lie in memory, whatever they are part of."""
_CORE: Final[dict[str, CoreValType]] = {str(type_): type_ for type_ in NumType}
_ENCODINGS: Final = {
    "string-encoding=utf8": "utf8",
    "string-encoding=utf16": "utf16",
    "string-encoding=latin1+utf16": "latin1-utf16",
}


class Options(Record):
    """The options of a canonical definition. Indices have been looked up: `memory` is a type, the functions are."""

    __slots__ = ("callback", "encoding", "is_async", "memory", "post_return", "realloc")

    def __init__(self) -> None:
        self.encoding: str | None = None
        self.memory: MemoryType | None = None
        self.realloc: FuncType | None = None
        self.post_return: FuncType | None = None
        self.callback: FuncType | None = None
        self.is_async = False

    @property
    def layout(self) -> Layout:
        """How values lie in the memory."""
        return LAYOUTS[8 if self.memory is not None and self.memory.limits.is64 else 4]

    @property
    def pointer(self) -> CoreValType:
        """The core type of addresses."""
        return _CORE[self.layout.pointer_type]


class CanonChecker:
    """Checks the canonical definitions of one scope. All methods raise InvalidError."""

    def __init__(self, scope: Scope, registry: TypeRegistry, resolve: Callable[[T.ValType], T.ValType]) -> None:
        self._scope = scope
        self._registry = registry
        self._resolve = resolve

    def check(self, canon: Canon) -> tuple[str, Any]:
        """The sort of what the definition makes, and its type."""
        options = self._options(canon)
        if canon.name == "lift":
            return "func", self._lift(canon, options)
        check = CanonChecker._lower if canon.name == "lower" else _BUILT_INS[canon.name]
        return "core func", self._core_func(*check(self, canon, options))

    def _core_func(self, params: Sequence[CoreValType], results: Sequence[CoreValType]) -> CoreFunc:
        type_ = SubType(FuncType(tuple(params), tuple(results)))
        return CoreFunc(self._registry.register_group((type_,), ())[0])

    def _func_type(self, index: int) -> FuncType:
        return self._registry.func_type(self._scope.lookup("core func", index).type_id)

    # Options

    def _options(self, canon: Canon) -> Options:
        options = Options()
        seen = set()
        for name, index in canon.options:
            encoding = _ENCODINGS.get(name)
            if encoding is not None:
                if options.encoding is not None:
                    what = f"`{options.encoding}` conflicts with option `{encoding}`"
                    raise InvalidError(f"canonical encoding option {what}")
                options.encoding = encoding
                continue
            if name in seen:
                raise InvalidError(f"canonical option `{name}` is specified more than once")
            seen.add(name)
            if name not in _ALLOWED.get(canon.name, _ALLOWED_OTHERWISE):
                which = "lowerings" if canon.name == "lower" else f"`{canon.name}`"
                raise InvalidError(f"canonical option `{name}` cannot be specified for {which}")
            if name == "async":
                options.is_async = True
            elif name == "memory":
                assert index is not None
                options.memory = self._scope.lookup("core memory", index)
            elif OPTION_SORTS[name] == "core func":
                assert index is not None
                setattr(options, name.replace("-", "_"), self._func_type(index))
        self._check_options(options)
        return options

    def _check_options(self, options: Options) -> None:
        memory = options.memory
        if memory is not None and memory.limits.shared:
            raise InvalidError("canonical option `memory` is a shared memory")
        if options.realloc is not None:
            if memory is None:
                raise InvalidError("canonical option `realloc` requires `memory` to also be specified")
            pointer = options.pointer
            _check_signature(options.realloc, (pointer,) * 4, (pointer,), "realloc")
        if options.callback is not None:
            if not options.is_async:
                raise InvalidError("canonical option `callback` cannot be specified without `async`")
            _check_signature(options.callback, (I32,) * 3, (I32,), "callback")
        if options.is_async and options.post_return is not None:
            raise InvalidError("canonical option `post-return` cannot be specified together with `async`")

    def _require(self, options: Options, *names: str) -> None:
        for name in names:
            if getattr(options, name) is None:
                raise InvalidError(f"canonical option `{name}` is required")

    # Functions of components

    def _signature(self, type_: T.FuncType, options: Options, *, lowered: bool) -> tuple[list[str], list[str]]:
        """The core parameters and results of a function, with the options that it needs."""
        layout = options.layout
        params = layout.flat_all(part for _, part in type_.params)
        results = layout.flat(type_.result) if type_.result is not None else ()
        most_params = MAX_FLAT_ASYNC_PARAMS if lowered and options.is_async else MAX_FLAT_PARAMS
        most_results = MAX_FLAT_RESULTS
        if options.is_async:
            most_results = 0 if lowered else MAX_FLAT_PARAMS
        given = any(mentions(part, _IN_MEMORY) for _, part in type_.params) or len(params) > most_params
        returned = type_.result is not None and mentions(type_.result, _IN_MEMORY)
        if given or returned or len(results) > most_results:
            self._require(options, "memory")
        # What goes into the memory of the function with these options needs room there.
        if returned if lowered else given:
            self._require(options, "realloc")
        if not options.is_async:
            core_params, core_results = core_signature(type_, layout, lowered=lowered)
            return list(core_params), list(core_results)
        flat = list(params) if len(params) <= most_params else [layout.pointer_type]
        if not lowered:
            return flat, ["i32"] if options.callback is not None else []
        return flat + ([layout.pointer_type] if results else []), ["i32"]

    def _check_async(self, type_: T.FuncType, options: Options) -> None:
        if options.is_async and not type_.is_async:
            raise InvalidError("the `async` canonical option requires an async function type")

    def _lift(self, canon: Canon, options: Options) -> T.FuncType:
        core_index, type_index = canon.operands
        assert isinstance(core_index, int)
        assert isinstance(type_index, int)
        type_ = self._scope.lookup("type", type_index)
        if not isinstance(type_, T.FuncType):
            raise InvalidError(f"type index {type_index} is not a function type")
        callee = self._func_type(core_index)
        self._check_async(type_, options)
        params, results = self._signature(type_, options, lowered=False)
        for what, wanted, found in (("parameter", params, callee.params), ("result", results, callee.results)):
            if tuple(_CORE[each] for each in wanted) != found:
                shown = f"`[{' '.join(map(str, found))}]` of the core function"
                raise InvalidError(f"lowered {what} types `[{' '.join(wanted)}]` do not match {what} types {shown}")
        if options.post_return is not None:
            _check_signature(options.post_return, callee.results, (), "post-return")
        return type_

    def _lower(self, canon: Canon, options: Options) -> _Signature:
        (index,) = canon.operands
        assert isinstance(index, int)
        type_ = self._scope.lookup("func", index)
        self._check_async(type_, options)
        params, results = self._signature(type_, options, lowered=True)
        return tuple(_CORE[each] for each in params), tuple(_CORE[each] for each in results)

    # Built-in functions

    def _resource(self, canon: Canon) -> T.ResourceType:
        index = canon.operands[0]
        assert isinstance(index, int)
        type_ = self._scope.lookup("type", index)
        if not isinstance(type_, T.ResourceType):
            raise InvalidError(f"type index {index} is not a resource type")
        return type_

    def representation(self, canon: Canon) -> CoreValType:
        """Of a resource type that is defined in this very component."""
        found = self._scope.representations.get(self._resource(canon))
        if found is None:
            raise InvalidError(f"type index {canon.operands[0]} is not a local resource")
        return found

    def drop(self, canon: Canon, options: Options) -> _Signature:
        """`resource.drop`."""
        self._resource(canon)
        return (I32,), ()

    def task_return(self, canon: Canon, options: Options) -> _Signature:
        """`task.return`: the result of a task is passed as parameters are."""
        (written,) = canon.operands
        if written is None:
            self._scope.task_results.append(None)
            return (), ()
        assert isinstance(written, T.ValType)
        result = self._resolve(written)
        self._scope.task_results.append(result)
        flat = options.layout.flat(result)
        if len(flat) > MAX_FLAT_PARAMS or mentions(result, _IN_MEMORY):
            self._require(options, "memory")
        return ((options.pointer,) if len(flat) > MAX_FLAT_PARAMS else tuple(_CORE[each] for each in flat)), ()

    def context(self, canon: Canon) -> CoreValType:
        """The type of a slot of a task's context."""
        type_, slot = canon.operands
        if type_ not in (I32, I64):
            raise InvalidError(f"`{canon.name}` is of i32 or i64, not of {type_}")
        assert isinstance(slot, int)
        if slot >= CONTEXT_SLOTS:
            raise InvalidError(f"`{canon.name}`: there are {CONTEXT_SLOTS} slots, and no slot {slot}")
        return type_

    def carrier(self, canon: Canon) -> T.Stream | T.Future:
        """The stream or future that a built-in is about."""
        index = canon.operands[0]
        assert isinstance(index, int)
        wanted = T.Stream if canon.name.startswith("stream") else T.Future
        type_ = self._scope.lookup("type", index)
        if not isinstance(type_, wanted):
            raise InvalidError(f"type index {index} is not a {canon.name.partition('.')[0]} type")
        return type_

    def transfer(self, canon: Canon, options: Options) -> _Signature:
        """`stream.read`, `future.write` and the other two."""
        element = self.carrier(canon).element
        if element is not None:
            self._require(options, "memory")
            if canon.name.endswith("read") and mentions(element, _IN_MEMORY):
                self._require(options, "realloc")
        if canon.name.startswith("future"):
            return (I32, options.pointer), (I32,)
        return (I32, options.pointer, options.pointer), (options.pointer,)

    def end(self, canon: Canon, options: Options) -> _Signature:
        """What ends one side of a stream or future."""
        self.carrier(canon)
        return (I32,), ()

    def cancel(self, canon: Canon, options: Options) -> _Signature:
        """What cancels a reading or writing."""
        self.carrier(canon)
        return (I32,), (I32,)

    def make(self, canon: Canon, options: Options) -> _Signature:
        """`stream.new` and `future.new`: both ends in one number."""
        self.carrier(canon)
        return (), (I64,)

    def wait(self, canon: Canon, options: Options) -> _Signature:
        """`waitable-set.wait` and `waitable-set.poll`."""
        index = canon.operands[1]
        assert isinstance(index, int)
        memory = self._scope.lookup("core memory", index)
        return (I32, I64 if memory.limits.is64 else I32), (I32,)

    def debug(self, canon: Canon, options: Options) -> _Signature:
        """The two about messages of error contexts."""
        self._require(options, "memory")
        if canon.name == "error-context.new":
            return (options.pointer, options.pointer), (I32,)
        self._require(options, "realloc")
        return (I32, options.pointer), ()

    def new_thread(self, canon: Canon, options: Options) -> _Signature:
        """`thread.new-indirect`."""
        type_index, table_index = canon.operands
        assert isinstance(type_index, int)
        assert isinstance(table_index, int)
        type_ = self._scope.core_types.func_type(type_index)
        if type_.params not in ((I32,), (I64,)) or type_.results:
            raise InvalidError(f"core type index {type_index} is not the type of a thread's function, but {type_}")
        table: TableType = self._scope.lookup("core table", table_index)
        if table.element is not FUNCREF:
            raise InvalidError(f"core table {table_index} has elements of {table.element}, not of funcref")
        return (I64 if table.limits.is64 else I32, *type_.params), (I32,)

    def spawn(self, canon: Canon, options: Options) -> _Signature:
        """Threads that run at the same time."""
        raise UnsupportedError(f"`{canon.name}` is not supported yet", part="shared-everything threads")


def _check_signature(
    found: FuncType, params: tuple[CoreValType, ...], results: tuple[CoreValType, ...], option: str
) -> None:
    wanted = FuncType(params, results)
    if found != wanted:
        raise InvalidError(
            f"canonical option `{option}` uses a core function with an incorrect signature: {found}, not {wanted}"
        )


_Signature = tuple[tuple["CoreValType", ...], tuple["CoreValType", ...]]

_ALLOWED: Final = {
    "lift": frozenset(("memory", "realloc", "post-return", "async", "callback")),
    "task.return": frozenset(("memory",)),
    "error-context.new": frozenset(("memory", "realloc")),
    "error-context.debug-message": frozenset(("memory", "realloc")),
}
"""The options that a definition takes, besides the encoding of strings."""
_ALLOWED_OTHERWISE: Final = frozenset(("memory", "realloc", "async"))


def _fixed(params: int, results: int) -> Callable[[CanonChecker, Canon, Options], _Signature]:
    """A built-in of so many i32."""
    signature = (I32,) * params, (I32,) * results
    return lambda checker, canon, options: signature


_BUILT_INS: Final[dict[str, Callable[[CanonChecker, Canon, Options], _Signature]]] = {
    "resource.new": lambda checker, canon, options: ((checker.representation(canon),), (I32,)),
    "resource.rep": lambda checker, canon, options: ((I32,), (checker.representation(canon),)),
    "resource.drop": CanonChecker.drop,
    "backpressure.inc": _fixed(0, 0),
    "backpressure.dec": _fixed(0, 0),
    "task.return": CanonChecker.task_return,
    "task.cancel": _fixed(0, 0),
    "context.get": lambda checker, canon, options: ((), (checker.context(canon),)),
    "context.set": lambda checker, canon, options: ((checker.context(canon),), ()),
    "subtask.cancel": _fixed(1, 1),
    "subtask.drop": _fixed(1, 0),
    **{f"{kind}.new": CanonChecker.make for kind in ("stream", "future")},
    **{f"{kind}.{verb}": CanonChecker.transfer for kind in ("stream", "future") for verb in ("read", "write")},
    **{f"{kind}.cancel-{verb}": CanonChecker.cancel for kind in ("stream", "future") for verb in ("read", "write")},
    **{f"{kind}.drop-{side}": CanonChecker.end for kind in ("stream", "future") for side in ("readable", "writable")},
    "error-context.new": CanonChecker.debug,
    "error-context.debug-message": CanonChecker.debug,
    "error-context.drop": _fixed(1, 0),
    "waitable-set.new": _fixed(0, 1),
    "waitable-set.wait": CanonChecker.wait,
    "waitable-set.poll": CanonChecker.wait,
    "waitable-set.drop": _fixed(1, 0),
    "waitable.join": _fixed(2, 0),
    "thread.index": _fixed(0, 1),
    "thread.new-indirect": CanonChecker.new_thread,
    "thread.resume-later": _fixed(1, 0),
    "thread.suspend": _fixed(0, 1),
    "thread.yield": _fixed(0, 1),
    **{f"thread.{how}": _fixed(1, 1) for how in ("suspend-then-resume", "yield-then-resume")},
    **{f"thread.{how}": _fixed(1, 1) for how in ("suspend-then-promote", "yield-then-promote")},
    **{f"thread.{how}": CanonChecker.spawn for how in ("spawn-ref", "spawn-indirect", "available-parallelism")},
}
"""How each definition but `lift` and `lower` is checked."""

assert _BUILT_INS.keys() | {"lift", "lower"} == BY_NAME.keys()
