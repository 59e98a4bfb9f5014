"""From an Arrow array to its buffers and back. pyarrow is imported only when it is used."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

__all__ = ["Buffers", "array_of", "buffers_of"]

if TYPE_CHECKING:
    import pyarrow
    from typing_extensions import Buffer

_OFFSET_BYTES = 4
_NO_ITEMS = bytes(_OFFSET_BYTES)


class Buffers(NamedTuple):
    """The buffers of a ``utf8`` array that begins with their first item."""

    data: Buffer
    offsets: Buffer
    validity: Buffer | None


def buffers_of(column: object) -> Buffers:
    """Returns the buffers of an array of texts, sliced or chunked or of a similar type.

    Raises:
        TypeError: it is no Arrow array, or not of texts; the message names the cast.
        ValueError: its texts are longer than 2 GiB.
        ImportError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    array = _as_utf8(arrow, _as_one(arrow, column))
    start, size = array.offset, len(array)
    validity, offsets, data = array.buffers()
    if not size:
        return Buffers(b"", _NO_ITEMS, None)
    if array.null_count == 0:
        bits = None
    else:
        flags = np.unpackbits(
            np.frombuffer(validity, np.uint8), bitorder="little", count=start + size
        )
        bits = np.packbits(flags[start:], bitorder="little").tobytes()
    wanted = memoryview(offsets).cast("B")[
        start * _OFFSET_BYTES : (start + size + 1) * _OFFSET_BYTES
    ]
    # An array of nulls may have no texts at all.
    return Buffers(b"" if data is None else data, wanted, bits)


def array_of(size: int, data: Buffer, offsets: Buffer, validity: Buffer | None) -> pyarrow.Array:
    """Returns a pyarrow array over the buffers, which it shares.

    Raises:
        ValueError: the texts are not UTF-8, or the buffers do not fit each other.
        ImportError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    bits = None if validity is None or not memoryview(validity).nbytes else validity
    parts = [None if part is None else arrow.py_buffer(part) for part in (bits, offsets, data)]
    array = arrow.Array.from_buffers(arrow.string(), size, parts)
    try:
        array.validate(full=True)
    except arrow.ArrowInvalid:
        raise ValueError("the column is no valid Arrow array of UTF-8 texts") from None
    return array


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        raise ImportError("from_arrow and to_arrow need pyarrow, which is not installed") from None
    return cast("ModuleType", pyarrow)


def _as_one(arrow: ModuleType, column: object) -> pyarrow.Array:
    """Returns one array of what is an array, in chunks, or hands itself on as Arrow."""
    kind = type(column)
    if hasattr(kind, "columns"):
        raise TypeError(f"a {kind.__name__} is a table: pass one of its columns")
    try:
        if isinstance(column, arrow.Array | arrow.ChunkedArray):
            pass  # as it is: pyarrow 22 dies of some of its own arrays on the way below
        elif hasattr(kind, "__arrow_c_array__"):
            column = arrow.array(column)
        elif hasattr(kind, "__arrow_c_stream__"):
            column = arrow.chunked_array(column)
    except (arrow.ArrowException, TypeError, ValueError):  # its text may quote an item
        raise TypeError(f"the {kind.__name__} is not of texts and nulls alone") from None
    if isinstance(column, arrow.ChunkedArray):
        column = arrow.concat_arrays(
            [_as_utf8(arrow, chunk) for chunk in column.chunks]
            or [_as_utf8(arrow, arrow.array([], column.type))]
        )
    if not isinstance(column, arrow.Array):
        raise TypeError(f"a {kind.__name__} is no Arrow array; PackedColumn.of takes sequences")
    return column


def _as_utf8(arrow: ModuleType, array: pyarrow.Array) -> pyarrow.Array:
    kind = array.type
    inner = kind.value_type if arrow.types.is_dictionary(kind) else kind
    if kind == arrow.string():
        return array
    if inner not in (arrow.string(), arrow.large_string(), arrow.string_view(), arrow.null()):
        raise TypeError(
            f"an Arrow array of {kind}, not of texts: cast it, array.cast(pyarrow.string())"
        )
    try:
        return array.cast(arrow.string())
    except arrow.ArrowInvalid:
        raise ValueError("the column is longer than 2 GiB; pass slices of it") from None
