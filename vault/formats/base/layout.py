"""Where a value's separators stand and which of its letters are capitals.

Everything is an index into the core, so that a layout also fits a core of another
length: a token longer than its value, or the shorter value behind such a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = [
    "HYPHENS",
    "SPACES",
    "Layout",
    "apply_layout",
    "bare_layout",
    "fold_case",
    "split_separators",
]

SPACES = " \u00a0\u2009\u202f"
"""Spaces that stand between groups of digits: plain, no-break, thin, narrow no-break."""

HYPHENS = "\u2010\u2011\u2012\u2013-"
"""Hyphens and dashes that word processors make of ``-``, and it; last, as classes want it."""


@dataclass(frozen=True, slots=True, repr=False)
class Layout:
    """The outer form of one value. Hidden from ``repr``.

    Attributes:
        length: characters of the core it was made for.
        gaps: (index into the core, separators before that character), rising; an index of
            ``length`` is a trailing gap and goes to the end of any core.
        capitals: indexes of the core's characters to be written as capitals, rising.
        rest: layout of a second part of the value (an e-mail's domain), where there is one.
    """

    length: int
    gaps: tuple[tuple[int, str], ...] = ()
    capitals: tuple[int, ...] = ()
    rest: Layout | None = None


@lru_cache(maxsize=1024)
def bare_layout(length: int) -> Layout:
    """Returns the layout of a core without separators or capitals."""
    return Layout(length)


def split_separators(text: str, gap: re.Pattern[str]) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Splits a text into its core and its gaps.

    Args:
        gap: matches a run of separators.
    """
    pieces: list[str] = []
    gaps: list[tuple[int, str]] = []
    start = length = 0
    for match in gap.finditer(text):
        piece = text[start : match.start()]
        length += len(piece)
        pieces.append(piece)
        gaps.append((length, match.group()))
        start = match.end()
    pieces.append(text[start:])
    return "".join(pieces), tuple(gaps)


def fold_case(text: str) -> tuple[str, tuple[int, ...]]:
    """Returns a text without its capitals, and where they were.

    A character is folded only if it comes back exactly: its lower case is one character
    whose upper case is the character itself. All others stay, and count as no capitals.
    """
    if text.isascii():
        folded = text.lower()
    else:
        # By character: str.lower() of a whole word treats a final sigma differently.
        folded = "".join([_fold_one(character) for character in text])
    if folded == text:
        return text, ()
    pairs = enumerate(zip(text, folded, strict=True))
    return folded, tuple([at for at, (before, after) in pairs if before != after])


def _fold_one(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 and lower.upper() == character else character


def apply_layout(core: str, layout: Layout) -> str:
    """Writes a core in a layout.

    The inverse of ``fold_case`` and ``split_separators`` for a core of the layout's length.
    In a longer core the added characters follow the case of the last one; in a shorter one
    what lay beyond its end is left out, and separators there go to the end.
    """
    if layout.capitals:
        core = _capitalise(core, layout)
    if not layout.gaps:
        return core
    length = len(core)
    pieces: list[str] = []
    start = 0
    for index, gap in layout.gaps:
        end = length if index >= layout.length else min(index, length)
        pieces.append(core[start:end])
        pieces.append(gap)
        start = end
    pieces.append(core[start:])
    return "".join(pieces)


def _capitalise(core: str, layout: Layout) -> str:
    characters = list(core)
    capitals: list[int] = [at for at in layout.capitals if at < len(core)]
    if layout.capitals[-1] == layout.length - 1:
        capitals.extend(range(layout.length, len(core)))
    for at in capitals:
        upper = characters[at].upper()
        if len(upper) == 1:
            characters[at] = upper
    return "".join(characters)
