"""`Tag`: what tells exceptions of one kind from those of another."""

from __future__ import annotations

from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import SubType
from wasmark.errors import WasmException
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.late_import import late_import
from wasmark.runtime.native import set_python_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.core.types import FuncType
    from wasmark.store import Store


class Tag(OfThisProcess):
    """A tag of a store. `type` has the types of the values that its exceptions carry, as parameters.

    Tags are the same only if they are the same object: each instance of a module has its own. `name` is for people.
    """

    __slots__ = ("__weakref__", "address", "name", "store", "type", "type_id")

    address: int
    name: str
    store: Store
    type: FuncType
    type_id: int

    def __init__(self, store: Store, type_: FuncType, *, name: str = "tag") -> None:
        """A new tag. Raises ValueError for a type that has results."""
        if type_.results:
            raise ValueError(f"a tag has no results: {type_}")
        (type_id,) = store.engine.types.register_group([SubType(type_)], ())
        address = store.allocate(L.TAG_DEF_SIZE)
        store.runtime.poke(address, type_id)
        self._become(store, address, type_id, name)
        store.add_tag(self)

    @staticmethod
    def at(store: Store, address: int, type_id: int, name: str) -> Tag:
        """For the store: the tag with this TagDef."""
        tag = object.__new__(Tag)
        tag._become(store, address, type_id, name)
        return tag

    def _become(self, store: Store, address: int, type_id: int, name: str) -> None:
        self.store = store
        self.address = address
        self.type_id = type_id
        self.type = store.engine.types.func_type(type_id)
        self.name = name

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import shown_name

        return f"<wasmark.Tag {shown_name(self.name)} [{' '.join(map(str, self.type.params))}]>"


def _throw_in(error: WasmException, block: int, word: int) -> None:
    """What native code asks when a host function raised: the exception that this is in the store with this block, into
    the word at an address, which stays 0 where it is none of that store's. Raises TypeError or OverflowError for values
    that its tag does not take."""
    tag = error.tag
    if isinstance(tag, Tag) and tag.store.block_address == block:
        tag.store.throw_in(error, word)


set_python_hook(L.HOOK_EXCEPTION, WasmException)
set_python_hook(L.HOOK_THROW, _throw_in)
