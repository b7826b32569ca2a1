"""The canonical built-ins of a component by their names, each made for the frame that instantiates it (Binary.md,
"Canonical Definitions")."""

from __future__ import annotations

from functools import partial

from wasmark.component.abi import async_builtins, builtins, error_contexts, thread_builtins
from wasmark.component.abi.buffers import Port
from wasmark.component.abi.codecs import Codec
from wasmark.component.abi.guest import Guest
from wasmark.component.canon_options import CanonOptions
from wasmark.core.types import FuncType, SubType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
    from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
    from wasmark.component.abi.carriers import CarrierType
    from wasmark.component.abi.handles import Resource
    from wasmark.component.instantiate import Frame


def _type(frame: Frame, canon: M.Canon) -> Any:
    index = canon.operands[0]
    assert isinstance(index, int)
    return frame.checked.spaces["type"][index]


def _resource(frame: Frame, canon: M.Canon) -> Resource:
    return frame.resources[_type(frame, canon)]


def _carrier(frame: Frame, canon: M.Canon) -> CarrierType:
    return frame.carrier(_type(frame, canon))


def _blocking(frame: Frame, *, blocks: bool = True) -> None:
    """What the frame instantiates could have to wait in the middle of its code."""
    if blocks:
        frame.state.can_block = True


def _memory_guest(frame: Frame, canon: M.Canon) -> Guest:
    """For the two that write an event: a guest with this memory."""
    index = canon.operands[1]
    assert isinstance(index, int)
    return Guest(frame.state, frame.spaces["core memory"][index])


def _is_cancellable(canon: M.Canon) -> bool:
    return bool(canon.operands[0])


def _slot(canon: M.Canon) -> int:
    slot = canon.operands[1]
    assert isinstance(slot, int)
    return slot


def _task_return(frame: Frame, canon: M.Canon) -> Callable[..., None]:
    accepts = CanonOptions(frame, canon).returning(frame, frame.next_task_result())
    return async_builtins.task_return(frame.state, accepts)


