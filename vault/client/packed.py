"""Packed columns: Arrow's layout, for callers whose data is in Arrow or NumPy already.

Nothing here needs pyarrow but ``from_arrow`` and ``to_arrow``: buffers come in by the
buffer protocol, and the answer's bytes go out the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vault.distribution import install_hint

try:
    import numpy as np
    from numpy.typing import NDArray
except ImportError:
    raise ImportError("packed columns need NumPy: " + install_hint("packed")) from None

from vault.client.arrow import array_of, buffers_of
from vault.client.column_like import ColumnLike, column_items
from vault.client.errors import CallError, ItemError
from vault.v1.column_pb2 import StringColumn

__all__ = ["PackedAnswer", "PackedBatch", "PackedColumn", "join_batches", "split_column"]

if TYPE_CHECKING:
    import pyarrow
    from typing_extensions import Buffer

_OFFSET = np.dtype("<i4")
_WIDE_OFFSET = np.dtype("<i8")
_OFFSET_BYTES = 5  # per item: its offset and its bit, rounded up
_Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PackedColumn:
    """A column of strings in Arrow's layout (``utf8``). Any buffers: bytes, NumPy, pyarrow.

    Attributes:
        data: the UTF-8 texts, one after the other; None where there are none.
        offsets: little-endian 32-bit integers, one more than there are items: where each
            text begins, and where the last one ends. Need not begin with 0. 64-bit ones
            (``large_string``) are taken of a buffer that says so, such as NumPy's.
        validity: a bit per item, least significant first, 0 where it is null; empty or
            None where none is.
        length: number of items, for buffers that are longer than their items: Arrow pads.
    """

    data: Buffer | None = field(repr=False)
    offsets: Buffer = field(repr=False)
    validity: Buffer | None = field(default=None, repr=False)
    length: int | None = None

    @classmethod
    def of(cls, texts: ColumnLike[str]) -> PackedColumn:
        """Packs strings: of a sequence, a Series, an array.

        Raises TypeError for what is no column of text or null, ValueError for what is not
        valid Unicode (a lone surrogate) or longer than 2 GiB.
        """
        items = column_items(texts, str)
        parts = [_encoded(index, text or "") for index, text in enumerate(items)]
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        there = np.array([text is not None for text in items], np.bool_)
        return _column(b"".join(parts), offsets, there)

    @classmethod
    def from_arrow(cls, array: object) -> PackedColumn:
        """Takes the buffers of an Arrow array of texts; needs pyarrow.

        The array may be sliced, chunked, ``large_string``, ``string_view`` or a dictionary,
        and of another library that hands its columns on as Arrow.

        Raises:
            TypeError: it is no Arrow array, or not of texts; the message names the cast.
            ValueError: its texts are longer than 2 GiB.
        """
        return cls(*buffers_of(array))

    def to_arrow(self) -> pyarrow.Array:
        """Returns a pyarrow array (``utf8``) that shares the buffers; needs pyarrow.

        Raises ValueError for buffers that do not fit each other, or are not UTF-8.
        """
        offsets = self._ends().astype(_OFFSET)
        self._not_null()
        return array_of(len(self), self._data(), offsets.data, self.validity)

    def __len__(self) -> int:
        if self.length is not None:
            return self.length
        return max(0, len(self._offsets()) - 1)

    @property
    def skipped(self) -> int:
        """Number of null and empty items."""
        return int((~self._not_null() | (np.diff(self._ends()) == 0)).sum())

    def strings(self) -> list[str | None]:
        """Returns the items as strings."""
        data, ends = bytes(self._data()), self._ends().tolist()
        return [
            _decoded(at, data[ends[at] : ends[at + 1]]) if there else None
            for at, there in enumerate(self._not_null().tolist())
        ]

    def _data(self) -> memoryview:
        return memoryview(b"" if self.data is None else self.data).cast("B")

    def _offsets(self) -> NDArray[np.int64]:
        """Returns all offsets, with those of a padding. Raises ValueError for half a number."""
        raw = memoryview(self.offsets)
        kind = _WIDE_OFFSET if raw.itemsize == _WIDE_OFFSET.itemsize else _OFFSET
        if raw.nbytes % kind.itemsize:
            raise ValueError("offsets are 32-bit integers")
        return np.frombuffer(raw, kind).astype(np.int64)

    def _ends(self) -> NDArray[np.int64]:
        """Returns the items' offsets. Raises ValueError where they do not fit the data."""
        ends = self._offsets()
        if self.length is not None:
            if self.length < 0 or (self.length and len(ends) <= self.length):
                raise ValueError("offsets must be one more than there are items")
            ends = ends[: self.length + 1]
            self._refuse_wide(len(ends))
        if not len(ends):
            return np.zeros(1, np.int64)
        if not _fit(ends, self._data().nbytes):
            raise ValueError(
                "offsets must not fall, nor lie outside of the data. Of padded buffers, give "
                "length; 64-bit ones (large_string) go through PackedColumn.from_arrow, or "
                "cast the array to string"
            )
        return ends

    def _refuse_wide(self, size: int) -> None:
        """Refuses 64-bit numbers behind a buffer of bytes: their halves can look right."""
        raw = memoryview(self.offsets)
        if raw.itemsize == 1 and raw.nbytes >= size * _WIDE_OFFSET.itemsize:
            wide = np.frombuffer(raw, _WIDE_OFFSET, count=size)
            if size and wide[-1] > 0 and _fit(wide, self._data().nbytes):
                raise ValueError(
                    "offsets are 64-bit (large_string): use PackedColumn.from_arrow, or cast "
                    "the array to string"
                )

    def _not_null(self) -> _Flags:
        """Returns which items are not null. Raises ValueError for too few bits."""
        if self.validity is None or not memoryview(self.validity).nbytes:
            return np.ones(len(self), np.bool_)
        bits = np.unpackbits(np.frombuffer(memoryview(self.validity), np.uint8), bitorder="little")
        if len(bits) < len(self):
            raise ValueError("validity has a bit for each item")
        there: _Flags = bits[: len(self)].astype(np.bool_)
        return there


