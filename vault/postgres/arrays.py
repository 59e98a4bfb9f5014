"""Arrays as Postgres takes them in binary, each made in one go.

psycopg's own encoding goes through an object per element: an eighth of what a row costs the
server to insert. Its placeholders take these as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from struct import Struct

import numpy as np
import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

__all__ = ["BigintArray", "ByteaArray", "ByteaRows", "TextArray", "Utf8Array", "Utf8Rows"]

# One dimension, no NULL among the elements, their type, how many, and the first one's index.
_HEAD = Struct(">IIIII").pack
_LENGTH = Struct(">I").pack
_BIGINT = Struct(">Iq").pack
_BYTEA_OID, _BIGINT_OID, _TEXT_OID = 17, 20, 25


class ByteaArray:
    """A ``bytea[]``. Its items are in no repr."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[bytes]) -> None:
        self.items = items


class TextArray:
    """A ``text[]``, for a connection whose encoding is UTF-8; another's refuses it."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[str]) -> None:
        self.items = items


class Utf8Array:
    """A ``text[]`` of what is in UTF-8 already; as ``TextArray``."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[bytes]) -> None:
        self.items = items


class BigintArray:
    """A ``bigint[]``."""

    __slots__ = ("items",)

    def __init__(self, items: Sequence[int]) -> None:
        self.items = items


class _Rows:
    """Items of one length, not 0, one after the other."""

    __slots__ = ("joined", "size")

    def __init__(self, joined: bytes, size: int) -> None:
        self.joined = joined
        self.size = size


class ByteaRows(_Rows):
    """A ``bytea[]``. Its items are in no repr."""

    __slots__ = ()


class Utf8Rows(_Rows):
    """A ``text[]`` of what is in UTF-8 already; as ``TextArray``."""

    __slots__ = ()


def _stacked(oid: int, rows: _Rows) -> bytes:
    size = rows.size
    cells = np.empty((len(rows.joined) // size, 4 + size), np.uint8)
    cells[:, :4] = np.frombuffer(_LENGTH(size), np.uint8)
    cells[:, 4:] = np.frombuffer(rows.joined, np.uint8).reshape(-1, size)
    return _HEAD(1, 0, oid, len(cells), 1) + cells.tobytes()


def _joined(oid: int, items: Sequence[bytes]) -> bytes:
    head = _HEAD(1, 0, oid, len(items), 1)
    prefixes = {size: _LENGTH(size) for size in set(map(len, items))}
    if len(prefixes) == 1:  # as MACs are, and most tokens of a field
        (prefix,) = prefixes.values()
        return head + prefix + prefix.join(items)
    lengths = map(prefixes.__getitem__, map(len, items))
    return head + b"".join(chain.from_iterable(zip(lengths, items, strict=True)))


# What cannot be encoded is found where the statement is sent, as with psycopg's own.
class _ByteaArrayDumper(Dumper):
    format = Format.BINARY
    oid = 1001

    def dump(self, obj: ByteaArray) -> bytes:
        return _joined(_BYTEA_OID, obj.items)


class _ByteaRowsDumper(Dumper):
    format = Format.BINARY
    oid = 1001

    def dump(self, obj: ByteaRows) -> bytes:
        return _stacked(_BYTEA_OID, obj)


class _Utf8Dumper(Dumper):
    format = Format.BINARY
    oid = 1009

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        connection = self.connection
        encoding = connection and connection.pgconn.parameter_status(b"client_encoding")
        self._utf8 = encoding == b"UTF8"

    def check(self) -> None:
        if not self._utf8:
            raise ValueError("the connection's encoding is not UTF-8")

    def joined(self, items: Sequence[bytes]) -> bytes:
        self.check()
        return _joined(_TEXT_OID, items)


class _Utf8ArrayDumper(_Utf8Dumper):
    def dump(self, obj: Utf8Array) -> bytes:
        return self.joined(obj.items)


class _Utf8RowsDumper(_Utf8Dumper):
    def dump(self, obj: Utf8Rows) -> bytes:
        self.check()
        return _stacked(_TEXT_OID, obj)


class _TextArrayDumper(_Utf8Dumper):
    def dump(self, obj: TextArray) -> bytes:
        return self.joined([item.encode() for item in obj.items])


class _BigintArrayDumper(Dumper):
    format = Format.BINARY
    oid = 1016

    def dump(self, obj: BigintArray) -> bytes:
        packed = b"".join([_BIGINT(8, item) for item in obj.items])
        return _HEAD(1, 0, _BIGINT_OID, len(obj.items), 1) + packed


# For every connection: these types are nobody else's.
psycopg.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
psycopg.adapters.register_dumper(ByteaRows, _ByteaRowsDumper)
psycopg.adapters.register_dumper(Utf8Rows, _Utf8RowsDumper)
psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(Utf8Array, _Utf8ArrayDumper)
psycopg.adapters.register_dumper(BigintArray, _BigintArrayDumper)
