"""Rows of arrays sort as their texts sort, whatever the packing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.formats.columnar.row_order import distinct_rows, sorted_rows


def rows_of(table: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> list[tuple[int, ...]]:
    return [tuple(row) for row in table.tolist()]


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray[tuple[int, ...], np.dtype[np.integer]]:
    kind, top = draw(st.sampled_from([("u1", 255), ("u2", 0xFFFF), ("u4", 0xFFFF_FFFF)]))
    lowest = draw(st.integers(0, top))
    highest = draw(st.integers(lowest, min(top, lowest + draw(st.sampled_from([1, 9, 61, top])))))
    width = draw(st.integers(1, 36))
    cells = st.integers(lowest, highest)
    found = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=30))
    again = draw(st.lists(st.sampled_from(found), max_size=10))
    table = np.array(found + again, kind)
    return table[:, ::-1] if draw(st.booleans()) else table


@given(tables())
def test_rows_sort_as_their_cells_do(
    table: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    before = table.copy()
    order, first = sorted_rows(table)
    rows = rows_of(table)
    assert [rows[at] for at in order] == sorted(rows)
    assert [rows[at] for at in order[first]] == sorted(set(rows))
    assert (table == before).all()


@given(tables())
def test_equal_rows_are_of_one_kind(
    table: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> None:
    examples, kinds = distinct_rows(table)
    assert rows_of(table[examples[kinds]]) == rows_of(table)
    assert len(examples) == len(set(rows_of(table)))


@pytest.mark.parametrize("count", [16_383, 16_384, 16_385, 40_000])
def test_rows_beyond_what_is_packed_at_a_time(count: int) -> None:
    table = np.random.default_rng(7).integers(0, 256, (count, 9), np.uint8)
    order, first = sorted_rows(table)
    rows = [bytes(row) for row in table]
    assert [rows[at] for at in order] == sorted(rows)
    assert first.sum() == len(set(rows))