def _fit(ends: NDArray[np.int64], size: int) -> bool:
    return bool(ends[0] >= 0 and ends[-1] <= size and (np.diff(ends) >= 0).all())


# Python's own errors of Unicode hold the whole text.
def _encoded(index: int, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"item {index} is not valid Unicode") from None


def _decoded(index: int, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ValueError(f"item {index} is not UTF-8") from None


@dataclass(frozen=True, slots=True)
class PackedAnswer:
    """A packed column of the request's length and order.

    Attributes:
        column: one answer per item; null where ``errors`` names the index; null and empty
            items as they were given.
        errors: the items that failed, by index.
        skipped: number of null and empty items, which were not worked on.
        view: the view that was answered (detokenize), else empty.
        receipts: as in ``Column``.
    """

    column: PackedColumn
    errors: dict[int, ItemError]
    skipped: int
    view: str = ""
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """A run of items: a request, or (``message`` None) one item that fits in none."""

    start: int
    size: int
    empty: _Flags = field(repr=False)
    message: StringColumn | None = field(repr=False)


def split_column(column: PackedColumn, *, max_items: int, max_bytes: int) -> list[PackedBatch]:
    """Splits a column into requests. Raises ValueError for buffers that do not fit."""
    ends, there = column._ends(), column._not_null()  # noqa: SLF001 - this module's own
    data = column._data()  # noqa: SLF001
    empty = there & (np.diff(ends) == 0)
    room = max(1, max_bytes - _OFFSET_BYTES * max_items)
    batches = []
    for start, stop in _cuts(ends, max_items, room):
        message = None
        if ends[stop] - ends[start] <= room:
            # An empty item is no value. It goes as null and comes back as it was.
            sent = there[start:stop] & ~empty[start:stop]
            part = bytes(data[ends[start] : ends[stop]])
            message = _message(part, ends[start : stop + 1] - ends[start], sent)
        batches.append(PackedBatch(start, stop - start, empty[start:stop], message))
    return batches


def _cuts(ends: NDArray[np.int64], max_items: int, room: int) -> Iterator[tuple[int, int]]:
    start, size = 0, len(ends) - 1
    while start < size:
        fitting = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
        stop = min(size, start + max_items, max(start + 1, fitting))
        yield start, stop
        start = stop


def join_batches(
    batches: Sequence[PackedBatch], answers: Sequence[StringColumn | None]
) -> PackedColumn:
    """Puts the answers together. Raises CallError where one does not fit its request."""
    parts, lengths, there = [], [], []
    for batch, answer in zip(batches, answers, strict=True):
        if answer is None:
            lengths.append(np.zeros(batch.size, np.int64))
            there.append(batch.empty)
            continue
        column = PackedColumn(answer.data, answer.offsets, answer.validity)
        try:
            ends, own = column._ends(), column._not_null()  # noqa: SLF001
        except ValueError:
            raise _malformed() from None
        if len(own) != batch.size or ends[0] != 0 or ends[-1] != len(answer.data):
            raise _malformed()
        parts.append(answer.data)
        lengths.append(np.diff(ends))
        there.append(own | batch.empty)
    offsets = np.zeros(sum(map(len, lengths)) + 1, np.int64)
    np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]), out=offsets[1:])
    return _column(b"".join(parts), offsets, np.concatenate([np.zeros(0, np.bool_), *there]))


def _message(data: bytes, offsets: NDArray[np.integer], there: _Flags) -> StringColumn:
    bits = b"" if there.all() else np.packbits(there, bitorder="little").tobytes()
    return StringColumn(data=data, offsets=offsets.astype(_OFFSET).tobytes(), validity=bits)


def _column(data: bytes, offsets: NDArray[np.integer], there: _Flags) -> PackedColumn:
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError("the column is longer than 2 GiB; pass fewer items")
    message = _message(data, offsets, there)
    return PackedColumn(message.data, message.offsets, message.validity)


def _malformed() -> CallError:
    return CallError(
        "INTERNAL", "INTERNAL", "the server's answer does not fit the request", retryable=False
    )
