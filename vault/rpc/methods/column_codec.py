"""StringColumn on the wire: Arrow's layout, checked before anything of it is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vault.errors import InvalidRequest
from vault.formats.columnar.text_column import TextColumn
from vault.v1.column_pb2 import StringColumn

__all__ = ["SentColumn", "decode_column"]

_OFFSET = np.dtype("<i4")
_MAX_BYTES = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class SentColumn:
    """A column as a caller sent it.

    Attributes:
        size: number of items, null ones included.
        present: indexes of the items that are not null, rising; None where all are.
        texts: the items that are not null.
    """

    size: int
    present: NDArray[np.int64] | None = field(repr=False)
    texts: TextColumn = field(repr=False)

    def index_of(self, at: int) -> int:
        """Returns where in the column an item of ``texts`` is from."""
        return at if self.present is None else int(self.present[at])

    def answer(self, texts: Sequence[str], failed: Iterable[int]) -> StringColumn:
        """Writes one answer per item: null where the item is null or named in ``failed``.

        Args:
            texts: as many as ``texts`` of the column, empty where they failed.
            failed: positions in ``texts``.
        """
        data, ends = TextColumn.from_strings(texts).to_utf8()
        if ends[-1] > _MAX_BYTES:
            raise InvalidRequest("the answer would be longer than 2 GiB; split the batch")
        valid = np.ones(len(texts), np.bool_)
        valid[list(failed)] = False
        offsets = ends
        if self.present is not None:
            lengths = np.zeros(self.size, np.int64)
            lengths[self.present] = np.diff(ends)
            offsets = np.zeros(self.size + 1, np.int64)
            np.cumsum(lengths, out=offsets[1:])
            own, valid = valid, np.zeros(self.size, np.bool_)
            valid[self.present] = own
        bits = b"" if valid.all() else np.packbits(valid, bitorder="little").tobytes()
        return StringColumn(data=data, offsets=offsets.astype(_OFFSET).tobytes(), validity=bits)


def decode_column(column: StringColumn) -> SentColumn:
    """Checks and reads a column. A null item's bytes are not looked at.

    Raises:
        InvalidRequest: offsets, validity or an item's UTF-8 are not as ``StringColumn`` says.
    """
    if len(column.offsets) % _OFFSET.itemsize:
        raise InvalidRequest("the column's offsets are not 32-bit integers")
    offsets = np.frombuffer(column.offsets, _OFFSET).astype(np.int64)
    if not len(offsets):
        # As Arrow allows for an empty column.
        offsets = np.zeros(1, np.int64)
    size = len(offsets) - 1
    _check_offsets(offsets, len(column.data))
    valid = _validity(column.validity, size)
    data = column.data
    present: NDArray[np.int64] | None = None
    if valid is not None:
        lengths = np.diff(offsets)
        present = np.flatnonzero(valid)
        if lengths[~valid].any():
            data = np.frombuffer(data, np.uint8)[np.repeat(valid, lengths)].tobytes()
        offsets = np.zeros(len(present) + 1, np.int64)
        np.cumsum(lengths[valid], out=offsets[1:])
    try:
        texts = TextColumn.from_utf8(data, offsets)
    except ValueError:
        raise InvalidRequest("an item of the column is not valid UTF-8") from None
    return SentColumn(size, present, texts)


def _check_offsets(offsets: NDArray[np.int64], end: int) -> None:
    if offsets[0] != 0:
        raise InvalidRequest("the column's offsets must begin with 0")
    if offsets[-1] != end:
        raise InvalidRequest("the column's last offset must be the length of its data")
    if (offsets[1:] < offsets[:-1]).any():
        raise InvalidRequest("the column's offsets must not fall")


def _validity(bits: bytes, size: int) -> NDArray[np.bool_] | None:
    """Returns which items are there, or None where all are."""
    if not bits:
        return None
    if len(bits) != -(-size // 8):
        raise InvalidRequest("the column's validity must have one bit per item")
    unpacked = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    if unpacked[size:].any():
        raise InvalidRequest("the bits of the column's validity after the last item must be 0")
    valid = unpacked[:size].astype(np.bool_)
    return None if valid.all() else valid
