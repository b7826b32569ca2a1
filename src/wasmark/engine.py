"""`Engine`: a configuration, and the types that its modules have in common. Modules and stores of one engine fit
together."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from wasmark.config import Config
from wasmark.errors import wrong_type
from wasmark.jit.cache import open_cache
from wasmark.runtime.apart import unbroken
from wasmark.runtime.forks import RenewedLock
from wasmark.runtime.type_descriptors import TypeDescriptors
from wasmark.store_plan import StorePlan
from wasmark.validate.canon import TypeRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Engine:
    """Compiles modules as its `config` says. Immutable and safe to share between threads; there is a default one."""

    __slots__ = ("__weakref__", "_store_plan", "cache", "config", "descriptors", "shapes", "types")

    def __init__(self, config: Config | None = None) -> None:
        if config is None:
            config = Config()
        elif not isinstance(config, Config):
            raise wrong_type("a Config", config)
        self.config = config
        self.types = TypeRegistry()
        self.descriptors = TypeDescriptors(self.types)
        self.cache = open_cache(self.config)
        self.shapes: dict[int, Any] = {}
        """What functions of a canonical type have in common (see `func`), by the type's id."""
        self._store_plan: StorePlan | None = None

    def store_plan(self) -> StorePlan:
        """For stores: what they have in common."""
        if self._store_plan is None:
            plan = StorePlan(self.config, self.types, self.cache)
            if self._store_plan is None:
                self._store_plan = plan
        return self._store_plan

    def __repr__(self) -> str:
        return f"<wasmark.Engine {self.config}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """An unpickled engine is one with an equal configuration; the same one for all that are unpickled."""
        return engine_for, (self.config,)


_lock = RenewedLock(threading.Lock)
_default: Engine | None = None
_by_config: WeakValueDictionary[Config, Engine] = WeakValueDictionary()


def default_engine() -> Engine:
    """The engine that is used where none is named."""
    found = _default
    if found is not None:
        return found

    def make() -> Engine:
        global _default
        with _lock.held:
            if _default is None:
                _default = Engine()
            return _default

    return unbroken(make)


def engine_for(config: Config) -> Engine:
    """The default engine if it has this configuration, else one that all who ask for an equal one share."""
    default = default_engine()
    if default.config == config:
        return default

    def make() -> Engine:
        with _lock.held:
            engine = _by_config.get(config)
            if engine is None:
                engine = _by_config[config] = Engine(config)
            return engine

    return unbroken(make)
