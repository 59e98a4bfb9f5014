"""Which items of a column go as arrays: those without separators, where there are enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault.crypto.fpe.limbs import Digits
from vault.formats import Format
from vault.formats.columnar.rows import ColumnarFormat, Mask, Rows, split_rows
from vault.formats.columnar.text_column import TextColumn

__all__ = ["items_at", "split_items"]

# Fewer items are answered before the arrays are made.
_MIN_FOR_ROWS = 64


def split_items(
    policy_format: Format,
    items: Sequence[str],
    accept: Callable[[ColumnarFormat], Callable[[Digits], Mask]],
) -> tuple[ColumnarFormat | None, list[Rows], Sequence[int]]:
    """Returns the rules for rows, the items that are rows, and the indexes of all others."""
    rules = policy_format
    if len(items) < _MIN_FOR_ROWS or not isinstance(rules, ColumnarFormat):
        return None, [], range(len(items))
    groups, rest = split_rows(TextColumn.from_strings(items), rules, accept(rules))
    return rules, groups, rest.tolist()


def items_at(items: Sequence[str], indexes: Sequence[int]) -> Sequence[str]:
    """Returns the items at rising indexes."""
    if len(indexes) == len(items):
        return items
    return [items[index] for index in indexes]
