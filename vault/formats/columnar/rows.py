"""Separator-free items of a column as arrays: a row per item, the items of one length together.

Most values are nothing but characters of their field's alphabet. Where a format handles
such values by position alone, a whole column is parsed, enciphered and written
without a Python object per item. All other items go one by one; ``split_rows`` takes only
items that provably come out the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vault.crypto.alphabet import Alphabet
from vault.crypto.fpe.limbs import Digits
from vault.formats.columnar.text_column import Codes, Offsets, TextColumn

__all__ = [
    "ColumnarFormat",
    "Mask",
    "Rows",
    "Segments",
    "TokenAlphabet",
    "join_texts",
    "split_rows",
    "stack_texts",
]

Mask = NDArray[np.bool_]

# Below that many items of one length, item by item is quicker.
_MIN_ROWS = 24


class Segments(NamedTuple):
    """The parts of rows, as ranges of columns.

    Attributes:
        first: columns before this one are kept.
        free: columns from ``first`` up to this one are enciphered.
        end: columns from ``free`` up to this one are check digits; those after it are kept.
    """

    first: int
    free: int
    end: int


class TokenAlphabet(NamedTuple):
    """What the vaulted tokens of some rows are written in.

    Attributes:
        alphabet: of the free columns; its characters are in ``row_alphabet``.
        label: what the tweak begins with.
        rows: which rows.
    """

    alphabet: Alphabet
    label: str
    rows: Mask


class ColumnarFormat(ABC):
    """A format that handles separator-free items as rows of an array.

    Rows are (n, length) arrays of positions in ``row_alphabet``. For every row that
    ``value_mask`` or ``token_mask`` accepts, ``Format``'s methods would make the same of
    the text: core equal to text, no separators, and the plan, random plans too, that
    ``segments`` describes; for vaulted fields in the alphabet that ``token_alphabets`` names.
    """

    @property
    @abstractmethod
    def row_alphabet(self) -> Alphabet:
        """The characters of values and tokens that can be rows."""

    @property
    @abstractmethod
    def row_lengths(self) -> range:
        """Lengths of the values and tokens that can be rows."""

    @abstractmethod
    def segments(self, length: int) -> Segments:
        """Returns what the columns of rows of a length are."""

    def token_alphabets(self, rows: Digits) -> Sequence[TokenAlphabet]:
        """Returns what vaulted tokens of rows are written in: each row in one of them."""
        return [TokenAlphabet(self.row_alphabet, "", np.ones(len(rows), np.bool_))]

    @abstractmethod
    def value_mask(self, rows: Digits) -> Mask:
        """Returns which rows are values; their length is one of ``row_lengths``."""

    @abstractmethod
    def token_mask(self, rows: Digits) -> Mask:
        """Returns which rows are tokens of some value."""

    @abstractmethod
    def set_token_check_digits(self, rows: Digits) -> None:
        """Writes what follows from the other columns of tokens, in place."""

    @abstractmethod
    def set_value_check_digits(self, rows: Digits) -> None:
        """Writes what follows from the other columns of values, in place."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Rows:
    """Items of one length. Hidden from ``repr``.

    Attributes:
        at: the items' indexes in their column, rising.
        digits: a row of positions in the alphabet for each.
    """

    at: NDArray[np.int64]
    digits: Digits

    def where(self, mask: Mask) -> Rows:
        """Returns the rows that a mask names."""
        return self if mask.all() else Rows(self.at[mask], self.digits[mask])

    def texts(self, alphabet: Alphabet) -> list[str]:
        """Returns the rows as strings."""
        return alphabet.decode_many(self.digits)

    def codes(self, alphabet: Alphabet) -> Codes:
        """Returns the rows' characters."""
        return alphabet.codes(self.digits)


def split_rows(
    column: TextColumn, rules: ColumnarFormat, accept: Callable[[Digits], Mask]
) -> tuple[list[Rows], NDArray[np.int64]]:
    """Takes the separator-free items of a column as rows.

    Args:
        accept: which rows of one length are items at all.

    Returns:
        The rows, one entry per length, and the indexes of all other items.
    """
    lengths = np.diff(column.offsets)
    found, counts = _counted(lengths)
    wanted = [
        length for length in found[counts >= _MIN_ROWS].tolist() if length in rules.row_lengths
    ]
    others = np.ones(len(column), np.bool_)
    groups = []
    if wanted:
        digits, foreign = rules.row_alphabet.positions(column.codes)
        for length in wanted:
            at = np.flatnonzero(lengths == length)
            # A column of one length need not be gathered.
            whole = (len(column), length)
            cells = None if len(found) == 1 else _cells(column.offsets, at, length)
            rows = digits.reshape(whole) if cells is None else digits[cells]
            separator_free = np.ones(len(at), np.bool_)
            if foreign is not None:
                foreign_rows = foreign.reshape(whole) if cells is None else foreign[cells]
                separator_free[foreign_rows.any(axis=1)] = False
                # A foreign character has no position: any will do in rows that are left out.
                rows[~separator_free] = 0
            taken = Rows(at, rows).where(separator_free & accept(rows))
            others[taken.at] = False
            groups.append(taken)
    return groups, np.flatnonzero(others)


def _counted(lengths: Offsets) -> tuple[Offsets, Offsets]:
    """Returns the distinct lengths and how many items have each."""
    first = lengths[:1]
    if (lengths == first).all():
        return first, np.full(len(first), len(lengths), np.int64)
    return np.unique(lengths, return_counts=True)


def _cells(offsets: Offsets, at: Offsets, length: int) -> Offsets:
    """Returns where the characters of items of one length are, a row for each."""
    return offsets[at][:, np.newaxis] + np.arange(length)


def join_texts(
    size: int,
    groups: Sequence[Rows],
    alphabet: Alphabet,
    others: Iterable[tuple[int, str]],
) -> TextColumn:
    """Writes rows and single texts into one column by their indexes; the rest is empty."""
    if len(groups) == 1 and len(groups[0].at) == size:
        whole = groups[0].codes(alphabet)
        return TextColumn(whole.reshape(-1), np.arange(size + 1) * whole.shape[1])
    rest = [(index, text) for index, text in others if text]
    lengths = np.zeros(size, np.int64)
    for group in groups:
        lengths[group.at] = group.digits.shape[1]
    lengths[[index for index, _ in rest]] = [len(text) for _, text in rest]
    offsets = np.zeros(size + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    texts = TextColumn.from_strings([text for _, text in rest])
    parts = [group.codes(alphabet) for group in groups]
    wide = any(part.dtype != np.uint8 for part in (*parts, texts.codes))
    total = int(offsets[-1])
    codes: Codes = np.empty(total, np.uint32) if wide else np.empty(total, np.uint8)
    for group, part in zip(groups, parts, strict=True):
        codes[_cells(offsets, group.at, part.shape[1])] = part
    for (index, _), start, end in zip(
        rest, texts.offsets[:-1].tolist(), texts.offsets[1:].tolist(), strict=True
    ):
        codes[offsets[index] : offsets[index + 1]] = texts.codes[start:end]
    return TextColumn(codes, offsets)


def stack_texts(groups: Sequence[Rows], alphabet: Alphabet, others: Sequence[str]) -> TextColumn:
    """Writes rows and single texts one after the other, whatever their indexes."""
    stacked, size = [], 0
    for group in groups:
        stacked.append(Rows(np.arange(size, size + len(group.at)), group.digits))
        size += len(group.at)
    return join_texts(size + len(others), stacked, alphabet, enumerate(others, size))
