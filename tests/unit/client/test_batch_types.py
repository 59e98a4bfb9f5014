"""What is no column of text is refused, and never skipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from vault.client.batches import plan_batches


@pytest.mark.parametrize("column", ["5545634085461876", b"bytes"])
def test_one_value_is_no_column(column: str | bytes) -> None:
    with pytest.raises(TypeError, match="not one value"):
        plan_batches(cast("Sequence[str]", column), max_items=10, max_bytes=100)


@pytest.mark.parametrize("item", [5545634085461876, 0, 1.5, False])
def test_a_number_is_refused_by_index_and_not_quoted(item: object) -> None:
    column = cast("Sequence[str]", ["fine", item])
    with pytest.raises(TypeError, match="item 1 is") as caught:
        plan_batches(column, max_items=10, max_bytes=100)
    assert "5545" not in str(caught.value)


def test_whatever_holds_bytes_is_bytes() -> None:
    column = cast("Sequence[bytes]", [b"a", bytearray(b"b"), memoryview(b"c"), None])
    plan = plan_batches(column, max_items=10, max_bytes=100, kind=bytes)
    assert plan.column == [b"a", b"b", b"c", None]
    with pytest.raises(TypeError, match="item 1 is bytearray, not text"):
        plan_batches(
            cast("Sequence[str]", ["a", bytearray(b"b")]), max_items=10, max_bytes=100, kind=str
        )
