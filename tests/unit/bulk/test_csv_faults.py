"""Files that mean something else than they seem to: no value of theirs gets out."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from vault.bulk import CsvError, CsvOptions, OnReject, Summary, convert_csv
from vault.client import Column

CARDS = ("4111111111111111", "5500005555555559", "4012888888881881", "6011000990139424")
CARD = {"card": "card_number"}


def tokens(field: str, values: Sequence[str]) -> Column:
    """Answers with tokens that hold nothing of the values."""
    return Column([f"T{index}" for index in range(len(values))], {}, 0)


def convert(data: bytes, options: CsvOptions | None = None) -> tuple[bytes, Summary]:
    target = io.BytesIO()
    summary = convert_csv(tokens, io.BytesIO(data), target, options or CsvOptions(CARD))
    return target.getvalue(), summary


def refused(data: bytes, options: CsvOptions | None = None) -> str:
    """Converts what must be refused; nothing of it may be written."""
    target = io.BytesIO()
    with pytest.raises(CsvError) as caught:
        convert_csv(tokens, io.BytesIO(data), target, options or CsvOptions(CARD))
    assert target.getvalue() == b""
    assert not any(card in caught.value.message for card in CARDS)
    return caught.value.message


STRAY = b'name,card\n"Bob,4111111111111111\nAl,5500005555555559\nCy "x",4012888888881881\n'
BACKSLASH = (
    b'id,note,card\n1,"size 12\\"",4111111111111111\n2,"plain",5500005555555559\n'
    b'3,"size 14\\"",4012888888881881\n4,"plain",6011000990139424\n'
)


def test_a_stray_quote_that_joins_rows_is_refused() -> None:
    message = refused(STRAY)
    assert message.startswith("line 4: text follows a closing quote")
    assert "line 2" in message
    assert all(remedy in message for remedy in ('""', "--escape", "--no-quoting"))


def test_quotes_escaped_by_a_backslash_are_refused_and_the_remedy_works() -> None:
    message = refused(BACKSLASH)
    assert message.startswith("line 3: text follows a closing quote")
    assert r"--escape '\'" in message
    out, summary = convert(BACKSLASH, CsvOptions(CARD, escape="\\"))
    assert (summary.rows, summary.written, summary.converted["card"]) == (4, 4, 4)
    assert out == (
        b'id,note,card\n1,"size 12\\"",T0\n2,"plain",T1\n3,"size 14\\"",T2\n4,"plain",T3\n'
    )


def test_a_bare_quote_is_refused_and_the_remedy_works() -> None:
    data = b'name,card\nBo 5" pipe,4111111111111111\n"Al,5500005555555559\n'
    assert refused(b'name,card\nBo 5" pipe,4111111111111111\n').startswith("line 2: a quote stands")
    assert refused(b'name,card\n "Bo",4111111111111111\n').startswith("line 2: a quote stands")
    out, _ = convert(data, CsvOptions(CARD, quoting=False))
    assert out == b'name,card\nBo 5" pipe,T0\n"Al,T1\n'


@pytest.mark.parametrize(
    "data",
    [
        b'name,card\n"Bob"x,4111111111111111\n',
        b'name,card\n"Bob" ,4111111111111111\n',
        b'name,card\nBob,4111111111111111\n"Al,5500005555555559\n',
        b'"name"x,card\nBob,4111111111111111\n',
        b'name,"card\nBob,4111111111111111\n',
    ],
)
def test_what_strict_parsers_refuse_is_refused(data: bytes) -> None:
    assert re.match("line [123]: ", refused(data))


@pytest.mark.parametrize("on_reject", [OnReject.SKIP_ROW, OnReject.EMPTY_CELL])
def test_rows_that_two_stray_quotes_join_are_left_out(on_reject: OnReject) -> None:
    data = b'name,card\n"Bob,4111111111111111\nAl",5500005555555559\nCy,4012888888881881\n'
    out, summary = convert(data, CsvOptions(CARD, on_reject=on_reject))
    assert out == b"name,card\nCy,T0\n"
    assert summary.rejects == {("", "ROW_MALFORMED"): 1}
    assert "--trust-quotes" in summary.first_rejects[0].message
    trusted, _ = convert(data, CsvOptions(CARD, on_reject=on_reject, trust_quotes=True))
    assert trusted.count(b"T") == 2


def test_rows_joined_to_one_without_a_value_are_left_out() -> None:
    out, summary = convert(b'name,card\n"Bob,4111111111111111\nAl",\n')
    assert out == b"name,card\n"
    assert summary.rejects == {("", "ROW_MALFORMED"): 1}


def test_rows_that_stray_quotes_join_to_the_header_are_refused() -> None:
    message = refused(b'id,card,"note\n1,4111111111111111,x"\n2,5500005555555559,y\n')
    assert message.startswith("line 1, the header: a cell of several lines reads as rows")


HONEST = [
    '"Baker St, 221b\nLondon"',
    '"1\n2, two\n3, three"',
    '"{\n  ""a"": 1,\n  ""b"": 2\n}"',
    '"paid 4111111111111111\nand left"',
    '"<p>\n1, 12345\n</p>"',
]


@pytest.mark.parametrize("cell", HONEST)
def test_honest_cells_of_several_lines_go_through(cell: str) -> None:
    data = f"id,name,note,card\n1,Bo,{cell},4111111111111111\n2,Al,x,5500005555555559\n"
    out, summary = convert(data.encode())
    assert summary.written == 2
    assert out.startswith(f"id,name,note,card\n1,Bo,{cell},T0".encode())


@pytest.mark.parametrize(("cell", "rows"), list(zip(HONEST, [1, 1, 0, 0, 1], strict=True)))
def test_in_two_columns_a_line_with_a_delimiter_is_a_row(cell: str, rows: int) -> None:
    data = f"note,card\n{cell},4111111111111111\nx,5500005555555559\n".encode()
    assert convert(data)[1].rejects["", "ROW_MALFORMED"] == rows
    out, summary = convert(data, CsvOptions(CARD, trust_quotes=True))
    assert summary.written == 2
    assert out.startswith(f"note,card\n{cell},T0".encode())


def test_a_value_that_also_stands_in_a_column_not_chosen_goes_through() -> None:
    out, _ = convert(b"old_card,card\n4111111111111111,4111111111111111\n1,1\n")
    assert out == b"old_card,card\n4111111111111111,T0\n1,T1\n"


def test_an_answer_that_would_not_read_back_never_gets_out() -> None:
    def breaks(field: str, values: Sequence[str]) -> Column:
        return Column(["a\nb,c" for _ in values], {}, 0)

    target = io.BytesIO()
    convert_csv(breaks, io.BytesIO(b"name,card\nx,1\n"), target, CsvOptions(CARD))
    assert list(csv.reader(io.StringIO(target.getvalue().decode(), newline=""))) == [
        ["name", "card"],
        ["x", "a\nb,c"],
    ]
    target = io.BytesIO()
    options = CsvOptions(CARD, quoting=False)
    summary = convert_csv(breaks, io.BytesIO(b"name,card\nx,1\n"), target, options)
    assert target.getvalue() == b"name,card\n"
    assert summary.rejects == {("card", "CELL_NOT_WRITABLE"): 1}


def test_quoted_cells_of_many_lines_take_linear_time() -> None:
    def seconds(pairs: int) -> float:
        cell = '"' + "\n".join(f'""key{n}"": ""value {n}"",' for n in range(pairs)) + '"'
        data = f"id,json,card\n1,{cell},4111111111111111\n".encode()
        begun = time.process_time()
        convert(data)
        return time.process_time() - begun

    seconds(100)
    assert seconds(20_000) < 2  # it was minutes


def test_many_cells_of_many_lines_take_linear_time() -> None:
    cells = ",".join(['x,"\n"'] * 60_000)
    header = ",".join(f"c{n}" for n in range(120_000))
    begun = time.process_time()
    convert(f"{header},card\n{cells},4111111111111111\n".encode())
    assert time.process_time() - begun < 5


def test_an_escape_whose_meaning_programs_differ_on_is_rejected_in_a_chosen_column() -> None:
    out, summary = convert(
        b"id,card\n\\t1,4111111111111111\n2,\\N\n3,4\\0\n", CsvOptions(CARD, escape="\\")
    )
    assert out == b"id,card\n\\t1,T0\n"
    assert summary.rejects == {("card", "VALUE_NOT_IN_FORMAT"): 2}
    out, summary = convert(b"id,card\n2,\\N\n", CsvOptions(CARD, escape="\\", nulls=["\\N"]))
    assert out == b"id,card\n2,\\N\n"
    assert summary.empty["card"] == 1


def test_a_written_cell_reads_back_where_quotes_are_escaped() -> None:
    def odd(field: str, values: Sequence[str]) -> Column:
        return Column(['a"b\\c,d' for _ in values], {}, 0)

    target = io.BytesIO()
    options = CsvOptions(CARD, escape="\\")
    convert_csv(odd, io.BytesIO(b'id,card\n1,"2"\n2,3\n'), target, options)
    assert target.getvalue() == b'id,card\n1,"a\\"b\\\\c,d"\n2,"a\\"b\\\\c,d"\n'
    target = io.BytesIO()
    options = CsvOptions(CARD, escape="\\", quoting=False)
    convert_csv(odd, io.BytesIO(b"id,card\n1,2\n"), target, options)
    assert target.getvalue() == b'id,card\n1,a"b\\\\c\\,d\n'


@pytest.mark.parametrize("escape", ["", '"', ",", "ab"])
def test_an_escape_that_cannot_be_is_refused(escape: str) -> None:
    assert "escape" in refused(b"card\n1\n", CsvOptions(CARD, delimiter=",", escape=escape))


@pytest.mark.parametrize("quoting", [True, False])
def test_an_emptied_cell_that_is_the_whole_last_line_is_still_a_row(quoting: bool) -> None:
    options = CsvOptions(CARD, on_reject=OnReject.EMPTY_CELL, quoting=quoting)
    out, summary = convert(b"card\n1\n\xff", options)
    assert out == b"card\nT0\n\n"
    assert summary.written == 2


@pytest.mark.parametrize("chunk_rows", [1, 5])
@pytest.mark.parametrize("header", [b"card", b"card,id"])
def test_a_row_left_out_between_line_ends_does_not_join_them(
    header: bytes, chunk_rows: int
) -> None:
    data = header + b"\n\r,,,\n\n"
    out, _ = convert(data, CsvOptions(CARD, delimiter=",", chunk_rows=chunk_rows))
    assert out == header + b"\n\r\r"


def test_a_file_that_breaks_off_leaves_no_output(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"name,card\n" + b"x,4111111111111111\n" * 30 + b'"y,5500005555555559\n')
    with pytest.raises(CsvError, match="line 32"):
        convert_csv(tokens, source, tmp_path / "out", CsvOptions(CARD, chunk_rows=10))
    assert list(tmp_path.iterdir()) == [source]
