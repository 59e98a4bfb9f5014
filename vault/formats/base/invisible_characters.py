"""What is easily overlooked in a value that was refused: marks that nobody sees, and doubles.

Said only where it is the cause: where the value without them is taken, or without what is
around it is refused for something else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from vault.errors import FormatError
from vault.formats.base.layout import HYPHENS

__all__ = ["invisible_character_hint"]

_AROUND = "there is a space, a line break or an invisible mark before or after it"
_WITHIN = "it has an invisible character, or one that only looks like another"
_LONGEST = 1000  # more nobody reads through
# Of what is compared with its double: no format that a double can get into takes more. Before
# normalising, which makes up to 18 characters of one and sorts runs of marks, and after it.
_LONGEST_DOUBLE = 256
# Letters of other scripts that look like Latin ones, small ones where these do.
_LETTERS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
    "ABESIJKMHOPCTYXaesijopcyxABEZHIKMNOPTYXo",
)
_HYPHENS = re.compile(f"[{HYPHENS}\u2014\u2015\u2212\ufe58\ufe63\uff0d]")
# Without ink, but no controls: joiners, variation selectors, fillers of Hangul, Braille's blank.
_INKLESS = re.compile("[\u034f\u115f\u1160\u2800\u3164\ufe00-\ufe0f\uffa0]")
_PRINTABLE = re.compile("[!-~]+(?: [!-~]+)*")


def invisible_character_hint(
    text: str, refusal: FormatError, parse: Callable[[str], object]
) -> str | None:
    """Returns what nobody sees in a refused text, and never which character it is.

    Args:
        refusal: what ``parse`` raised for the text.
        parse: takes what the text should have been, and raises FormatError for the rest.
    """
    if len(text) > _LONGEST or _PRINTABLE.fullmatch(text):
        return None
    bare = _bare(text)
    if bare != text and _said_of(bare, parse) != refusal.message:
        return _AROUND
    if len(bare) > _LONGEST_DOUBLE:
        return None
    plain = _plain(bare)
    if plain != bare and _said_of(plain, parse) is None:
        return _WITHIN
    return None


def _said_of(text: str, parse: Callable[[str], object]) -> str | None:
    """Returns why a text is refused, None where it is taken."""
    try:
        parse(text)
    except FormatError as error:
        return error.message
    return None


def _bare(text: str) -> str:
    """Returns a text without what nobody sees around it."""
    start, end = 0, len(text)
    while start < end and _is_blank(text[start]):
        start += 1
    while end > start and _is_blank(text[end - 1]):
        end -= 1
    return text[start:end]


def _plain(text: str) -> str:
    """Returns a text in the characters that those in it are mistaken for."""
    spaced = "".join([" " if each.isspace() else each for each in text])
    hyphened = _HYPHENS.sub("-", spaced).translate(_LETTERS)
    known = unicodedata.normalize("NFKC", "".join([_digit(each) for each in hyphened]))
    if len(known) > _LONGEST_DOUBLE:
        return text
    return "".join([each for each in known if not _is_invisible(each)]).strip()


def _digit(character: str) -> str:
    value = unicodedata.digit(character, None)
    return character if value is None else str(value)


def _is_blank(character: str) -> bool:
    return character.isspace() or _is_invisible(character)


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf"} or bool(_INKLESS.match(character))
