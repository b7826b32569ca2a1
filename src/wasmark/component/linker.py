"""`ComponentLinker`: what components import, filled in once and used for any number of instances."""

from __future__ import annotations

from wasmark.component.instance import ComponentInstance
from wasmark.engine import Engine, default_engine
from wasmark.errors import LinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.component.component import Component
    from wasmark.store import Store


class ComponentLinker:
    """Collects what is offered for imports. A later definition of the same name is an error, not a silent
    replacement."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine if engine is not None else default_engine()
        self._definitions: dict[str, Any] = {}

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

    def instantiate(self, component: Component, store: Store | None = None) -> ComponentInstance:
        """A new instance with its imports taken from here. Raises as `ComponentInstance` does."""
        return ComponentInstance(component, self._definitions, store)
