"""`Func`: a function of a store, wasm's own or a Python callable made one; it can be called, exported, imported and
passed on."""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any

from wasmark.compile.abi import is_plain, signature
from wasmark.core.types import FuncType, SubType
from wasmark.jit.stubs import stubs
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.callable_type import NativeFields, callable_type, set_fields
from wasmark.runtime.native import set_python_hooks
from wasmark.values import Codec

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable

    from wasmark.engine import Engine
    from wasmark.store import Store


class _Shape:
    """What functions of one canonical type have in common."""

    __slots__ = ("buffer", "params", "results", "signature", "stubs", "type")

    def __init__(self, type_: FuncType, engine: Engine) -> None:
        self.type = type_
        self.signature = signature(type_)
        self.params = Codec(type_.params)
        self.results = Codec(type_.results)
        self.buffer = ctypes.c_uint64 * max(len(type_.params), len(type_.results), 1)
        self.stubs = stubs(self.signature, engine.cache)


_shapes: weakref.WeakKeyDictionary[Engine, dict[int, _Shape]] = weakref.WeakKeyDictionary()


def _shape(store: Store, type_id: int) -> _Shape:
    engine = store.engine
    found = _shapes.setdefault(engine, {}).get(type_id)
    if found is None:
        found = _shapes[engine][type_id] = _Shape(engine.types.func_type(type_id), engine)
    return found


class _Doc:
    """`__doc__` of an instance says what the function is; that of the class stays what it is."""

    def __init__(self, of_class: str) -> None:
        self._of_class = of_class

    def __get__(self, instance: Any, owner: type) -> str:
        return self._of_class if instance is None else f"{instance.__name__}: {instance.type}"


class _FuncMethods(NativeFields):  # type: ignore[misc]
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
        "_trampoline",
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
        asked for."""
        self.store = store
        self.address = address
        words = (ctypes.c_uint64 * (L.FUNCREF_SIZE // 8)).from_address(address)
        self.code_address: int = words[L.FUNCREF_CODE // 8]
        self.context: int = words[L.FUNCREF_CONTEXT // 8]
        self.type_id: int = words[L.FUNCREF_TYPE_ID // 8]
        shape = _shape(store, self.type_id)
        self.type = shape.type
        self.signature = shape.signature
        self._shape = shape
        self._name = name
        trampoline = store.registry.lookup_trampoline(self)
        self._trampoline = trampoline or shape.stubs.trampoline
        set_fields(self, shape.stubs.call, self.code_address, self.context, store.block_address)

    @staticmethod
    def from_callable(store: Store, type_: FuncType, callable_: Callable[..., Any], *, name: str | None = None) -> Func:
        """A host function: wasm calls `callable_` with one argument a parameter of `type_`.

        Its references, if any, must be abstract (`funcref`, `externref`). The callable returns None, the value, or a
        tuple or list with a value for each of several results; what it raises comes out of the wasm call unchanged.
        """
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
        parameters = [
            inspect.Parameter(f"p{i}", kind, annotation=str(type_)) for i, type_ in enumerate(self.type.params)
        ]
        results = [str(type_) for type_ in self.type.results]
        returns: Any = None if not results else results[0] if len(results) == 1 else tuple(results)
        return inspect.Signature(parameters, return_annotation=returns)

    def call(self, *args: Any) -> Any:
        """The call in Python's own words: where a call stub ends up when anything is out of the ordinary."""
        shape = self._shape
        if len(args) != len(shape.params.types):
            raise self._wrong_count(len(args))
        store = self.store
        results = self._run(args) if is_plain(shape.signature) else store.exclusively(self._run, args)
        store.after_call()
        if len(results) == 1:
            return results[0]
        return results or None

    def _run(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape = self._shape
        slots = shape.buffer()
        store = self.store
        shape.params.pack(slots, args, store)
        store.enter(self._trampoline, self.code_address, self.context, ctypes.addressof(slots))
        return shape.results.unpack(slots, store)

    def raise_trap(self, report: bytes) -> None:
        """Raise the trap that a call of this function ended in; `report` is the activation it left."""
        raise self.store.trap(report)

    def call_bits(self, args: list[int]) -> list[int]:
        """Call with raw bits: one unsigned integer an argument and a result (references by address, NaN payloads
        kept)."""
        shape = self._shape
        if len(args) != len(shape.params.types):
            raise self._wrong_count(len(args))
        slots = shape.buffer(*args)
        self.store.enter(self._trampoline, self.code_address, self.context, ctypes.addressof(slots))
        return shape.results.unpack_bits(slots)

    def _wrong_count(self, given: int) -> TypeError:
        wanted = len(self._shape.params.types)
        return TypeError(f"{self.__name__}() takes {wanted} argument{'' if wanted == 1 else 's'} ({given} given)")

    def __repr__(self) -> str:
        return f"<wasmark.Func {self.__name__} {self.type}>"


if TYPE_CHECKING:

    class Func(_FuncMethods):
        """See `_FuncMethods`."""

        def __call__(self, *args: Any) -> Any: ...

else:
    Func = callable_type("wasmark.Func", _FuncMethods)
    Func.__doc__ = _Doc(_FuncMethods.__doc__)

set_python_hooks(_FuncMethods.call, _FuncMethods.raise_trap)


def host_func(store: Store, type_id: int, callable_: Callable[..., Any], name: str | None) -> Func:
    """A host function of a canonical type."""
    shape = _shape(store, type_id)
    params, results, slots_type = shape.params, shape.results, shape.buffer
    count = len(results.types)
    label = name or getattr(callable_, "__name__", "host function")

    def convert(values: Any, address: int) -> None:
        """Write what the callable returned into the slots at `address`."""
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
            results.pack(slots_type.from_address(address), values, store)
        except (TypeError, OverflowError) as error:
            kind = TypeError if isinstance(error, TypeError) else OverflowError
            raise kind(f"{label} returned what its wasm type does not allow: {error}") from error

    def dispatch(address: int) -> None:
        """A whole call, for signatures that the host stub does not convert itself."""
        convert(callable_(*params.unpack(slots_type.from_address(address), store)), address)

    address = store.allocate(L.FUNCREF_SIZE)
    words = (ctypes.c_uint64 * (L.FUNCREF_SIZE // 8)).from_address(address)
    words[L.FUNCREF_CODE // 8] = shape.stubs.host
    words[L.FUNCREF_CONTEXT // 8] = (
        store.host_context(callable_, convert) if is_plain(shape.signature) else store.host_context(dispatch)
    )
    words[L.FUNCREF_TYPE_ID // 8] = type_id
    func = Func(store, address, str(label))
    store.add_host_func(func)
    return func
