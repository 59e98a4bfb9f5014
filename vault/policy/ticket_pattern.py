"""What tickets a rule accepts: a small part of regular expressions, matched in linear time.

Python's ``re`` backtracks, and a pattern such as ``(a+)+`` makes it run for hours on a text that
a caller chose. An automaton does not, and shows whether it accepts any ticket at all.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from functools import partial

from vault.policy.position_automaton import (
    MAX_POSITIONS,
    Automaton,
    Build,
    automaton_of,
    in_turn,
    leaf,
    one_of,
    repeat,
)

__all__ = ["MAX_TICKET", "TicketPattern"]

MAX_TICKET = 64
"""Longest ticket that is accepted, in characters."""

_MAX_DEPTH = 16
_VISIBLE = frozenset(map(chr, range(0x21, 0x7F)))
_SPECIAL = frozenset("\\.[](){}*+?|^$")
_SHORTHANDS = {
    "d": frozenset(string.digits),
    "w": frozenset(string.ascii_letters + string.digits + "_"),
}
# What looks like somebody's number, bare or with dashes, and how long the shortest is.
_NUMBERS = ((_SHORTHANDS["d"], 9), (_SHORTHANDS["d"] | {"-"}, 11))
_COUNT = re.compile(r"\{([0-9]{1,3})(,([0-9]{0,3}))?\}")


@dataclass(frozen=True, slots=True)
class TicketPattern:
    r"""A pattern that a whole ticket must match. Raises ValueError for what is no pattern.

    Characters stand for themselves; ``.`` is any visible ASCII character, ``\d`` a digit, ``\w``
    a letter, a digit or ``_``, ``[...]`` one of a set and ``[^...]`` none of it; ``(...)`` is a
    group, ``|`` is or; ``?``, ``*``, ``+``, ``{n}``, ``{n,}`` and ``{n,m}`` repeat what is before.
    """

    text: str
    _automaton: Automaton = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_automaton", _Parser(self.text).automaton())
        if self._automaton.nullable:
            raise ValueError("matches an empty ticket, which is none: make it take a character")
        if not any(self._automaton.lengths(_VISIBLE, MAX_TICKET)):
            raise ValueError(f"no ticket of at most {MAX_TICKET} characters can match")

    def __str__(self) -> str:
        return self.text

    def matches(self, ticket: str) -> bool:
        """Returns whether a whole ticket is of this form."""
        return 0 < len(ticket) <= MAX_TICKET and self._automaton.accepts(ticket)

    def takes_numbers(self) -> bool:
        """Returns whether a bare number as long as an SSN or a card's is a ticket too."""
        return any(
            length >= shortest
            for characters, shortest in _NUMBERS
            for length in self._automaton.lengths(characters, MAX_TICKET)
        )


class _Parser:
    """Reads a pattern. Its messages quote nothing of it: it may be somebody's ticket."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def automaton(self) -> Automaton:
        """Returns the pattern's automaton. Raises ValueError where it is no pattern."""
        if len(self._text) > MAX_POSITIONS:
            raise ValueError(f"is longer than {MAX_POSITIONS} characters")
        build = self._choice()
        if self._at < len(self._text):
            raise ValueError("has a ')' without a '('")
        return automaton_of(build)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise ValueError("ends too early")
        if character not in _VISIBLE:
            raise ValueError("has a character that no ticket has: visible ASCII only")
        self._at += 1
        return character

    def _choice(self) -> Build:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._take()
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else partial(one_of, branches)

    def _sequence(self) -> Build:
        parts: list[Build] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        if not parts:
            raise ValueError("is empty, or has an empty branch or group")
        return parts[0] if len(parts) == 1 else partial(in_turn, parts)

    def _atom(self) -> Build:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return partial(leaf, self._class())
        if character == ".":
            return partial(leaf, _VISIBLE)
        if character == "\\":
            return partial(leaf, self._escaped())
        if character in "^$":
            raise ValueError("is for the whole ticket always: remove ^ and $")
        if character in _SPECIAL:
            raise ValueError(
                f"has a '{character}' that repeats or closes nothing: write '\\{character}'"
            )
        return partial(leaf, frozenset(character))

    def _group(self) -> Build:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"nests deeper than {_MAX_DEPTH} groups")
        if self._peek() == "?":
            raise ValueError("has '(?': groups have no options here")
        inner = self._choice()
        if self._peek() != ")":
            raise ValueError("has a '(' without a ')'")
        self._take()
        self._depth -= 1
        return inner

    def _escaped(self) -> frozenset[str]:
        character = self._take()
        if character in _SHORTHANDS:
            return _SHORTHANDS[character]
        if character.isalnum():
            raise ValueError("has an escape that is none here: \\d and \\w are")
        return frozenset(character)

    def _class(self) -> frozenset[str]:
        inverted = self._peek() == "^"
        if inverted:
            self._take()
        found: set[str] = set()
        while self._peek() != "]":
            found |= self._range()
        self._take()
        characters = _VISIBLE - found if inverted else frozenset(found)
        if not found or not characters:
            raise ValueError("has a set [...] without a character")
        return characters

    def _range(self) -> frozenset[str]:
        low = self._member()
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] == "]":
            return low
        self._take()
        ends = low, self._member()
        if any(len(each) != 1 for each in ends):
            raise ValueError("has a range in [...] that does not go from one character to another")
        (first,), (last,) = ends
        if last < first:
            raise ValueError("has a range in [...] that runs backwards")
        return frozenset(map(chr, range(ord(first), ord(last) + 1)))

    def _member(self) -> frozenset[str]:
        character = self._take()
        if character == "[":
            raise ValueError("has a '[' within [...]: write '\\['")
        return self._escaped() if character == "\\" else frozenset(character)

    def _repeated(self, atom: Build) -> Build:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if self._peek() in ("?", "*", "+", "{"):
            raise ValueError("repeats a repetition: put it in a group")
        return partial(repeat, atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        """Reads how often what is before may come; None for once."""
        simple: dict[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        sign = self._peek()
        if sign in simple:
            self._take()
            return simple[sign]
        if sign != "{":
            return None
        match = _COUNT.match(self._text, self._at)
        if match is None:
            raise ValueError("has a '{' that is no {n}, {n,} or {n,m}: write '\\{'")
        self._at = match.end()
        least = int(match[1])
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if most is not None and not max(1, least) <= most <= MAX_POSITIONS:
            raise ValueError("has a {n,m} that cannot be: n is at most m, and m at least 1")
        return least, most
