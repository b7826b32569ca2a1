"""`Engine`: a configuration, and the types that its modules have in common. Modules and stores of one engine fit
together."""

from __future__ import annotations

import threading

from wasmark.config import Config
from wasmark.validate import TypeRegistry


class Engine:
    """Compiles modules as its `config` says. Immutable and safe to share between threads; there is a default one."""

    __slots__ = ("__weakref__", "config", "types")

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else Config()
        self.types = TypeRegistry()

    def __repr__(self) -> str:
        return f"<wasmark.Engine {self.config}>"


_lock = threading.Lock()
_default: Engine | None = None


def default_engine() -> Engine:
    """The engine that is used where none is named."""
    global _default
    with _lock:
        if _default is None:
            _default = Engine()
        return _default
