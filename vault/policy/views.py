"""What a reader gets of a value: all of it, or the part that a view leaves readable."""

from __future__ import annotations

from dataclasses import dataclass, field

from vault.formats import Divided

__all__ = ["FULL", "RESERVED", "TOKEN", "View"]

FULL = "full"
"""The view that is the whole value."""

TOKEN = "token"  # noqa: S105  a view's name, not a secret
"""The view that is the token, unchanged."""

RESERVED = frozenset({FULL, TOKEN})


# What PCI DSS 3.4.1 lets a card number show: not half of it hidden, but enough.
_MOST_FIRST, _MOST_LAST = 6, 4
_ENOUGH_HIDDEN = 5


@dataclass(frozen=True, slots=True)
class View:
    """A mask that shows the first and the last characters of a value, or parts of it.

    Attributes:
        show_first: characters shown at the start, from 0.
        show_last: characters shown at the end, from 0.
        mask: the one character that stands for a hidden one.
        parts: names of the parts shown instead, of those that ``form`` tells apart.
        form: the field's format, where there are parts.
    """

    show_first: int = 0
    show_last: int = 0
    mask: str = "*"
    parts: tuple[str, ...] = ()
    form: Divided | None = field(default=None, compare=False, repr=False)

    def apply(self, core: str) -> str:
        """Returns the core masked, at its own length.

        Without parts, a core of which less than half would stay hidden is masked whole: four
        digits shown of a five-digit value are the value. At most the first six and the last
        four are shown of 15 characters and more.
        """
        if self.parts:
            return self._show_parts(core)
        length = len(core)
        if self._shows_too_much_of(length):
            return self.mask * length
        tail = length - self.show_last
        return core[: self.show_first] + self.mask * (tail - self.show_first) + core[tail:]

    def _shows_too_much_of(self, length: int) -> bool:
        shown = self.show_first + self.show_last
        if 2 * shown <= length:
            return False
        as_a_card = self.show_first <= _MOST_FIRST and self.show_last <= _MOST_LAST
        return not (as_a_card and length - shown >= _ENOUGH_HIDDEN)

    def _show_parts(self, core: str) -> str:
        spans = self.form.spans(core) if self.form else {}
        masked = [self.mask] * len(core)
        for name in self.parts:
            start, end = spans.get(name, (0, 0))
            masked[start:end] = core[start:end]
        return "".join(masked)
