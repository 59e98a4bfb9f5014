"""A column of texts as one run of characters: no object per item until one is needed.

What a use case takes and answers is a sequence of strings either way. Arrays are made of
strings in bulk (join, encode, frombuffer) and strings of arrays by one decode and slicing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vault.crypto.encoding import utf8_each
from vault.crypto.fpe.codes import Codes

__all__ = ["Codes", "Offsets", "TextColumn", "utf8_of"]

Offsets = NDArray[np.int64]

_UTF_32 = "utf-32-le"
_CODE = np.dtype("<u4")
# UTF-8: bytes 10xxxxxx continue a character.
_CONTINUES, _TOP_BITS = 0x80, 0xC0


class TextColumn(Sequence[str]):
    """Texts, one after the other, and where each begins. Hidden from ``repr``; immutable.

    Attributes:
        codes: the characters of all texts.
        offsets: where each text begins in ``codes``, from 0, and where the last one ends.
    """

    __slots__ = ("codes", "offsets")

    def __init__(self, codes: Codes, offsets: Offsets) -> None:
        """Takes arrays that fit each other."""
        self.codes = codes
        self.offsets = offsets

    @classmethod
    def from_strings(cls, texts: Sequence[str]) -> TextColumn:
        """Returns a column of the texts; a column stays itself."""
        if isinstance(texts, TextColumn):
            return texts
        strings = list(texts)
        offsets = np.zeros(len(strings) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)), out=offsets[1:])
        return cls(_codes("".join(strings)), offsets)

    @classmethod
    def from_utf8_strings(cls, texts: Sequence[bytes]) -> TextColumn:
        """Returns the column of UTF-8 texts. Raises ValueError where one is not valid UTF-8."""
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
        return cls.from_utf8(b"".join(texts), offsets)

    @classmethod
    def concat(cls, columns: Sequence[TextColumn]) -> TextColumn:
        """Returns the texts of columns, at least one, one after the other."""
        if len(columns) == 1:
            return columns[0]
        # As ``Codes``: 8 bits each where all are ASCII, else 32.
        codes: Codes = np.concatenate([column.codes for column in columns], dtype=np.uint32)
        if all(column.codes.dtype == np.uint8 for column in columns):
            codes = codes.astype(np.uint8)
        lengths = np.concatenate([np.diff(column.offsets) for column in columns])
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(codes, offsets)

    @classmethod
    def from_utf8(cls, data: bytes, offsets: Offsets) -> TextColumn:
        """Returns the column of UTF-8 texts that begin and end at byte offsets.

        Raises:
            ValueError: a text is not valid UTF-8.
        """
        if data.isascii():
            return cls(np.frombuffer(data, np.uint8), offsets)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = None
        units = np.frombuffer(data, np.uint8)
        begins = (units & _TOP_BITS) != _CONTINUES
        inner = offsets[offsets < len(data)]
        if text is None or not begins[inner].all():
            raise ValueError("a text is not valid UTF-8")
        before = np.zeros(len(data) + 1, np.int64)
        np.cumsum(begins, out=before[1:])
        return cls(_codes(text), before[offsets])

    def to_utf8(self) -> tuple[bytes, Offsets]:
        """Returns the texts in UTF-8, and the byte offsets where they begin and end."""
        if self.codes.dtype == np.uint8:
            return self.codes.tobytes(), self.offsets
        sizes = 1 + (self.codes >= 0x80) + (self.codes >= 0x800) + (self.codes >= 0x1_0000)
        before = np.zeros(len(self.codes) + 1, np.int64)
        np.cumsum(sizes, out=before[1:])
        return self._text().encode(), before[self.offsets]

    def take(self, indexes: NDArray[np.int64]) -> list[str]:
        """Returns some of the texts as strings."""
        starts, ends = self.offsets[indexes].tolist(), self.offsets[indexes + 1].tolist()
        return [_text(self.codes[start:end]) for start, end in zip(starts, ends, strict=True)]

    def select(self, indexes: NDArray[np.int64]) -> TextColumn:
        """Returns the column of the texts at indexes, in their order."""
        lengths = np.diff(self.offsets)[indexes]
        offsets = np.zeros(len(indexes) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        cells = np.arange(offsets[-1]) + np.repeat(self.offsets[indexes] - offsets[:-1], lengths)
        return TextColumn(self.codes[cells], offsets)

    def strings(self) -> list[str]:
        """Returns all texts as strings."""
        text, offsets = self._text(), self.offsets.tolist()
        return [text[start:end] for start, end in pairwise(offsets)]

    def utf8_each(self) -> list[bytes]:
        """Returns all texts in UTF-8. Raises FormatError for a lone surrogate."""
        if self.codes.dtype != np.uint8:
            return utf8_each(self.strings())
        data, offsets = self.codes.tobytes(), self.offsets.tolist()
        return [data[start:end] for start, end in pairwise(offsets)]

    def _text(self) -> str:
        return _text(self.codes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(self.strings())

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return self.strings()[index]
        at = range(len(self))[index]
        return _text(self.codes[self.offsets[at] : self.offsets[at + 1]])

    def __repr__(self) -> str:
        return f"<TextColumn of {len(self)}>"


def utf8_of(texts: Sequence[str]) -> list[bytes]:
    """Returns texts in UTF-8. Raises FormatError for a lone surrogate."""
    return texts.utf8_each() if isinstance(texts, TextColumn) else utf8_each(texts)


def _codes(text: str) -> Codes:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    # surrogatepass: a lone surrogate is in no alphabet, which a format finds out by itself.
    return np.frombuffer(text.encode(_UTF_32, "surrogatepass"), _CODE)


def _text(codes: Codes) -> str:
    if codes.dtype == np.uint8:
        return codes.tobytes().decode("ascii")
    return codes.tobytes().decode(_UTF_32, "surrogatepass")
