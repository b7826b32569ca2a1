"""`Linker`: names that modules import from, filled in once and used for any number of instances."""

from __future__ import annotations

from wasmark.engine import Engine, default_engine
from wasmark.errors import LinkError, wrong_type
from wasmark.instance import Instance
from wasmark.module import Module
from wasmark.runtime.late_import import late_import
from wasmark.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.wasi import Wasi


class Linker:
    """Collects definitions for imports. A later definition of the same name is an error, not a silent replacement."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine if engine is not None else default_engine()
        self._definitions: dict[str, dict[str, Any]] = {}
        self._wasi: Wasi | None = None

    def define(self, module: str, name: str, value: Any) -> None:
        """Offer a Func, Memory, Table, Global or plain callable under a name. Raises LinkError where it is taken."""
        space = self._definitions.setdefault(module, {})
        if name in space:
            raise LinkError(f"{module!r} {name!r} is defined already")
        space[name] = value

    def define_instance(self, module: str, instance: Instance) -> None:
        """Offer all exports of an instance."""
        for name in instance.exports:
            self.define(module, name, instance.exports[name])

    def define_wasi(self, wasi: Wasi | None = None, **options: Any) -> Wasi:
        """Offer WASI preview 1 with this context, or a new one made with `wasmark.wasi.Wasi(**options)`; returns it."""
        from wasmark.wasi import Wasi

        if self._wasi is not None:
            raise LinkError("WASI is defined already")
        if wasi is not None and options:
            raise TypeError("give a Wasi context or the options for one, not both")
        self._wasi = wasi if wasi is not None else Wasi(**options)
        return self._wasi

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import listed

        names = [f"{module}.{name}" for module, space in self._definitions.items() for name in space]
        if self._wasi is not None:
            names.insert(0, "WASI preview 1")
        return f"<wasmark.Linker: {listed(names) or 'nothing'}>"

    def instantiate(self, module: Module, store: Store | None = None) -> Instance:
        """A new instance with its imports taken from here. Raises as `Instance` does."""
        if not isinstance(module, Module):
            raise wrong_type("a Module", module)
        store = store if store is not None else Store(module.engine)
        if self._wasi is None:
            return Instance(module, self._definitions, store)
        from wasmark.wasi_binding import WasiBinding

        binding = WasiBinding(self._wasi)
        offered = dict(self._definitions)
        for space, functions in binding.imports(module).items():
            offered[space] = {**functions, **offered.get(space, {})}
        return Instance(module, offered, store, on_allocated=binding.bind)
