"""`Func`: a function of a store, wasm's own or a Python callable made one; it can be called, exported, imported and
passed on."""

from __future__ import annotations

import ctypes
import keyword

from wasmark.compile.abi import is_plain, signature
from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import FuncType, SubType
from wasmark.debug.python_frames import frames_of, passes
from wasmark.errors import wrong_type
from wasmark.jit.stubs import stubs
from wasmark.registry.process_table import is_catch_site
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.callable_type import NativeFields, callable_type, fields_address
from wasmark.runtime.late_import import late_import
from wasmark.runtime.native import set_python_hook
from wasmark.values import Codec, say_where

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable
    from typing import Any

    from wasmark.engine import Engine
    from wasmark.errors import Trap, WasmException
    from wasmark.jit.cache import CodeCache
    from wasmark.store import Store
    from wasmark.values import References


_FuncRef = ctypes.c_uint64 * 3  # FUNCREF_CODE, FUNCREF_CONTEXT, FUNCREF_TYPE_ID


class Shape:
    """What functions of one canonical type have in common."""

    __slots__ = ("buffer", "is_plain", "params", "results", "signature", "stubs", "type")

    def __init__(self, type_: FuncType, cache: CodeCache | None) -> None:
        self.type = type_
        self.signature = signature(type_)
        self.is_plain = is_plain(self.signature)
        self.params = Codec(type_.params, "argument")
        self.results = Codec(type_.results, "result")
        self.buffer = ctypes.c_uint64 * max(self.params.slots, self.results.slots, 1)
        self.stubs = stubs(self.signature, cache)


def shape_of(engine: Engine, type_id: int) -> Shape:
    """What functions of a canonical type have in common."""
    found: Shape | None = engine.shapes.get(type_id)
    if found is None:
        found = engine.shapes[type_id] = Shape(engine.types.func_type(type_id), engine.cache)
    return found


def _identifier(name: str | None, otherwise: str) -> str:
    """A name of the module's, where Python can have it for a parameter."""
    return name if name is not None and name.isidentifier() and not keyword.iskeyword(name) else otherwise


class _Doc:
    """`__doc__` of an instance says what the function is; that of the class stays what it is."""

    def __init__(self, of_class: str) -> None:
        self._of_class = of_class

    def __get__(self, instance: Any, owner: type) -> str:
        if instance is None:
            return self._of_class
        return f"{instance.__name__}{instance.__signature__}\n\nA WebAssembly function of type {instance.type}."