def _wait(frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    _blocking(frame)
    return async_builtins.set_wait(_memory_guest(frame, canon), cancellable=_is_cancellable(canon))


def _subtask_cancel(frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    is_async = bool(canon.operands[0])
    _blocking(frame, blocks=not is_async)
    return async_builtins.subtask_cancel(frame.state, is_async=is_async)


def _copy(frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    carrier = _carrier(frame, canon)
    options = CanonOptions(frame, canon)
    key = options.key()
    _blocking(frame, blocks=not options.is_async)
    element: T.ValType | None = carrier.element
    component = frame.component

    def make(for_host: bool) -> tuple[Codec, Guest]:
        assert element is not None
        namer = component.namer if for_host else None
        codec = component.made(("codec", element, key, for_host), lambda: Codec(element, key, namer))
        return codec, options.guest(frame.state, frame.stands_for(codec.resources))

    port = Port(element, options.guest(frame.state, ()), make)
    kind = carrier.readable if canon.name.endswith("read") else carrier.writable
    copy = async_builtins.stream_copy if carrier.is_stream else async_builtins.future_copy
    return copy(port, carrier, kind, is_async=options.is_async)


def _cancel_copy(frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    carrier = _carrier(frame, canon)
    is_async = bool(canon.operands[1])
    _blocking(frame, blocks=not is_async)
    kind = carrier.readable if canon.name.endswith("read") else carrier.writable
    return async_builtins.carrier_cancel(frame.state, carrier, kind, is_async=is_async)


def _drop_end(frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    carrier = _carrier(frame, canon)
    kind = carrier.readable if canon.name.endswith("readable") else carrier.writable
    return async_builtins.carrier_drop(frame.state, carrier, kind)


def _with_options(make: Callable[[Guest], Callable[..., Any]], frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    return make(CanonOptions(frame, canon).guest(frame.state, ()))


def _new_thread(frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    index = canon.operands[1]
    assert isinstance(index, int)
    types = frame.store.engine.types
    context = types.func_type(frame.next_type("core func").type_id).params[1:]
    (type_id,) = types.register_group((SubType(FuncType(context, ())),), ())
    return thread_builtins.thread_new(frame.state, frame.spaces["core table"][index], type_id)


def _hand_over(frame: Frame, canon: M.Canon, *, suspends: bool, wants_ready: bool) -> Callable[..., Any]:
    _blocking(frame)
    return thread_builtins.hand_over(
        frame.state, cancellable=_is_cancellable(canon), suspends=suspends, wants_ready=wants_ready
    )


def _pausing(make: Callable[..., Callable[..., Any]], frame: Frame, canon: M.Canon) -> Callable[..., Any]:
    _blocking(frame)
    return make(frame.state, cancellable=_is_cancellable(canon))


BUILTINS: Final[dict[str, Callable[[Frame, M.Canon], Callable[..., Any]]]] = {
    "resource.new": lambda frame, canon: builtins.resource_new(frame.state, _resource(frame, canon)),
    "resource.rep": lambda frame, canon: builtins.resource_rep(frame.state, _resource(frame, canon)),
    "resource.drop": lambda frame, canon: builtins.resource_drop(frame.state, _resource(frame, canon)),
    "backpressure.inc": lambda frame, canon: async_builtins.backpressure(frame.state, 1),
    "backpressure.dec": lambda frame, canon: async_builtins.backpressure(frame.state, -1),
    "task.return": _task_return,
    "task.cancel": lambda frame, canon: async_builtins.task_cancel(frame.state),
    "context.get": lambda frame, canon: async_builtins.context_get(frame.state, _slot(canon)),
    "context.set": lambda frame, canon: async_builtins.context_set(frame.state, _slot(canon)),
    "subtask.cancel": _subtask_cancel,
    "subtask.drop": lambda frame, canon: async_builtins.subtask_drop(frame.state),
    "waitable-set.new": lambda frame, canon: async_builtins.set_new(frame.state),
    "waitable-set.wait": _wait,
    "waitable-set.poll": lambda frame, canon: async_builtins.set_poll(
        _memory_guest(frame, canon), cancellable=_is_cancellable(canon)
    ),
    "waitable-set.drop": lambda frame, canon: async_builtins.set_drop(frame.state),
    "waitable.join": lambda frame, canon: async_builtins.join(frame.state),
    **{
        f"{kind}.new": lambda frame, canon: async_builtins.carrier_new(frame.state, _carrier(frame, canon))
        for kind in ("stream", "future")
    },
    **{f"{kind}.{verb}": _copy for kind in ("stream", "future") for verb in ("read", "write")},
    **{f"{kind}.cancel-{verb}": _cancel_copy for kind in ("stream", "future") for verb in ("read", "write")},
    **{f"{kind}.drop-{side}": _drop_end for kind in ("stream", "future") for side in ("readable", "writable")},
    "error-context.new": partial(_with_options, error_contexts.error_new),
    "error-context.debug-message": partial(_with_options, error_contexts.error_message),
    "error-context.drop": partial(_with_options, error_contexts.error_drop),
    "thread.index": lambda frame, canon: thread_builtins.thread_index(frame.state),
    "thread.new-indirect": _new_thread,
    "thread.resume-later": lambda frame, canon: thread_builtins.resume_later(frame.state),
    "thread.suspend": partial(_pausing, thread_builtins.suspend),
    "thread.yield": partial(_pausing, thread_builtins.yield_),
    "thread.suspend-then-resume": partial(_hand_over, suspends=True, wants_ready=False),
    "thread.yield-then-resume": partial(_hand_over, suspends=False, wants_ready=False),
    "thread.suspend-then-promote": partial(_hand_over, suspends=True, wants_ready=True),
    "thread.yield-then-promote": partial(_hand_over, suspends=False, wants_ready=True),
}
"""All of them that validation lets pass."""
