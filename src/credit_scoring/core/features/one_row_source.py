"""A function whose source the program writes: straight lines, in which what is needed twice is worked out once.

Names and numbers of a declaration are data: they stand in the source as literals, escaped, or under names of its own.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Source:
    """Lines of one function, and the objects that they use by name."""

    def __init__(self, called: tuple[Callable[..., Any], ...]) -> None:
        self._objects: dict[str, object] = {function.__name__: function for function in called}
        self._lines: list[str] = []
        self._depth = 1
        self._locals = 0
        self._made: dict[tuple[object, ...], str] = {}

    def line(self, text: str) -> None:
        """Append a line to the block that is open."""
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Open a block under ``head``, such as ``else:``."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def fresh(self, kind: str) -> str:
        """Return a local name that nothing else has; ``kind``, letters of ours, tells readers what it holds."""
        self._locals += 1
        return f"{kind}_{self._locals}"

    def put(self, kind: str, expression: str) -> str:
        """Assign ``expression`` to a fresh name and return the name."""
        name = self.fresh(kind)
        self.line(f"{name} = {expression}")
        return name

    def once(self, kind: str, key: tuple[object, ...], expression: str) -> str:
        """Return the name of what ``kind`` and ``key`` stand for, which is assigned where it is first asked for."""
        found = self._made.get((kind, *key))
        if found is None:
            found = self._made[kind, *key] = self.put(kind, expression)
        return found

    def bound(self, kind: str, key: tuple[object, ...], value: object) -> str:
        """Return the name under which the function finds ``value``, which is what ``kind`` and ``key`` stand for."""
        found = self._made.get((kind, *key))
        if found is None:
            found = self._made[kind, *key] = self.fresh(kind.upper())
            self._objects[found] = value
        return found

    def text(self, head: str) -> str:
        """Return the whole source under ``head``, which defines the function."""
        return "\n".join([head, *self._lines, ""])

    def function(self, head: str, name: str) -> Callable[..., Any]:
        """Return the function ``name`` that ``head`` defines."""
        objects = dict(self._objects)
        exec(compile(self.text(head), f"<{name}>", "exec"), objects)  # noqa: S102 - written here, of literals and our names
        made: Callable[..., Any] = objects[name]  # type: ignore[assignment] # defined by the line above
        return made


def literal(value: float | str) -> str:
    """Return ``value`` as it stands in a source, in ASCII; a text cannot end its literal, nor its line.

    Raises:
        ValueError: If it is neither a text nor a finite number.
    """
    if isinstance(value, str):
        return ascii(str(value))
    if not math.isfinite(value):
        raise ValueError("only finite numbers have a literal")
    return repr(value * 1.0)


def literals(values: tuple[float | str, ...]) -> str:
    """Return a set of ``values``, which are some, as it stands in a source."""
    return "{" + ", ".join(literal(value) for value in values) + "}"