class _FuncMethods(OfThisProcess, NativeFields):  # type: ignore[misc]
    """A callable wasm function.

    `func(*args)` takes one value a parameter and returns None, a value, or a tuple of values; see `values.Codec` for
    how they correspond. Raises TypeError or OverflowError for arguments that do not fit, Trap, and whatever a host
    function raises. The call itself is native code (`compile.stubs`); the methods here are for what is out of the
    ordinary.
    """

    __slots__ = (
        "__weakref__",
        "_name",
        "_shape",
        "address",
        "code_address",
        "context",
        "signature",
        "store",
        "type",
        "type_id",
    )

    def __init__(self, store: Store, address: int, name: str | Callable[[], str] = "func") -> None:
        """For the store: the function of an existing FuncRef. A name that takes a while to find is found when it is
        asked for. Of a Python callable, `from_callable` makes one."""
        if not isinstance(address, int):
            raise TypeError("a host function is made by Func.from_callable(store, type, callable)")
        self.store = store
        self.address = address
        self.code_address, self.context, self.type_id = _FuncRef.from_address(address)
        shape = self._shape = shape_of(store.engine, self.type_id)
        self.type = shape.type
        self.signature = shape.signature
        self._name = name
        store.runtime.poke(fields_address(self), shape.stubs.call, self.code_address, self.context, store.block_address)

    @staticmethod
    def from_callable(store: Store, type_: FuncType, callable_: Callable[..., Any], *, name: str | None = None) -> Func:
        """A host function: wasm calls `callable_` with one argument a parameter of `type_`.

        Its references, if any, must be abstract (`funcref`, `externref`). The callable returns None, the value, or a
        tuple or list with a value for each of several results; what it raises comes out of the wasm call unchanged.
        """
        if not isinstance(type_, FuncType):
            raise wrong_type("a FuncType", type_)
        (type_id,) = store.engine.types.register_group([SubType(type_)], ())
        return host_func(store, type_id, callable_, name)

    @property
    def __name__(self) -> str:
        if not isinstance(self._name, str):
            self._name = self._name()
        return self._name

    @property
    def __signature__(self) -> inspect.Signature:
        import inspect

        kind = inspect.Parameter.POSITIONAL_ONLY
        known = self.store.parameter_names(self.address)
        names = [_identifier(known.get(i), f"p{i}") for i in range(len(self.type.params))]
        if len(set(names)) != len(names):
            names = [f"p{i}" for i in range(len(names))]
        parameters = [
            inspect.Parameter(name, kind, annotation=str(type_))
            for name, type_ in zip(names, self.type.params, strict=True)
        ]
        results = [str(type_) for type_ in self.type.results]
        returns: Any = None if not results else results[0] if len(results) == 1 else tuple(results)
        return inspect.Signature(parameters, return_annotation=returns)

    @passes
    def call(self, /, *args: Any, **keywords: Any) -> Any:
        """The call in Python's own words: where a call stub ends up when anything is out of the ordinary."""
        if keywords:
            raise TypeError(f"{self.__name__}() takes no keyword arguments")
        shape = self._shape
        if len(args) != len(shape.params.types):
            raise self._wrong_count(len(args))
        store = self.store
        results = self._run(args) if shape.is_plain else self._run_with_references(args)
        store.after_call()
        if len(results) == 1:
            return results[0]
        return results or None

    @passes
    def _run(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape = self._shape
        slots = shape.buffer()
        store = self.store
        self._pack(slots, args)
        store.enter(shape.stubs.trampoline, self.code_address, self.context, ctypes.addressof(slots))
        return shape.results.unpack(slots, store)

    @passes
    def _pack(self, slots: Any, args: tuple[Any, ...]) -> None:
        try:
            self._shape.params.pack(slots, args, self.store)
        except (TypeError, OverflowError) as error:
            say_where(error, f"{self.__name__}(): ")
            raise

    @passes
    def _run_with_references(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape, store = self._shape, self.store
        slots = shape.buffer()
        collector = store.collector
        with store.owned():
            # As `collector.paused` does it, at half the cost. No signal handler can come between the lines that belong
            # together: they call nothing.
            collector.pauses += 1
            collector.changes.value += 1
            outer = collector.slots
            try:
                self._pack(slots, args)
                collector.slots = (slots, outer)
            finally:
                collector.pauses -= 1
            try:
                store.enter(shape.stubs.trampoline, self.code_address, self.context, ctypes.addressof(slots))
                collector.pauses += 1
                try:
                    results = shape.results.unpack(slots, store)
                finally:
                    collector.pauses -= 1
            finally:
                collector.slots = outer
        return results

    def trap(self, report: bytes) -> tuple[Trap | WasmException, list[Any]]:
        """The trap or exception that a call of this function ended in, and its frames for a traceback; `report` is the
        activation it left."""
        return self.store.trap(report), frames_of(report, L.ACT_FRAME_COUNT)

    def call_bits(self, args: list[int]) -> list[int]:
        """Call with raw bits: one unsigned integer an argument and a result (references by address, NaN payloads
        kept)."""
        shape = self._shape
        if len(args) != len(shape.params.types):
            raise self._wrong_count(len(args))
        slots = shape.buffer()
        shape.params.pack_bits(slots, args)
        collector = self.store.collector
        with self.store.owned():
            outer = collector.slots
            collector.slots = (slots, outer)
            try:
                self.store.enter(shape.stubs.trampoline, self.code_address, self.context, ctypes.addressof(slots))
            finally:
                collector.slots = outer
        return shape.results.unpack_bits(slots)

    def _wrong_count(self, given: int) -> TypeError:
        wanted = len(self._shape.params.types)
        return TypeError(f"{self.__name__}() takes {wanted} argument{'' if wanted == 1 else 's'} ({given} given)")

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import shown_name

        return f"<wasmark.Func {shown_name(self.__name__)} {self.type}>"


if TYPE_CHECKING:

    class Func(_FuncMethods):
        """See `_FuncMethods`."""

        def __call__(self, *args: Any) -> Any: ...

else:
    Func = callable_type("wasmark.Func", _FuncMethods)
    Func.__doc__ = _Doc(_FuncMethods.__doc__)

set_python_hook(L.HOOK_CALL, _FuncMethods.call)
set_python_hook(L.HOOK_TRAP, _FuncMethods.trap)
set_python_hook(L.HOOK_CATCHES, is_catch_site)


def converter(shape: Shape, label: str, references: References | None) -> Callable[[Any, int], None]:
    """What writes the result of a host function into the slots at an address, where the stub cannot do it itself.

    `references` may be left out where the signature is plain.
    """
    results, slots_type = shape.results, shape.buffer
    count = len(results.types)

    def convert(values: Any, address: int) -> None:
        several = isinstance(values, tuple | list)
        if count == 0:
            if values is not None and not (several and not values):
                raise TypeError(f"{label} returned {type(values).__name__}, but its wasm type has no results")
            return
        if count == 1:
            values = (values,)
        elif not several or len(values) != count:
            given = len(values) if several else type(values).__name__
            raise TypeError(f"{label} must return {count} values, as a tuple or list, not {given}")
        try:
            results.pack(slots_type.from_address(address), values, references)
        except (TypeError, OverflowError) as error:
            kind = TypeError if isinstance(error, TypeError) else OverflowError
            raise kind(f"{label} returned what its wasm type does not allow: {error}") from error

    return convert


def dispatcher(shape: Shape, label: str, callable_: Callable[..., Any], store: Store) -> Callable[[int], None]:
    """A whole call of a host function with its values in the slots at an address, for signatures that are not plain."""
    params, slots_type = shape.params, shape.buffer
    convert = converter(shape, label, store)

    collector = store.collector

    @passes
    def dispatch(address: int) -> None:
        with collector.paused():
            args = params.unpack(slots_type.from_address(address), store)
        result = callable_(*args)
        with collector.paused():
            convert(result, address)

    return dispatch


def host_func(store: Store, type_id: int, callable_: Callable[..., Any], name: str | None) -> Func:
    """A host function of a canonical type."""
    shape = shape_of(store.engine, type_id)
    label = name if name else str(getattr(callable_, "__name__", "host function"))
    convert = converter(shape, label, None) if shape.is_plain else None
    called = callable_ if shape.is_plain else dispatcher(shape, label, callable_, store)
    context = store.allocate(L.HOST_FUNCTION_SIZE)
    address = context + L.HOST_CONTEXT_SIZE
    store.keep((called, convert))
    store.runtime.poke(context, store.block_address, id(called), id(convert), 0)
    store.runtime.poke(address, shape.stubs.host, context, type_id)
    func = Func(store, address, label)
    store.add_host_func(func, label)
    return func


def late_host_func(store: Store, type_id: int, make: Callable[[], Callable[..., Any]], name: str) -> Func:
    """A host function of a type with numbers only, whose callable is made at the first call. All others go straight to
    it."""
    runtime = store.runtime
    kept: list[object] = []

    @passes
    def first(*args: Any) -> Any:
        called = make()
        kept.append(called)  # before native code knows it
        runtime.poke(context + L.HOST_CALLABLE, id(called))
        return called(*args)

    func = host_func(store, type_id, first, name)
    context = func.context
    return func
