"""`CanonOptions`: the options of a canonical definition, with what their indices stand for in an instance."""

from __future__ import annotations

from wasmark.component import canons
from wasmark.component.abi.guest import UTF8, Guest
from wasmark.component.abi.signatures import Options
from wasmark.component.abi.tasks import Agreement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
    from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
    from wasmark.component.abi.handles import InstanceState
    from wasmark.component.instantiate import Frame


class CanonOptions:
    """The options of a `canon` definition, with what their indices stand for."""

    __slots__ = ("callback", "encoding", "is_async", "memory", "post_return", "realloc")

    def __init__(self, frame: Frame, canon: M.Canon) -> None:
        self.encoding = UTF8
        self.memory = self.realloc = self.post_return = self.callback = None
        self.is_async = ("async", None) in canon.options
        for name, index in canon.options:
            word, _, encoding = name.partition("=")
            if encoding:
                self.encoding = encoding
            elif index is not None:
                setattr(self, word.replace("-", "_"), frame.spaces[canons.OPTION_SORTS[name]][index])

    def key(self) -> Options:
        """What of it decides about code."""
        is64 = self.memory is not None and self.memory.type.limits.is64
        return Options(
            8 if is64 else 4, self.encoding, self.post_return is not None, self.is_async, self.callback is not None
        )

    def returning(self, frame: Frame, result: T.ValType | None) -> Agreement:
        """What `task.return` and the function whose result it gives have to agree about."""
        memory = None if self.memory is None else self.memory.definition
        return Agreement(None if result is None else frame.key_of(result), self.encoding, memory)

    def guest(self, state: InstanceState, resources: Sequence[Any]) -> Guest:
        """The side of a call that works with these options."""
        return Guest(state, self.memory, self.realloc, self.encoding, resources)
