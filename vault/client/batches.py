"""Splits a column into requests: by number of items and by bytes, leaving empty items out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vault.client.column_like import ColumnLike, column_items
from vault.client.errors import ItemError

__all__ = ["Batch", "BatchPlan", "plan_batches", "too_long_error"]

Item = TypeVar("Item", str, bytes)

# Tag and length of a repeated field's element: 1 + at most 5 bytes.
_ITEM_OVERHEAD = 6


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item]):
    """The items of one request, and where in the caller's column they are from."""

    indexes: list[int] = field(default_factory=list)
    items: list[Item] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class BatchPlan(Generic[Item]):
    """A column, split.

    Attributes:
        column: the items as they were given, None for each null.
        errors: items that cannot be sent at all: over the message limit, or no Unicode.
        skipped: number of null and empty items.
    """

    column: list[Item | None] = field(repr=False)
    batches: list[Batch[Item]]
    errors: dict[int, ItemError]
    skipped: int


def plan_batches(
    column: ColumnLike[Item], *, max_items: int, max_bytes: int, kind: type[Item] | None = None
) -> BatchPlan[Item]:
    """Splits a column into batches of at most ``max_items`` items and ``max_bytes`` bytes.

    Raises:
        TypeError: it is no column, or an item is neither null nor of ``kind`` (text or
            bytes, if None).
    """
    items = column_items(column, kind or (str, bytes))
    errors: dict[int, ItemError] = {}
    batches: list[Batch[Item]] = []
    room = 0
    skipped = 0
    for index, item in enumerate(items):
        if not item:  # null or empty
            skipped += 1
            continue
        size = _size(item)
        if size is None:
            errors[index] = _error(index, "VALUE_NOT_IN_FORMAT", "the item is not valid Unicode")
        elif size > max_bytes:
            errors[index] = too_long_error(index)
        else:
            if not batches or room < size or len(batches[-1].items) == max_items:
                batches.append(Batch())
                room = max_bytes
            batches[-1].indexes.append(index)
            batches[-1].items.append(item)
            room -= size
    return BatchPlan(items, batches, errors, skipped)


def _size(item: str | bytes) -> int | None:
    if isinstance(item, bytes):
        return len(item) + _ITEM_OVERHEAD
    if item.isascii():
        return len(item) + _ITEM_OVERHEAD
    try:
        return len(item.encode()) + _ITEM_OVERHEAD
    except UnicodeEncodeError:  # a lone surrogate; the exception quotes the value
        return None


def too_long_error(index: int) -> ItemError:
    """Returns the error of an item that fits in no request."""
    return _error(index, "VALUE_TOO_LONG", "the item does not fit in a request")


def _error(index: int, reason: str, message: str) -> ItemError:
    return ItemError(index, reason, message, retryable=False)
