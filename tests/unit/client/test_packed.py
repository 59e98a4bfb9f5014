"""Packed columns in the client: split, sent, put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from vault.client.errors import CallError
from vault.client.packed import PackedColumn, join_batches, split_column
from vault.v1.column_pb2 import StringColumn

TEXTS = st.lists(st.none() | st.text(max_size=9), max_size=30)


@examples(3)
@given(TEXTS, st.integers(1, 7), st.integers(1, 60))
def test_what_is_split_and_answered_as_it_came_is_the_column(
    texts: list[str | None], items: int, room: int
) -> None:
    column = PackedColumn.of(texts)
    batches = split_column(column, max_items=items, max_bytes=5 * items + room)
    sent = [batch.message for batch in batches]

    fit = [text if text is None or len(text.encode()) <= room else None for text in texts]
    assert join_batches(batches, sent).strings() == fit
    for batch, message in zip(batches, sent, strict=True):
        assert batch.size <= items
        # An item that fits in no request is a batch of its own that is not sent.
        assert message is not None or batch.size == 1
        assert message is None or len(message.data) <= room
    assert column.skipped == sum(not text for text in texts)


def test_any_buffers_will_do_and_offsets_need_not_begin_with_0() -> None:
    data = np.frombuffer(b"xxaabbb", np.uint8)
    column = PackedColumn(data.data, np.array([2, 4, 7], "<i4").data, None)

    assert column.strings() == ["aa", "bbb"]
    (batch,) = split_column(column, max_items=9, max_bytes=999)
    assert batch.message is not None
    assert batch.message.data == b"aabbb"


@pytest.mark.parametrize(
    "column",
    [
        PackedColumn(b"abc", b"\0\0\0"),
        PackedColumn(b"abc", np.array([0, 4], "<i4").tobytes()),
        PackedColumn(b"abc", np.array([0, 2, 1], "<i4").tobytes()),
        PackedColumn(b"abc", np.array([-1, 2], "<i4").tobytes()),
        PackedColumn(b"a" * 9, np.arange(10, dtype="<i4").tobytes(), b"\1"),
    ],
)
def test_buffers_that_do_not_fit_are_refused(column: PackedColumn) -> None:
    with pytest.raises(ValueError, match=r"offsets|validity"):
        split_column(column, max_items=9, max_bytes=999)


@pytest.mark.parametrize(
    "answer",
    [
        StringColumn(data=b"a", offsets=np.array([0, 1], "<i4").tobytes()),
        StringColumn(data=b"ab", offsets=np.array([0, 1, 3], "<i4").tobytes()),
        StringColumn(data=b"abc", offsets=np.array([0, 1, 2], "<i4").tobytes()),
        StringColumn(),
    ],
)
def test_an_answer_that_does_not_fit_leaves_no_value_in_place(answer: StringColumn) -> None:
    batches = split_column(PackedColumn.of(["secret", "x"]), max_items=9, max_bytes=999)

    with pytest.raises(CallError, match="does not fit"):
        join_batches(batches, [answer])


def test_a_column_hides_its_values() -> None:
    assert "secret" not in repr(PackedColumn.of(["secret"]))
