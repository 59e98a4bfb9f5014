"""Texts to arrays of positions and back, all characters of a batch at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vault.crypto.fpe.limbs import Digits

__all__ = ["CodeTable", "Codes"]

Codes = NDArray[np.uint8] | NDArray[np.uint32]
"""Code points: 8 bits each where all are ASCII, else 32."""

_ASCII_END = 128
_CODE = np.dtype("<u4")
_ENCODING = "utf-32-le"


class CodeTable:
    """Code points of an alphabet, in both directions.

    ASCII alphabets go by a table of 128 entries; others by a search in the sorted code
    points, for a table up to the highest code point would take megabytes.
    """

    __slots__ = ("_ascii", "_code_bytes", "_codes", "_order", "_positions", "_sorted")

    def __init__(self, characters: str) -> None:
        codes = np.frombuffer(characters.encode(_ENCODING), _CODE)
        self._ascii = characters.isascii()
        self._codes = codes.astype(np.uint8) if self._ascii else codes
        self._code_bytes = np.zeros(256, np.uint8)
        if self._ascii:
            self._code_bytes[: len(codes)] = codes
        self._order = np.argsort(codes).astype(np.uint16)
        self._sorted = codes[self._order]
        # No position of an ASCII alphabet reaches 128, so 255 can stand for a foreign character.
        self._positions = np.full(256, 255, np.uint8)
        if self._ascii:
            self._positions[codes] = np.arange(len(codes))

    def encode(self, text: str) -> Digits | None:
        """Returns the positions of a text's characters, or None where one is foreign."""
        if not self._ascii:
            return self._search(text)
        if not text.isascii():
            return None
        digits = self._positions[np.frombuffer(text.encode("ascii"), np.uint8)]
        return digits if digits.max(initial=0) < _ASCII_END else None

    def positions(self, codes: Codes) -> tuple[Digits, NDArray[np.bool_] | None]:
        """Returns each code point's position, and where they are foreign (None: nowhere).

        What stands in place of a foreign code point's position means nothing.
        """
        if self._ascii:
            # 255 is foreign in the table, as all above 127 are.
            narrow = np.minimum(codes, 255).astype(np.uint8, copy=False)
            digits = _translated(narrow, self._positions)
            foreign = digits >= _ASCII_END
            return digits, foreign if foreign.any() else None
        at = np.searchsorted(self._sorted, codes)
        at[at == len(self._sorted)] = 0
        foreign = self._sorted[at] != codes
        return self._order[at], foreign if foreign.any() else None

    def codes(self, digits: Digits) -> Codes:
        """Returns the code points of positions that are known to be in the alphabet."""
        return _translated(digits, self._code_bytes) if self._ascii else self._codes[digits]

    def _search(self, text: str) -> Digits | None:
        # surrogatepass: a lone surrogate is in no alphabet, and comes out as foreign below.
        digits, foreign = self.positions(
            np.frombuffer(text.encode(_ENCODING, "surrogatepass"), _CODE)
        )
        return digits if foreign is None else None

    def decode(self, digits: NDArray[np.integer]) -> str:
        """Returns the characters at positions that are known to be in the alphabet."""
        data: bytes = self._codes[digits.reshape(-1)].tobytes()
        return data.decode("ascii" if self._ascii else _ENCODING)


def _translated(source: NDArray[np.integer], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Looks bytes up in a table of 256: several times as fast as indexing with an array."""
    data = source.tobytes().translate(table.tobytes())
    # Through a bytearray, for whoever got it may write into it.
    return np.frombuffer(bytearray(data), np.uint8).reshape(source.shape)
