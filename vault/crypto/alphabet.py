"""Alphabets: the characters of a field, in an order that is part of the key contract."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vault.crypto.fpe.codes import Codes, CodeTable
from vault.crypto.fpe.domain import MAX_RADIX, MIN_RADIX
from vault.crypto.fpe.limbs import Digits
from vault.errors import FormatError

__all__ = ["NAMED_ALPHABETS", "Alphabet"]

# Marks, controls, invisible formatting, surrogates, unassigned, line separators.
_REFUSED = frozenset({"Mn", "Mc", "Me", "Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
# Hangul vowels and trailing consonants join the character before them under NFC.
_FIRST_JOINING, _LAST_JOINING = "\u1160", "\u11ff"
_FOREIGN = "a character is not in the field's alphabet"
_OUTSIDE = "a position is outside of the alphabet"


class Alphabet:
    """An ordered set of 2..65536 characters, each standing for its position.

    Characters are such that no text over the alphabet changes under NFC: a token that
    some other system normalises stays the same token.
    """

    __slots__ = ("_characters", "_digest", "_positions", "_table")

    def __init__(self, characters: str) -> None:
        """Takes the characters in order. Raises ValueError naming the rule, not a character."""
        if not MIN_RADIX <= len(characters) <= MAX_RADIX:
            raise ValueError("an alphabet must have from 2 to 65536 characters")
        self._positions = {character: i for i, character in enumerate(characters)}
        if len(self._positions) != len(characters):
            raise ValueError("an alphabet must not repeat a character")
        for character in characters:
            _check_character(character)
        self._characters = characters
        self._table = CodeTable(characters)
        self._digest = sha256(characters.encode("utf-8")).hexdigest()

    def __repr__(self) -> str:
        return f"Alphabet(radix={self.radix}, digest={self._digest[:12]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alphabet) and self._characters == other._characters

    def __hash__(self) -> int:
        return hash(self._characters)

    def __contains__(self, character: str) -> bool:
        return character in self._positions

    @property
    def characters(self) -> str:
        """The characters in order."""
        return self._characters

    @property
    def radix(self) -> int:
        """How many characters there are."""
        return len(self._characters)

    @property
    def digest(self) -> str:
        """SHA-256 (lower-case hex) of the characters in UTF-8: order counts."""
        return self._digest

    def encode(self, text: str) -> list[int]:
        """Returns the position of each character. Raises FormatError."""
        positions = self._positions
        try:
            return [positions[character] for character in text]
        except KeyError:
            pass  # The error below must not have this one, with the character, as its context.
        raise FormatError(_FOREIGN)

    def decode(self, digits: Sequence[int]) -> str:
        """Returns the characters at the positions. Raises ValueError for one outside."""
        if digits and not 0 <= min(digits) <= max(digits) < self.radix:
            raise ValueError(_OUTSIDE)
        return "".join(map(self._characters.__getitem__, digits))

    def encode_many(self, texts: Sequence[str]) -> Digits:
        """Returns texts of one length as an (n, length) array of positions.

        Raises:
            FormatError: a character outside of the alphabet.
            ValueError: lengths that differ.
        """
        length = len(texts[0]) if texts else 0
        if set(map(len, texts)) - {length}:
            raise ValueError("the texts must have one length")
        digits = self._table.encode("".join(texts))
        if digits is None:
            raise FormatError(_FOREIGN)
        return digits.reshape(len(texts), length)

    def decode_many(self, digits: NDArray[np.integer]) -> list[str]:
        """Reverses ``encode_many``. Raises ValueError for a position outside."""
        rows, length = digits.shape
        if digits.size and not 0 <= int(digits.min()) <= int(digits.max()) < self.radix:
            raise ValueError(_OUTSIDE)
        text = self._table.decode(digits)
        if length == 0:
            return [text] * rows
        return [text[start : start + length] for start in range(0, rows * length, length)]

    def positions(self, codes: Codes) -> tuple[Digits, NDArray[np.bool_] | None]:
        """Returns the position of each code point, and which are foreign (None: none is).

        What stands in a foreign one's place is not a position.
        """
        return self._table.positions(codes)

    def codes(self, digits: Digits) -> Codes:
        """Returns the code point at each position. Raises IndexError for one outside."""
        return self._table.codes(digits)


def _check_character(character: str) -> None:
    if unicodedata.category(character) in _REFUSED:
        raise ValueError(
            "an alphabet must not hold combining marks, surrogates, control, invisible "
            "or unassigned characters"
        )
    joins = _FIRST_JOINING <= character <= _LAST_JOINING
    if joins or not unicodedata.is_normalized("NFC", character):
        raise ValueError("an alphabet must hold characters in Unicode normal form C")


NAMED_ALPHABETS: Mapping[str, Alphabet] = MappingProxyType(
    {
        "digits": Alphabet(string.digits),
        "lower": Alphabet(string.ascii_lowercase),
        "upper": Alphabet(string.ascii_uppercase),
        "letters": Alphabet(string.ascii_uppercase + string.ascii_lowercase),
        "alphanumeric": Alphabet(string.digits + string.ascii_uppercase + string.ascii_lowercase),
        "alphanumeric_upper": Alphabet(string.digits + string.ascii_uppercase),
        "alphanumeric_lower": Alphabet(string.digits + string.ascii_lowercase),
        "hex_lower": Alphabet("0123456789abcdef"),
        "hex_upper": Alphabet("0123456789ABCDEF"),
    }
)
