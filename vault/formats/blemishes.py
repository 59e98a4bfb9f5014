"""What is easily overlooked in a value that was refused: blanks around it, and doubles."""

from __future__ import annotations

import unicodedata

from vault.formats.layout import HYPHENS, SPACES

__all__ = ["blemish"]

_AROUND = "there is a space, a line break or an invisible mark before or after it"
_WITHIN = "it has an invisible character, or one that only looks like a digit, a space or a hyphen"
# Format controls, and the spaces, dashes and digits that most formats do not take.
_DOUBLES = {"Cf", "Zs", "Zl", "Zp", "Pd", "Nd"}


def blemish(text: str) -> str | None:
    """Returns what nobody sees in a text that looks right, and never which character it is."""
    if text.strip() and (_is_blank(text[0]) or _is_blank(text[-1])):
        return _AROUND
    if not text.isascii() and any(map(_is_double, text)):
        return _WITHIN
    return None


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


def _is_double(character: str) -> bool:
    if character.isascii() or character in SPACES + HYPHENS:
        return False
    return unicodedata.category(character) in _DOUBLES
