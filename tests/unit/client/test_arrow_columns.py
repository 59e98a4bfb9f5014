"""Packed columns from Arrow arrays, sliced, chunked and of similar types, and back."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from vault.client.packed import PackedColumn, join_batches, split_column

TEXTS = st.lists(st.none() | st.text(max_size=5), max_size=40)
TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


def sent(column: PackedColumn) -> list[str | None]:
    """What an echo would answer."""
    batches = split_column(column, max_items=7, max_bytes=10_000)
    return join_batches(batches, [batch.message for batch in batches]).strings()


@examples(2)
@given(TEXTS, st.integers(0, 20), st.integers(0, 20), st.sampled_from(TYPES), st.booleans())
def test_an_arrow_array_is_what_it_holds(
    texts: list[str | None], start: int, size: int, kind: pa.DataType, chunked: bool
) -> None:
    array = pa.array(texts, pa.string()).cast(kind)
    if chunked:
        array = pa.chunked_array([array.slice(0, 5), array.slice(5)], kind)
    array = array.slice(start, size)
    wanted = texts[start : start + size]

    column = PackedColumn.from_arrow(array)
    assert len(column) == len(wanted)
    assert column.strings() == wanted
    assert sent(column) == wanted
    assert column.skipped == sum(not text for text in wanted)
    assert column.to_arrow().equals(pa.array(wanted, pa.string()))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.null()])
@pytest.mark.parametrize("size", [0, 1, 9])
def test_nulls_alone_and_nothing_at_all(kind: pa.DataType, size: int) -> None:
    for array in (pa.nulls(size, kind), pa.chunked_array([pa.nulls(size, kind)])):
        column = PackedColumn.from_arrow(array)
        assert sent(column) == [None] * size
        assert column.to_arrow().to_pylist() == [None] * size
    assert PackedColumn.from_arrow(pa.chunked_array([], kind)).strings() == []


def test_what_hands_itself_on_as_arrow_is_taken() -> None:
    series = pd.Series(["a", None, "b", pd.NA])
    assert PackedColumn.from_arrow(series[1:]).strings() == [None, "b", None]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([4111]), r"int64, not of texts: cast it, array\.cast\(pyarrow\.string\(\)\)"),
        (pa.array([b"4111"]), "binary, not of texts: cast it"),
        (pa.array([4111]).dictionary_encode(), "not of texts"),
        (pa.chunked_array([[4111]]), "not of texts"),
        (pa.chunked_array([], pa.int64()), "not of texts"),
        (pa.table({"a": ["4111"]}), "Table is a table"),
        (pd.DataFrame({"a": ["4111"]}), "DataFrame is a table"),
        (pd.Series(["4111", 4111, object()]), "not of texts and nulls alone"),
        (pd.Series([4111, "4111"]), "not of texts and nulls alone"),
        (["4111"], r"list is no Arrow array; PackedColumn\.of takes"),
        ("4111", "str is no Arrow array"),
        (pa.scalar("4111"), "StringScalar is no Arrow array"),
    ],
)
def test_what_is_not_of_texts_is_refused_by_type(array: object, message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        PackedColumn.from_arrow(array)
    assert "4111" not in str(caught.value)
    assert caught.value.__cause__ is None


def padded(buffer: pa.Buffer | None) -> bytes:
    raw = b"" if buffer is None else bytes(buffer)
    return raw + bytes(-len(raw) % 64 or 64)


@pytest.mark.parametrize("texts", [["a", None, "bc"], [None, None], ["", None, ""], ["a"], []])
def test_padded_buffers_are_taken_with_their_length(texts: list[str | None]) -> None:
    validity, offsets, data = pa.array(texts, pa.string()).buffers()
    bits = None if validity is None else padded(validity)

    column = PackedColumn(padded(data), padded(offsets), bits, length=len(texts))
    assert len(column) == len(texts)
    assert sent(column) == texts
    assert column.to_arrow().to_pylist() == texts


def test_padding_without_a_length_is_refused_and_the_remedy_named() -> None:
    _, offsets, data = pa.array(["a", "bc"]).buffers()
    with pytest.raises(ValueError, match="give length"):
        sent(PackedColumn(data, padded(offsets)))


def test_what_comes_through_a_file_is_padded_and_taken() -> None:
    sink = io.BytesIO()
    batch = pa.record_batch({"a": pa.array(["a", None, "bc"])})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    read = pa.ipc.open_stream(sink.getvalue()).read_next_batch().column(0)

    validity, offsets, data = read.buffers()
    assert sent(PackedColumn(data, offsets, validity, length=3)) == ["a", None, "bc"]
    assert sent(PackedColumn.from_arrow(read)) == ["a", None, "bc"]


def test_an_array_of_nulls_may_have_no_data() -> None:
    column = PackedColumn(None, bytes(12), b"\0", length=2)
    assert sent(column) == [None, None]
    assert sent(PackedColumn(None, bytes(12), b"\0")) == [None, None]


@pytest.mark.parametrize("texts", [["a", "bc"], ["a"], ["", "bc", ""], ["x" * 300] * 9])
@pytest.mark.parametrize("length", [True, False])
def test_large_offsets_are_never_read_as_small_ones(texts: list[str], length: bool) -> None:
    _, offsets, data = pa.array(texts, pa.large_string()).buffers()
    size = len(texts) if length else None
    # NumPy's buffer says that its numbers are 64-bit; Arrow's is of bytes.
    wide = np.frombuffer(offsets, "<i8", count=len(texts) + 1)
    assert sent(PackedColumn(data, wide.data, length=size)) == texts
    with pytest.raises(ValueError, match=r"large_string.*from_arrow.*cast"):
        sent(PackedColumn(data, offsets, length=size))


@pytest.mark.parametrize(("length", "offsets"), [(3, 3), (-1, 3), (1, 1), (1, 0)])
def test_a_length_that_the_buffers_do_not_have_is_refused(length: int, offsets: int) -> None:
    numbers = np.zeros(offsets, "<i4").tobytes()
    with pytest.raises(ValueError, match="offsets"):
        sent(PackedColumn(b"abc", numbers, length=length))


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: PackedColumn.of(["fine", "4111\ud800"]),
        lambda: PackedColumn(b"4111\xff", np.array([0, 5], "<i4").tobytes()).strings(),
        lambda: PackedColumn(b"4111\xff", np.array([0, 5], "<i4").tobytes()).to_arrow(),
        lambda: PackedColumn(b"4111", np.array([0, 5], "<i4").tobytes()).to_arrow(),
        lambda: PackedColumn(b"4111", np.array([0, 4], "<i4").tobytes(), length=9).to_arrow(),
        lambda: PackedColumn(b"a" * 9, np.arange(10, dtype="<i4").tobytes(), b"\1").to_arrow(),
    ],
)
def test_an_error_of_a_column_holds_none_of_its_texts(attempt: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        attempt()
    assert type(caught.value) is ValueError
    assert "4111" not in repr(caught.value.args)
    assert caught.value.__cause__ is None


def test_without_pyarrow_only_arrow_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    column = PackedColumn.of(["a", None])
    assert column.strings() == ["a", None]
    with pytest.raises(ImportError, match="need pyarrow"):
        column.to_arrow()
