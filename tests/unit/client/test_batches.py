from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vault.client.batches import plan_batches


def test_null_and_empty_are_counted_and_left_out() -> None:
    plan = plan_batches(["a", None, "", "b"], max_items=10, max_bytes=100)
    assert [(batch.indexes, batch.items) for batch in plan.batches] == [([0, 3], ["a", "b"])]
    assert plan.skipped == 2


def test_an_empty_column_is_no_request() -> None:
    assert plan_batches([None, ""], max_items=10, max_bytes=100).batches == []


def test_batches_end_at_items_and_at_bytes() -> None:
    plan = plan_batches(["a"] * 5, max_items=2, max_bytes=1000)
    assert [len(batch.items) for batch in plan.batches] == [2, 2, 1]
    # An item takes its bytes and 6 more; é has two bytes.
    plan = plan_batches(["é" * 10] * 3, max_items=100, max_bytes=52)
    assert [len(batch.items) for batch in plan.batches] == [2, 1]


def test_what_cannot_be_sent_fails_alone() -> None:
    plan = plan_batches(["a", "b" * 100, "c\ud800", "d"], max_items=10, max_bytes=50)
    assert [batch.items for batch in plan.batches] == [["a", "d"]]
    assert {index: error.reason for index, error in plan.errors.items()} == {
        1: "VALUE_TOO_LONG",
        2: "VALUE_NOT_IN_FORMAT",
    }


def test_a_batch_shows_no_value() -> None:
    plan = plan_batches(["4111111111111111"], max_items=10, max_bytes=100)
    assert "4111" not in repr(plan)


@given(
    st.lists(st.none() | st.binary(max_size=30), max_size=60),
    st.integers(1, 7),
    st.integers(10, 80),
)
def test_every_item_is_somewhere_exactly_once_and_in_order(
    column: list[bytes | None], max_items: int, max_bytes: int
) -> None:
    plan = plan_batches(column, max_items=max_items, max_bytes=max_bytes)
    sent = [index for batch in plan.batches for index in batch.indexes]
    assert sent == sorted(sent)
    assert len(sent) + len(plan.errors) + plan.skipped == len(column)
    for batch in plan.batches:
        assert 0 < len(batch.items) <= max_items
        assert sum(len(item) + 6 for item in batch.items) <= max_bytes
        assert batch.items == [column[index] for index in batch.indexes]
