"""Columns that callers may pass: lists, pandas Series, NumPy and Arrow arrays.

None of those libraries is needed: a column is known by its methods, a null by what it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Number
from typing import Protocol, TypeAlias, TypeVar, cast

__all__ = ["ColumnLike", "column_items"]

Item = TypeVar("Item", str, bytes)

# Arrow's, NumPy's and pandas', polars' way to a list, the best one first.
_TO_LIST = ("to_pylist", "tolist", "to_list")


class _ArrowLike(Protocol):
    def to_pylist(self) -> list[object]: ...


class _NumpyLike(Protocol):
    # Any return: NumPy's is a list or, of an array without dimensions, one item.
    def tolist(self) -> object: ...


class _PolarsLike(Protocol):
    def to_list(self) -> list[object]: ...


ColumnLike: TypeAlias = Sequence[Item | None] | _ArrowLike | _NumpyLike | _PolarsLike


def column_items(
    column: ColumnLike[Item], kind: type[Item] | tuple[type, ...]
) -> list[Item | None]:
    """Returns a column's items, None for each null: None, NaN, ``pd.NA`` or ``pd.NaT``.

    Everything is looked at before it returns, so that nothing is sent of a column that
    cannot be sent whole.

    Raises:
        TypeError: it is no column, or an item is neither null nor of ``kind``. It names
            the item's index and type, never the item.
    """
    found = _list_of(column)
    for index, item in enumerate(found):
        if item is not None and not isinstance(item, kind):
            found[index] = _converted(item, index, kind)
    return cast("list[Item | None]", found)


def _list_of(column: object) -> list[object]:
    kind = type(column)
    if column is None:
        raise TypeError("NoneType is no column: pass a sequence of values, in which None is null")
    if isinstance(column, str | bytes | bytearray | memoryview):
        raise TypeError("pass a sequence of values, not one value")
    # Asked of the class: a Series has its labels as attributes.
    if hasattr(kind, "columns") or hasattr(kind, "collect_schema"):
        raise TypeError(f"a {kind.__name__} is a table: pass one of its columns")
    if hasattr(kind, "to_arrow") and hasattr(kind, "offsets"):
        raise TypeError("a packed column goes to tokenize_column or detokenize_column")
    if _is_fixed_width_bytes(column):
        raise TypeError("NumPy's fixed-width bytes lose zeros at the end: pass a list of bytes")
    for name in _TO_LIST:
        if callable(getattr(kind, name, None)):
            found = getattr(column, name)()
            if isinstance(found, list):
                return list(found)
    if isinstance(column, Sequence):
        return list(column)
    # A generator could be read only once, and a dict or a set is no order to answer in.
    raise TypeError(f"a {kind.__name__} is no column: pass a sequence, such as list(...) of it")


def _converted(item: object, index: int, kind: type | tuple[type, ...]) -> object:
    if callable(getattr(type(item), "as_py", None)):  # what iterating over an Arrow array gives
        item = item.as_py()  # type: ignore[attr-defined] # asked for a line above
    if item is None or _is_missing(item):
        return None
    if isinstance(item, kind):
        return item
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if bytes in kinds and isinstance(item, bytearray | memoryview):
        return bytes(item)
    wanted = ", ".join("text" if each is str else each.__name__ for each in kinds)
    # A number that was skipped or sent as it is would come back as it is.
    raise TypeError(
        f"item {index} is {type(item).__name__}, not {wanted} or None{_remedy(item, kinds)}"
    )


def _remedy(item: object, kinds: tuple[type, ...]) -> str:
    if str not in kinds or not isinstance(item, Number):
        return ""
    # What was read as a number has lost its zeros in front, and its last digits if it was long.
    return ': read the column as text (dtype=str), or make text of it (.astype("string"))'


# A caller with an item of NumPy's or pandas' has imported them; others do not need them.


def _is_fixed_width_bytes(column: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(column, numpy.ndarray) and column.dtype.kind == "S"


def _is_missing(item: object) -> bool:
    if isinstance(item, float):
        return math.isnan(item)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(item, numpy.floating):
        return bool(numpy.isnan(item))
    pandas = sys.modules.get("pandas")
    return pandas is not None and any(item is getattr(pandas, name, None) for name in ("NA", "NaT"))
