"""`Source`: Python functions that are written as text and compiled together. What they refer to are constants of their
namespace, so a value costs one look-up, and a type is looked at once, when its functions are written."""

from __future__ import annotations

from collections import deque
from struct import Struct

from wasmark.component.abi.layout import SIZES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Lines:
    """The lines of one function."""

    def __init__(self, head: str) -> None:
        self.text = [head]
        self.indent = 1

    def add(self, line: str) -> None:
        """One more line, as deep as `indent` says."""
        self.text.append("    " * self.indent + line)


class Source:
    """A set of functions that refer to each other by name."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._functions: list[Lines] = []
        self._waiting: deque[tuple[Lines, Callable[[Lines], None]]] = deque()
        self._made: dict[object, str] = {}
        self._count = 0

    def fresh(self, hint: str = "v") -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"{hint}{self._count}"

    def constant(self, value: Any, hint: str = "c") -> str:
        """The name of an object."""
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = f"_{self.fresh(hint)}"
            self.constants[name] = value
        return name

    def function(self, key: object, hint: str, params: str, write: Callable[[Lines], None]) -> str:
        """The name of the function with this key. `write` writes it, where it is the first one; not here and now, for
        types are nested deep."""
        name = self._made.get(key)
        if name is None:
            name = self._made[key] = f"_{self.fresh(hint)}"
            self._waiting.append((Lines(f"def {name}({params}):"), write))
        return name

    def compile(self, lines: Lines, name: str, filename: str) -> Any:
        """What `name` is once `lines`, and all functions, are defined."""
        while self._waiting:
            function, write = self._waiting.popleft()
            write(function)
            self._functions.append(function)
        text = "\n".join("\n".join(each.text) for each in [*self._functions, lines])
        namespace = dict(self.constants)
        exec(compile(text, filename, "exec"), namespace)
        return namespace[name]


class Slots:
    """Numbers at known distances from an address, which are read or written together: triples (distance, `struct`
    format, expression). `has_address` says that there is more to do, which takes the address."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, str]] = []
        self.has_address = False
        self._cuts = {0}

    def cut(self) -> None:
        """What lies here is somebody else's: it must not be written as padding."""
        self._cuts.add(len(self.entries))

    def runs(self) -> list[tuple[int, Slots]]:
        """The numbers in runs with nothing but padding between them, each with where it starts."""
        found: list[tuple[int, Slots]] = []
        for number, (at, format_, expression) in enumerate(self.entries):
            if number in self._cuts:
                found.append((at, Slots()))
            start, run = found[-1]
            run.add(at - start, format_, expression)
        return found

    def add(self, offset: int, format_: str, expression: str) -> None:
        """One more, behind the others."""
        self.entries.append((offset, format_, expression))

    def struct(self, size: int = 0) -> Struct:
        """Their structure, from the first byte on; filled up to `size` bytes."""
        text, at = ["<"], 0
        for offset, format_, _ in self.entries:
            text.append(f"{offset - at}x" if offset > at else "")
            text.append(format_)
            at = offset + SIZES[format_]
        if size > at:
            text.append(f"{size - at}x")
        return Struct("".join(text))

    def expressions(self) -> str:
        """The expressions, with a comma behind each."""
        return "".join(f"{expression}, " for _, _, expression in self.entries)


def joined(expressions: Iterable[str]) -> str:
    """A tuple of them."""
    return "(" + "".join(f"{expression}, " for expression in expressions) + ")"
