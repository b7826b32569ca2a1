"""`ComponentLinker`: what components import, filled in once and used for any number of instances."""

from __future__ import annotations

from wasmark.component.imports import MISSING, look_up
from wasmark.component.instance import ComponentInstance
from wasmark.engine import Engine, default_engine
from wasmark.errors import LinkError
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.component.component import Component
    from wasmark.store import Store
    from wasmark.wasi import Wasi


class ComponentLinker:
    """Collects what is offered for imports. A later definition of the same name is an error, not a silent
    replacement."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine if engine is not None else default_engine()
        self._definitions: dict[str, Any] = {}
        self._wasi: Wasi | None = None
        self._offered_by_wasi: dict[str, Any] = {}

    def __repr__(self) -> str:
        names = [*(["WASI 0.2"] if self._wasi is not None else []), *self._definitions]
        return f"<wasmark.ComponentLinker: {late_import('wasmark.shown').listed(names) or 'nothing'}>"

    def define(self, name: str, value: Any) -> None:
        """Offer something for the import of a name, as `ComponentInstance` takes it. Raises LinkError where the name is
        taken."""
        if name in self._definitions:
            raise LinkError(f"{name!r} is defined already")
        self._definitions[name] = value

    def define_instance(self, instance: ComponentInstance) -> None:
        """Offer all exports of an instance."""
        for name in instance.exports:
            self.define(name, instance.exports[name])

    def define_wasi(self, wasi: Wasi | None = None, **options: Any) -> Wasi:
        """Offer WASI 0.2 with this context, or a new one made with `wasmark.wasi.Wasi(**options)`; returns it. What is
        defined by `define` comes first."""
        from wasmark.wasi import Wasi

        if self._wasi is not None:
            raise LinkError("WASI is defined already")
        if wasi is not None and options:
            raise TypeError("give a Wasi context or the options for one, not both")
        self._wasi = wasi if wasi is not None else Wasi(**options)
        self._offered_by_wasi = self._wasi.interfaces()
        return self._wasi

    def instantiate(self, component: Component, store: Store | None = None) -> ComponentInstance:
        """A new instance with its imports taken from here. Raises as `ComponentInstance` does."""
        ours = self._definitions
        theirs = {name: value for name, value in self._offered_by_wasi.items() if look_up(ours, name) is MISSING}
        return ComponentInstance(component, {**ours, **theirs}, store)
