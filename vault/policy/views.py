"""Views: how much of a value a reader gets, all of it or the part that stays readable.

Every format brings views that need no definition; a policy may define more, or
others under their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from vault.formats import Format, HasParts, HasWords

__all__ = ["DEFAULT_MASK", "FULL", "INITIALS", "RESERVED", "TOKEN", "View", "built_in_views"]

FULL = "full"
"""The view that is the whole value."""

TOKEN = "token"  # noqa: S105  a view's name, not a secret
"""The view that is the token, unchanged."""

RESERVED = frozenset({FULL, TOKEN})

INITIALS = "initials"
"""The part of a value of words that is the first letter of each; and the view of it."""

DEFAULT_MASK = "*"
"""What stands for a hidden character, where the policy does not say."""


# What PCI DSS 3.4.1 lets a card number show: not half of it hidden, but enough.
_MAX_FIRST, _MAX_LAST = 6, 4
_ENOUGH_HIDDEN = 5


@dataclass(frozen=True, slots=True)
class View:
    """A mask that shows the first and the last characters of a value, or parts of it.

    Attributes:
        show_first: characters shown at the start, from 0.
        show_last: characters shown at the end, from 0.
        mask: the one character that stands for a hidden one.
        parts: names of the parts shown instead, of those that ``form`` distinguishes.
        form: the field's format, where there are parts.
        has_words: the field's format, where values are words.
        write: what is answered instead of a masked value: texts and, between them, names of
            parts, by turns, a text first and last.
    """

    show_first: int = 0
    show_last: int = 0
    mask: str = DEFAULT_MASK
    parts: tuple[str, ...] = ()
    form: HasParts | None = field(default=None, compare=False, repr=False)
    has_words: HasWords | None = field(default=None, compare=False, repr=False)
    write: tuple[str, ...] = ()

    def apply(self, core: str) -> str:
        """Returns the core masked, at the length it is written in; or what ``write`` says.

        Without parts, a core of which less than half would stay hidden is masked whole: four
        digits shown of a five-digit value are the value. At most the first six and the last
        four are shown of 15 characters and more.
        """
        if self.has_words is not None:
            words = self.has_words.words(core)
            if self.parts == (INITIALS,):
                return self._show_initials(words)
            core = "".join(words)
        if self.write:
            return self._write(core)
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
        as_a_card = self.show_first <= _MAX_FIRST and self.show_last <= _MAX_LAST
        return not (as_a_card and length - shown >= _ENOUGH_HIDDEN)

    def _show_initials(self, words: Sequence[str]) -> str:
        length = sum(map(len, words))
        if 2 * len(words) > length:
            return self.mask * length
        return "".join([word[:1] + self.mask * (len(word) - 1) for word in words])

    def _write(self, core: str) -> str:
        spans = self.form.spans(core) if self.form else {}
        pieces = list(self.write)
        for at in range(1, len(pieces), 2):
            start, end = spans.get(pieces[at], (0, 0))
            pieces[at] = core[start:end]
        return "".join(pieces)

    def _show_parts(self, core: str) -> str:
        spans = self.form.spans(core) if self.form else {}
        masked = [self.mask] * len(core)
        for name in self.parts:
            start, end = spans.get(name, (0, 0))
            masked[start:end] = core[start:end]
        return "".join(masked)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a built-in view shows."""

    first: int = 0
    last: int = 0
    part: str = ""


_MASKED: Mapping[str, _Shown] = {"masked": _Shown()}
_LAST4 = {"last4": _Shown(last=4)}
_COUNTRY = {"country_only": _Shown(part="country")}
_BUILT_IN: Mapping[str, Mapping[str, _Shown]] = {
    "alphabet": _LAST4,
    "card": {**_LAST4, "first6_last4": _Shown(first=6, last=4)},
    "date": {"year_only": _Shown(part="year")},
    "document_number": _LAST4,
    "email": {"domain_only": _Shown(part="domain")},
    "iban": {**_LAST4, **_COUNTRY},
    "person_name": {INITIALS: _Shown(part=INITIALS)},
    "phone": {**_LAST4, **_COUNTRY},
    "us_itin": _LAST4,
    "us_routing": _LAST4,
    "us_ssn": _LAST4,
    "vin": _LAST4,
}


def built_in_views(form: Format, mask: str = DEFAULT_MASK) -> Mapping[str, View]:
    """Returns the views that a field of a format has without any definition, by name."""
    known: object = form
    has_parts = known if isinstance(known, HasParts) else None
    has_words = known if isinstance(known, HasWords) else None
    return MappingProxyType(
        {
            name: View(
                sight.first,
                sight.last,
                mask,
                (sight.part,) if sight.part else (),
                has_parts,
                has_words,
            )
            for name, sight in {**_MASKED, **_BUILT_IN.get(form.name, {})}.items()
        }
    )
