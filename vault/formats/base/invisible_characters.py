"""Hints at invisible and look-alike characters in a value that was refused.

Given only where they are the cause: where the value without them is taken, or without what is
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
_LONGEST = 1000  # bounds the work on hostile input
# Of a text that is searched for look-alikes: no format that can have any takes more. Checked before
# normalising, which makes up to 18 characters of one and sorts combining marks, and after it.
_LONGEST_LOOK_ALIKE = 256
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
    """Returns what is invisible in a refused text, and never which character it is.

    Args:
        refusal: what ``parse`` raised for the text.
        parse: takes what the text should have been, and raises FormatError for the rest.
    """
    if len(text) > _LONGEST or _PRINTABLE.fullmatch(text):
        return None
    stripped = _stripped(text)
    if stripped != text and _refusal_of(stripped, parse) != refusal.message:
        return _AROUND
    if len(stripped) > _LONGEST_LOOK_ALIKE:
        return None
    replaced = _without_look_alikes(stripped)
    if replaced != stripped and _refusal_of(replaced, parse) is None:
        return _WITHIN
    return None


def _refusal_of(text: str, parse: Callable[[str], object]) -> str | None:
    """Returns why a text is refused; None where it is accepted."""
    try:
        parse(text)
    except FormatError as error:
        return error.message
    return None


def _stripped(text: str) -> str:
    """Returns a text without blank or invisible characters around it."""
    start, end = 0, len(text)
    while start < end and _is_blank(text[start]):
        start += 1
    while end > start and _is_blank(text[end - 1]):
        end -= 1
    return text[start:end]


def _without_look_alikes(text: str) -> str:
    """Returns a text in the characters that those in it are mistaken for."""
    spaced = "".join([" " if each.isspace() else each for each in text])
    hyphened = _HYPHENS.sub("-", spaced).translate(_LETTERS)
    known = unicodedata.normalize("NFKC", "".join([_digit(each) for each in hyphened]))
    if len(known) > _LONGEST_LOOK_ALIKE:
        return text
    return "".join([each for each in known if not _is_invisible(each)]).strip()


def _digit(character: str) -> str:
    value = unicodedata.digit(character, None)
    return character if value is None else str(value)


def _is_blank(character: str) -> bool:
    return character.isspace() or _is_invisible(character)


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf"} or bool(_INKLESS.match(character))
