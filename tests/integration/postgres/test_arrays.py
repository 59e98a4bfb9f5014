"""Arrays in binary: what Postgres reads is what was given."""

from __future__ import annotations

import psycopg
import pytest

from vault.postgres.arrays import (
    BigintArray,
    ByteaArray,
    ByteaRows,
    TextArray,
    Utf8Array,
    Utf8Rows,
)

Owner = psycopg.Connection[tuple[object, ...]]


@pytest.mark.parametrize(
    "items",
    [
        [],
        [b""],
        [b"a"],
        [b"same", b"size"],
        [b"", b"other", b"\x00\xff" * 70_000],
        [b"\n"] * 10_000,
    ],
    ids=["none", "empty", "one", "same", "other", "many"],
)
def test_bytes(owner: Owner, items: list[bytes]) -> None:
    query = "SELECT array_to_json(%(items)b::bytea[])::text = array_to_json(%(own)b::bytea[])::text"
    assert owner.execute(query, {"items": ByteaArray(items), "own": items}).fetchone() == (True,)


@pytest.mark.parametrize(
    "items",
    [[], [""], ["a"], ["same", "size"], ["", "ä", "\U0001f600", "x" * 70_000], ["NULL", '"', ","]],
    ids=["none", "empty", "one", "same", "other", "quoted"],
)
def test_texts(owner: Owner, items: list[str]) -> None:
    arrays = {"texts": TextArray(items), "utf8": Utf8Array([item.encode() for item in items])}
    found = owner.execute("SELECT %(texts)b::text[], %(utf8)b::text[]", arrays).fetchone()
    assert found == (items, items)


@pytest.mark.parametrize("items", [["a"], ["same", "size"], ["äb", "bä", "abc"]])
def test_rows_of_one_length(owner: Owner, items: list[str]) -> None:
    encoded = [item.encode() for item in items]
    rows = b"".join(encoded), len(encoded[0])
    arrays = {"texts": Utf8Rows(*rows), "bytes": ByteaRows(*rows)}
    found = owner.execute("SELECT %(texts)b::text[], %(bytes)b::bytea[]", arrays).fetchone()
    assert found == (items, encoded)


@pytest.mark.parametrize("items", [[], [0], [0, -1, 2**63 - 1, -(2**63)]])
def test_integers(owner: Owner, items: list[int]) -> None:
    found = owner.execute("SELECT %(items)b::bigint[]", {"items": BigintArray(items)}).fetchone()
    assert found == (items,)


def test_a_repr_shows_nothing() -> None:
    for array in (
        TextArray(["4111111111111111"]),
        ByteaArray([b"4111111111111111"]),
        Utf8Array([b"4111111111111111"]),
        Utf8Rows(b"4111111111111111", 16),
        ByteaRows(b"4111111111111111", 16),
    ):
        assert "4111" not in repr(array)
