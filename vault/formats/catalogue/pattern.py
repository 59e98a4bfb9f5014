"""The grammar of templates, and how a template is matched.

A template is literal text with groups and optional separators:

- ``{name:alphabet:4}`` or ``{name:alphabet:4-10}``: a group of that many characters of an
  alphabet (named, or the characters themselves), which is enciphered;
- ``{name:alphabet:4:keep}``: a group that the token keeps;
- ``[ -]``: one of these characters, or none, where it stands;
- ``{{``, ``}}``, ``[[``, ``]]``: the bracket itself.

What can be matched in two ways is refused, so matching never backtracks: it is linear.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from vault.crypto.alphabet import Alphabet
from vault.formats.base.alphabet_option import read_alphabet
from vault.formats.base.options import FormatOptionError

__all__ = ["LiteralCharacter", "OptionalCharacter", "Pattern", "PatternGroup", "read_pattern"]

MAX_LENGTH = 512
"""Most characters that a template may match."""

_TOKEN = re.compile(
    r"\{(?P<name>[a-z][a-z0-9_]{0,31}):(?P<alphabet>[^{}]+):(?P<low>[0-9]{1,4})"
    r"(?:-(?P<high>[0-9]{1,4}))?(?P<kept>:keep)?\}"
    r"|\[(?P<optional>[^\[\]]+)\]"
    r"|(?P<literal>\{\{|\}\}|\[\[|\]\]|[^{}\[\]])"
)


@dataclass(frozen=True, slots=True)
class LiteralCharacter:
    """One character that is always there."""

    character: str


@dataclass(frozen=True, slots=True)
class OptionalCharacter:
    """One of some characters, or none."""

    characters: str


@dataclass(frozen=True, slots=True)
class PatternGroup:
    """A run of ``low`` to ``high`` characters of an alphabet."""

    name: str
    alphabet: Alphabet
    low: int
    high: int
    kept: bool


Element: TypeAlias = LiteralCharacter | OptionalCharacter | PatternGroup


@dataclass(frozen=True, slots=True)
class Pattern:
    """A template, read.

    Attributes:
        groups: in the order of the text.
        text: matches a whole value; a numbered group for each optional character.
        core: matches a value without its optional characters, every piece by number.
        pieces: what the pieces of ``core`` are.
        shortest: fewest characters of a value.
        longest: most characters of a value.
    """

    groups: tuple[PatternGroup, ...]
    text: re.Pattern[str]
    core: re.Pattern[str]
    pieces: tuple[str | PatternGroup, ...]
    shortest: int
    longest: int


def read_pattern(template: str) -> Pattern:
    """Reads a template. Raises FormatOptionError (option ``template``)."""
    elements = _read(template)
    groups = tuple([each for each in elements if isinstance(each, PatternGroup)])
    if not any(not group.kept for group in groups):
        raise _template_error("the template has no group to encipher, as {serial:digits:6}")
    if len({group.name for group in groups}) != len(groups):
        raise _template_error("two groups of the template have one name")
    longest = sum([each.high if isinstance(each, PatternGroup) else 1 for each in elements])
    if longest > MAX_LENGTH:
        raise _template_error(f"the template allows more than {MAX_LENGTH} characters")
    _check_optionals(elements)
    solid = [each for each in elements if not isinstance(each, OptionalCharacter)]
    _check_ends(solid)
    pieces = _pieces(solid)
    return Pattern(
        groups=groups,
        text=re.compile("".join([_expression(each) for each in elements])),
        core=re.compile("".join([f"({_expression_of_piece(piece)})" for piece in pieces])),
        pieces=pieces,
        shortest=sum([each.low if isinstance(each, PatternGroup) else 1 for each in solid]),
        longest=longest,
    )


def _read(template: str) -> list[Element]:
    elements: list[Element] = []
    at = 0
    while at < len(template):
        match = _TOKEN.match(template, at)
        if match is None:
            raise _template_error(
                f"the template cannot be read at character {at + 1}: groups are "
                "{name:alphabet:length}, optional separators [ -], a bracket itself is doubled"
            )
        elements.append(_element(match))
        at = match.end()
    return elements


def _element(match: re.Match[str]) -> Element:
    if match["optional"] is not None:
        return OptionalCharacter("".join(sorted(set(match["optional"]))))
    if match["literal"] is not None:
        return LiteralCharacter(match["literal"][0])
    low = int(match["low"])
    high = low if match["high"] is None else int(match["high"])
    if not 1 <= low <= high <= MAX_LENGTH:
        raise _template_error(f"a group's lengths are from 1 to {MAX_LENGTH}, the lesser first")
    alphabet = read_alphabet(match["alphabet"], "template")
    return PatternGroup(match["name"], alphabet, low, high, match["kept"] is not None)


def _check_optionals(elements: Sequence[Element]) -> None:
    """Refuses optional characters that could also be part of something else."""
    for at, element in enumerate(elements):
        if not isinstance(element, OptionalCharacter):
            continue
        following = elements[at + 1] if at + 1 < len(elements) else None
        for character in element.characters:
            category = unicodedata.category(character)
            # What is optional stays readable: letters and digits must not slip through.
            if category[0] not in {"P", "S", "Z"} or category in {"Zl", "Zp"}:
                raise _template_error("an optional character is punctuation, a symbol or a space")
            if any(isinstance(e, PatternGroup) and character in e.alphabet for e in elements):
                raise _template_error("an optional character is in the alphabet of a group")
            if isinstance(following, OptionalCharacter) or following == LiteralCharacter(character):
                raise _template_error("an optional character could be the character after it")


def _check_ends(solid: Sequence[LiteralCharacter | PatternGroup]) -> None:
    """Refuses a group that could end in two places."""
    for group, following in pairwise(solid):
        if not isinstance(group, PatternGroup) or group.low == group.high:
            continue
        if isinstance(following, LiteralCharacter):
            first = following.character
        else:
            first = following.alphabet.characters
        if any(character in group.alphabet for character in first):
            raise _template_error(
                f"group {group.name} has no fixed length, so what follows it must not begin "
                "with a character of its alphabet"
            )


def _pieces(solid: Sequence[LiteralCharacter | PatternGroup]) -> tuple[str | PatternGroup, ...]:
    """Returns groups, and literals joined."""
    pieces: list[str | PatternGroup] = []
    for element in solid:
        if isinstance(element, PatternGroup):
            pieces.append(element)
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += element.character
        else:
            pieces.append(element.character)
    return tuple(pieces)


def _expression(element: Element) -> str:
    if isinstance(element, LiteralCharacter):
        return re.escape(element.character)
    if isinstance(element, OptionalCharacter):
        return f"([{re.escape(element.characters)}]?+)"
    return _expression_of_piece(element)


def _expression_of_piece(piece: str | PatternGroup) -> str:
    if isinstance(piece, str):
        return re.escape(piece)
    # Possessive: never given back, which is what makes matching linear.
    return f"[{re.escape(piece.alphabet.characters)}]{{{piece.low},{piece.high}}}+"


def _template_error(message: str) -> FormatOptionError:
    return FormatOptionError("template", message)
