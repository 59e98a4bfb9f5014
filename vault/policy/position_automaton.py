"""Finite automata over the characters of a text, by positions (Glushkov, 1961).

The states of a match are the bits of an integer, so a text takes one step a character, whatever
the pattern, where a search that backtracks may take for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_

__all__ = [
    "MAX_POSITIONS",
    "Automaton",
    "Build",
    "automaton_of",
    "in_turn",
    "leaf",
    "one_of",
    "repeat",
]

MAX_POSITIONS = 256


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of the automaton: with what it begins and ends, and whether it may be empty."""

    first: int
    last: int
    nullable: bool


class Automaton:
    """Positions of a pattern, as bits: which characters each takes, and which may follow it.

    Attributes:
        first: positions that a match begins with.
        last: positions that a match ends with.
        nullable: whether the empty text matches.
    """

    def __init__(self) -> None:
        self.first = 0
        self.last = 0
        self.nullable = True
        self.follow: list[int] = []
        self.characters: list[frozenset[str]] = []

    def add(self, characters: frozenset[str]) -> int:
        """Adds a position; returns its bit. Raises ValueError where there are too many."""
        if len(self.characters) >= MAX_POSITIONS:
            raise ValueError("is too long once its repetitions are written out")
        self.characters.append(characters)
        self.follow.append(0)
        return 1 << (len(self.characters) - 1)

    def link(self, before: int, after: int) -> None:
        """Lets positions follow others."""
        for position in _bits(before):
            self.follow[position] |= after

    def accepts(self, text: str) -> bool:
        """Returns whether a text of at least one character matches."""
        state = self.first & self._taking(text[0])
        for character in text[1:]:
            state = self._next(state) & self._taking(character)
        return bool(state & self.last)

    def lengths(self, characters: frozenset[str], longest: int) -> Iterator[int]:
        """Yields each length, from 1, in which a text of such characters matches."""
        usable = sum(1 << at for at, own in enumerate(self.characters) if own & characters)
        state = self.first & usable
        for length in range(1, longest + 1):
            if state & self.last:
                yield length
            state = self._next(state) & usable

    def _next(self, state: int) -> int:
        following = 0
        for position in _bits(state):
            following |= self.follow[position]
        return following

    def _taking(self, character: str) -> int:
        return self._by_character.get(character, 0)

    @cached_property
    def _by_character(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for at, characters in enumerate(self.characters):
            for character in characters:
                found[character] = found.get(character, 0) | 1 << at
        return found


def _bits(state: int) -> Iterator[int]:
    while state:
        lowest = state & -state
        yield lowest.bit_length() - 1
        state ^= lowest


_EMPTY = _Part(0, 0, nullable=True)
Build = Callable[[Automaton], _Part]
"""Adds one copy of what was read to an automaton: a repetition needs several."""


def automaton_of(build: Build) -> Automaton:
    """Returns the automaton of a whole pattern. Raises ValueError where it is too long."""
    made = Automaton()
    whole = build(made)
    made.first, made.last, made.nullable = whole.first, whole.last, whole.nullable
    return made


def leaf(characters: frozenset[str], into: Automaton) -> _Part:
    """Adds one character of some."""
    bit = into.add(characters)
    return _Part(bit, bit, nullable=False)


def _joined(before: _Part, after: _Part, into: Automaton) -> _Part:
    into.link(before.last, after.first)
    return _Part(
        before.first | (after.first if before.nullable else 0),
        after.last | (before.last if after.nullable else 0),
        nullable=before.nullable and after.nullable,
    )


def in_turn(parts: Sequence[Build], into: Automaton) -> _Part:
    """Adds parts, one after the other."""
    whole = _EMPTY
    for build in parts:
        whole = _joined(whole, build(into), into)
    return whole


def one_of(branches: Sequence[Build], into: Automaton) -> _Part:
    """Adds branches, each in place of the others."""
    parts = [build(into) for build in branches]
    first = reduce(or_, (part.first for part in parts))
    last = reduce(or_, (part.last for part in parts))
    return _Part(first, last, nullable=any(part.nullable for part in parts))


def repeat(build: Build, least: int, most: int | None, into: Automaton) -> _Part:
    """Writes a repetition out: what must be there, and then what may be, or a loop."""
    whole = in_turn([build] * (least if most is not None else max(0, least - 1)), into)
    if most is None:
        looped = build(into)
        into.link(looped.last, looped.first)
        return _joined(whole, replace(looped, nullable=looped.nullable or least == 0), into)
    for _ in range(most - least):
        whole = _joined(whole, replace(build(into), nullable=True), into)
    return whole
