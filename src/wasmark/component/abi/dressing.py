"""What a guest's function looks like in Python: the names of its parameters, what it takes and returns, and what it is
in the component."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.source import Lines, Source
from wasmark.component.naming import module_name, parse_name, pascal, snake
from wasmark.component.wit import written_function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wasmark.component.classes import Namer


class Dress:
    """For functions of a type: `name` is theirs, as the component has it."""

    def __init__(self, type_: T.FuncType, namer: Namer, name: str) -> None:
        self._params = [snake(label) for label, _ in type_.params]
        annotations = zip(self._params, (namer.annotation(part) for _, part in type_.params), strict=True)
        self._annotations = dict(annotations)
        self._doc = f"{name}: {written_function(type_)}"
        result = type_.result
        if isinstance(result, T.Result):
            self._annotations["return"] = namer.annotation(result.ok)
            self._doc += f"\n\nRaises ResultError with {namer.annotation(result.error)}."
        else:
            self._annotations["return"] = namer.annotation(result)
        interface, _, own = name.rpartition("#")
        _, resource, label = parse_name(own)
        self._name = snake(label or resource)
        of = pascal(resource) if label and resource else module_name(interface) if interface else ""
        self._qualified = f"{of}.{self._name}" if of else self._name

    def put_on(self, call: Any) -> Any:
        """The function, dressed. Its own parameters must be as many, and come first."""
        code = call.__code__
        params = self._params
        # Keywords are matched with the names of the code; in the text they could be anybody's.
        call.__code__ = code.replace(co_varnames=(*params, *code.co_varnames[len(params) :]), co_name=self._name)
        call.__annotations__ = self._annotations
        call.__doc__ = self._doc
        call.__name__ = self._name
        call.__qualname__ = self._qualified
        call.__module__ = "wasmark.component"
        return call

    def forwarding(self, run: Callable[..., Any]) -> Any:
        """A dressed function that calls `run` with its arguments one by one."""
        names = ", ".join(f"a{number}" for number in range(len(self._params)))
        lines = Lines("def make(run):")
        lines.add(f"def call({names}):")
        lines.add(f"    return run({names})")
        lines.add("return call")
        return self.put_on(Source().compile(lines, "make", f"<canonical ABI of {self._name}>")(run))
