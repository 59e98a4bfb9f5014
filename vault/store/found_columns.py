"""What a look-up of a large batch found: columns that Postgres has put together itself.

A row for each token costs Postgres its sending and Python an object for each cell. Here one row
has all of a column: texts and bytes one after the other, and their lengths beside them. What is
asked for in the order of the index mostly comes back whole and in that order, and then nothing
is looked for one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from psycopg.pq.abc import PGresult

from vault.formats.columnar.row_order import as_items, sorted_rows
from vault.formats.columnar.text_column import TextColumn
from vault.model import StoredTokens, TokenState

__all__ = ["MIN_FOR_COLUMNS", "SortedKeys", "found_by_mac", "found_by_token"]

# Below that rows are as quick: Postgres has columns to set up, and arrays cost by the call.
MIN_FOR_COLUMNS = 512

# As ``find_sql`` says what has no ciphertext.
_STATES = {ord("l"): TokenState.LIVE, ord("x"): TokenState.EXPIRED, ord("e"): TokenState.ERASED}
_WEIGHTY = 8  # bytes that MACs are sorted by: two seldom have more than that in common
# The columns of the answer. Lengths follow tokens, what index rows lead to, and MACs. Version of
# the key and length of a ciphertext are one number.
_TOKENS, _CIPHERTEXTS, _NUMBERS, _MARKS, _LEADING, _MACS = 0, 2, 3, 4, 5, 7
_SIZE_BITS = 32
_SIZE = (1 << _SIZE_BITS) - 1


@dataclass(frozen=True, slots=True, repr=False)
class SortedKeys:
    """Tokens or MACs of one length in the order of an index. Hidden from ``repr``.

    Attributes:
        joined: one after the other.
        size: of each.
        at: each one's position in what was asked for.
    """

    joined: bytes
    size: int
    at: NDArray[np.int64]

    @staticmethod
    def macs(asked: Sequence[bytes]) -> SortedKeys | None:
        """Sorts MACs; None if their lengths differ."""
        lengths = set(map(len, asked))
        return _sorted(b"".join(asked), lengths.pop(), _WEIGHTY) if len(lengths) == 1 else None

    @staticmethod
    def tokens(asked: Sequence[str]) -> SortedKeys | None:
        """Sorts tokens; None if their lengths differ, or they are no column."""
        if not isinstance(asked, TextColumn):
            return None
        data, offsets = asked.to_utf8()
        return _Items(data, np.diff(offsets)).sorted()

    def are(self, found: _Items) -> bool:
        """Returns whether all were found, in this order."""
        return self.joined == found.data and bool((found.lengths == self.size).all())

    def positions(self) -> dict[bytes, int]:
        """Returns the position of each in what was asked for."""
        starts = range(0, len(self.joined), self.size)
        each = [self.joined[start : start + self.size] for start in starts]
        return dict(zip(each, self.at.tolist(), strict=True))


@dataclass(frozen=True, slots=True, repr=False)
class _Items:
    """Byte strings one after the other, and their lengths."""

    data: bytes
    lengths: NDArray[np.integer]

    def sorted(self) -> SortedKeys | None:
        first = self.lengths[:1]
        if not (self.lengths == first).all():
            return None
        return _sorted(self.data, int(first.sum()))

    def offsets(self) -> NDArray[np.int64]:
        offsets = np.zeros(len(self.lengths) + 1, np.int64)
        np.cumsum(self.lengths, out=offsets[1:])
        return offsets

    def each(self) -> list[bytes]:
        data = self.data
        return [data[start:end] for start, end in pairwise(self.offsets().tolist())]


def _sorted(data: bytes, size: int, weighty: int | None = None) -> SortedKeys | None:
    if not data:
        return None
    table = np.frombuffer(data, np.uint8).reshape(-1, size)
    at, _ = sorted_rows(table[:, :weighty])
    return SortedKeys(as_items(table)[at].tobytes(), size, at)


def found_by_token(asked: SortedKeys, result: PGresult) -> StoredTokens:
    """Reads the answer of ``LookupStatements.columns_by_token``."""
    tokens = _items(result, _TOKENS)
    if asked.are(tokens):
        return _stored(result, tokens, asked.at.tolist())
    positions = asked.positions()
    # By a collation that is not ours: what was not asked for is not answered.
    found = [
        (positions[token], row) for row, token in enumerate(tokens.each()) if token in positions
    ]
    return _stored(result, tokens, [at for at, _ in found], [row for _, row in found])


def found_by_mac(asked: SortedKeys, result: PGresult) -> StoredTokens:
    """Reads the answer of ``LookupStatements.columns_by_mac``."""
    macs, leading, tokens = (_items(result, column) for column in (_MACS, _LEADING, _TOKENS))
    led = leading.sorted()
    if led is not None and asked.are(macs) and led.are(tokens):
        return _stored(result, tokens, asked.at[led.at].tolist())
    # Values without a token, or index rows that lead nowhere, or where others do.
    positions = asked.positions()
    row_of = {token: row for row, token in enumerate(tokens.each())}
    found = [
        (positions[mac], row_of[token])
        for mac, token in zip(macs.each(), leading.each(), strict=True)
        if mac in positions and token in row_of
    ]
    return _stored(result, tokens, [at for at, _ in found], [row for _, row in found])


def _stored(
    result: PGresult, tokens: _Items, at: Sequence[int], rows: Sequence[int] | None = None
) -> StoredTokens:
    """Reads rows by their numbers, all where there are none."""
    numbers = np.frombuffer(_value(result, _NUMBERS), ">i8").astype(np.int64)
    sizes = numbers & _SIZE
    texts = TextColumn.from_utf8(tokens.data, tokens.offsets())
    ciphertexts = _Items(_value(result, _CIPHERTEXTS), sizes).each()
    versions: Sequence[int] = (numbers >> _SIZE_BITS).tolist()
    states = _states(sizes, _value(result, _MARKS))
    if rows is None:
        return StoredTokens(at, texts, ciphertexts, versions, states)
    return StoredTokens(
        at,
        texts.take(np.array(rows, np.int64)),
        [ciphertexts[row] for row in rows],
        [versions[row] for row in rows],
        [states[row] for row in rows],
    )


def _states(sizes: NDArray[np.int64], marks: bytes) -> Sequence[TokenState]:
    states = [TokenState.LIVE] * len(sizes)
    for row, mark in zip(np.flatnonzero(sizes == 0).tolist(), marks, strict=True):
        states[row] = _STATES.get(mark, TokenState.DAMAGED)
    return states


def _items(result: PGresult, column: int) -> _Items:
    return _Items(_value(result, column), np.frombuffer(_value(result, column + 1), ">i4"))


def _value(result: PGresult, column: int) -> bytes:
    """Returns a cell; NULL, of no rows, is nothing."""
    return result.get_value(0, column) or b""
