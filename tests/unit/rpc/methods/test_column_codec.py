"""StringColumn: what is not Arrow's layout is refused before it is read."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from vault.errors import InvalidRequest
from vault.rpc.methods.column_codec import decode_column
from vault.v1.column_pb2 import StringColumn


def offsets(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def strings(column: StringColumn) -> list[str | None]:
    """Reads a column the slow way, by the definition."""
    ends = struct.unpack(f"<{len(column.offsets) // 4}i", column.offsets)
    bits = column.validity
    return [
        column.data[start:end].decode() if not bits or bits[at // 8] >> at % 8 & 1 else None
        for at, (start, end) in enumerate(pairwise(ends))
    ]


@pytest.mark.parametrize(
    "column",
    [
        StringColumn(data=b"abc", offsets=offsets(0, 3)[:-1]),
        StringColumn(data=b"abc", offsets=b""),
        StringColumn(data=b"abc", offsets=offsets(3)),
        StringColumn(data=b"abc", offsets=offsets(1, 3)),
        StringColumn(data=b"abc", offsets=offsets(-1, 3)),
        StringColumn(data=b"abc", offsets=offsets(0, 2)),
        StringColumn(data=b"abc", offsets=offsets(0, 4)),
        StringColumn(data=b"abc", offsets=offsets(0, 2, 1, 3)),
        StringColumn(data=b"abc", offsets=offsets(0, 2**31 - 1, 3)),
        StringColumn(data=b"abc", offsets=offsets(0, -(2**31), 3)),
        StringColumn(data=b"abc", offsets=offsets(0, 3), validity=b"\1\0"),
        StringColumn(data=b"abc", offsets=offsets(0, 3), validity=b"\3"),
        StringColumn(data=b"", offsets=offsets(0), validity=b"\0"),
        StringColumn(data="é".encode(), offsets=offsets(0, 1, 2)),
        StringColumn(data="aé".encode(), offsets=offsets(0, 2, 3)),
        StringColumn(data=b"\xff\xfe", offsets=offsets(0, 2)),
        StringColumn(data=b"\xed\xa0\x80", offsets=offsets(0, 3)),
    ],
)
def test_what_is_no_column_is_refused_without_quoting_it(column: StringColumn) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_column(column)
    assert "abc" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (StringColumn(), []),
        (StringColumn(offsets=offsets(0)), []),
        (StringColumn(data=b"abc", offsets=offsets(0, 0, 2, 3)), ["", "ab", "c"]),
        (StringColumn(data="aéz".encode(), offsets=offsets(0, 1, 3, 4)), ["a", "é", "z"]),
        # Whatever lies under a null is nobody's: not valid UTF-8 here.
        (StringColumn(data=b"a\xffz", offsets=offsets(0, 1, 2, 3), validity=b"\5"), ["a", "z"]),
    ],
)
def test_columns_are_read(column: StringColumn, texts: list[str]) -> None:
    assert list(decode_column(column).texts) == texts


@examples(3)
@given(st.lists(st.none() | st.text(max_size=6), max_size=20), st.data())
def test_answers_keep_their_places(texts: list[str | None], data: st.DataObject) -> None:
    parts = [(text or "").encode() for text in texts]
    ends = [sum(map(len, parts[:at])) for at in range(len(parts) + 1)]
    bits = sum((text is not None) << at for at, text in enumerate(texts))
    column = StringColumn(
        data=b"".join(parts),
        offsets=offsets(*ends),
        validity=bits.to_bytes((len(texts) + 7) // 8, "little"),
    )
    sent = decode_column(column)
    there = [text for text in texts if text is not None]
    assert list(sent.texts) == there
    assert sent.size == len(texts)

    failed = data.draw(st.sets(st.sampled_from(range(len(there))))) if there else set()
    answers = ["" if at in failed else f"{text}!é" for at, text in enumerate(there)]
    answer = strings(sent.answer(answers, failed))

    expected: list[str | None] = [None] * len(texts)
    for at in set(range(len(there))) - failed:
        expected[sent.index_of(at)] = answers[at]
    assert answer == expected


@examples(5)
@given(st.binary(max_size=12), st.lists(st.integers(-2, 14), max_size=6), st.binary(max_size=2))
def test_any_bytes_are_read_as_defined_or_refused(
    data: bytes, numbers: list[int], validity: bytes
) -> None:
    column = StringColumn(data=data, offsets=offsets(*sorted(numbers)), validity=validity)
    try:
        sent = decode_column(column)
    except InvalidRequest:
        return
    assert list(sent.texts) == [text for text in strings(column) if text is not None]
