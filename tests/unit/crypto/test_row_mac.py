"""MACs of rows that decide: nothing of a row may change, nor may it move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.crypto import MacKey
from vault.crypto.row_mac import Cell, RowMacKey

ROOT = bytes(range(7, 39))
KEY = MacKey(3, ROOT).rows
TIME = datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC)
ROW: list[Cell] = ["default", 7, None, True, b"x", UUID(int=5), TIME, ["a", "b"]]
CELLS: st.SearchStrategy[Cell] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(),
    st.binary(),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
    st.lists(st.text(), max_size=3),
)


def test_a_row_verifies_as_it_was_written() -> None:
    assert KEY.verify("grants", ROW, KEY.mac("grants", ROW))
    assert KEY.mac("grants", ROW) == RowMacKey(3, ROOT).mac("grants", ROW)


@pytest.mark.parametrize("at", range(len(ROW)))
def test_every_cell_counts(at: int) -> None:
    changed = [*ROW[:at], "other", *ROW[at + 1 :]]
    assert not KEY.verify("grants", changed, KEY.mac("grants", ROW))


def test_table_version_and_root_count() -> None:
    mac = KEY.mac("grants", ROW)
    assert not KEY.verify("grants/2", ROW, mac)
    assert not MacKey(4, ROOT).rows.verify("grants", ROW, mac)
    assert not MacKey(3, bytes(32)).rows.verify("grants", ROW, mac)
    assert not KEY.verify("grants", ROW, b"")


def test_rows_that_read_alike_differ() -> None:
    alike: list[list[Cell]] = [
        [1], ["1"], [b"1"], [True], [["1"]], [[]], [""], [b""], [None], [], ["", ""], [["", ""]],
        ["a", "bc"], ["ab", "c"], [["a", "bc"]], [["ab", "c"]], [UUID(int=1)], [UUID(int=1).bytes],
    ]  # fmt: skip
    assert len({KEY.mac("t", row) for row in alike}) == len(alike)


@given(st.lists(CELLS, max_size=4), st.lists(CELLS, max_size=4))
def test_two_rows_have_two_macs(one: list[Cell], other: list[Cell]) -> None:
    # Equal in Python, as True is 1, they may be two rows all the same.
    same = [(type(each), each) for each in one] == [(type(each), each) for each in other]
    assert (KEY.mac("t", one) == KEY.mac("t", other)) == same


def test_a_time_is_the_same_in_every_zone() -> None:
    there = TIME.astimezone(timezone(timedelta(hours=-5)))
    assert KEY.mac("t", [TIME]) == KEY.mac("t", [there])
    assert KEY.mac("t", [TIME]) != KEY.mac("t", [TIME + timedelta(microseconds=1)])


def test_a_row_that_cannot_be_encoded_is_no_row_of_ours() -> None:
    for odd in (2**63, -(2**63) - 1, TIME.replace(tzinfo=None)):
        with pytest.raises(ValueError, match=r"a (number|time) must"):
            KEY.mac("t", [odd])
        assert not KEY.verify("t", [odd], bytes(32))
    assert not KEY.verify("t", ["\ud800"], bytes(32))


def test_a_row_without_a_mac_is_no_row_of_ours() -> None:
    # As psycopg reads NULL, where the owner has dropped the column's NOT NULL.
    assert not KEY.verify("t", ROW, cast("bytes", None))


def test_no_key_of_a_tenants_root_is_another() -> None:
    message = b"x"
    key = MacKey(3, ROOT)
    macs = [key.mac(message), KEY.mac("x", []), key.signing.public]
    assert all(one != other for one, other in combinations(macs, 2))


def test_nothing_of_the_key_shows() -> None:
    assert repr(KEY) == "<RowMacKey>"
