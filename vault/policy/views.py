"""What a reader gets of a value: all of it, or the part that a view leaves readable."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "RESERVED", "TOKEN", "View"]

FULL = "full"
"""The view that is the whole value."""

TOKEN = "token"  # noqa: S105  a view's name, not a secret
"""The view that is the token, unchanged."""

RESERVED = frozenset({FULL, TOKEN})


@dataclass(frozen=True, slots=True)
class View:
    """A mask that shows the first and the last characters of a value.

    Attributes:
        show_first: characters shown at the start, from 0.
        show_last: characters shown at the end, from 0.
        mask: the one character that stands for a hidden one.
    """

    show_first: int = 0
    show_last: int = 0
    mask: str = "*"

    def apply(self, core: str) -> str:
        """Returns the core masked, at its own length.

        A core of which less than half would stay hidden is masked whole: four digits
        shown of a five-digit value are the value.
        """
        length = len(core)
        if 2 * (self.show_first + self.show_last) > length:
            return self.mask * length
        tail = length - self.show_last
        return core[: self.show_first] + self.mask * (tail - self.show_first) + core[tail:]
