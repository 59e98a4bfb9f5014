import csv
import io
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.bulk.records import CsvError, Dialect, guess_delimiter


def lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


CSV_TEXT = st.text(alphabet='a"",,\r\n ;é', max_size=40)


@given(CSV_TEXT)
def test_a_file_comes_out_as_it_went_in(text: str) -> None:
    dialect = Dialect(",")
    try:
        records = list(dialect.records(lines(text)))
    except CsvError:
        return
    assert "".join(",".join(record.cells) + record.ending for record in records) == text


@given(CSV_TEXT)
def test_cells_mean_what_the_csv_module_reads(text: str) -> None:
    dialect = Dialect(",")
    try:
        records = list(dialect.records(lines(text)))
    except CsvError:
        return
    theirs = [row or [""] for row in csv.reader(lines(text), strict=True)]
    assert [record.values for record in records] == theirs


@given(st.text(max_size=20), st.sampled_from(["", "x", '"x"']))
def test_a_written_cell_reads_back(value: str, replaced: str) -> None:
    dialect = Dialect(";")
    cell = dialect.text(value, replaced)
    [record] = dialect.records(lines(f"a;{cell};b\n"))
    assert record.values == ["a", value, "b"]


def test_a_cell_is_quoted_where_the_cell_before_it_was() -> None:
    dialect = Dialect(",")
    assert dialect.text("token", '"value"') == '"token"'
    assert dialect.text("token", "value") == "token"
    assert dialect.text('5" pipe', "value") == '"5"" pipe"'
    assert dialect.text("a,b", "value") == '"a,b"'


def test_records_know_their_line_and_ending() -> None:
    records = list(Dialect(",").records(lines('a,b\r\n"x\r\ny",2\n3,4')))
    assert [(record.line, record.ending) for record in records] == [(1, "\r\n"), (2, "\n"), (4, "")]


def test_an_open_quote_is_refused_by_its_line() -> None:
    with pytest.raises(CsvError, match=r"^line 2: a quote is opened and never closed; "):
        list(Dialect(",").records(lines('a,b\n"x,2\n3,4\n')))


def test_an_open_quote_does_not_swallow_a_large_file() -> None:
    endless = ("no quote in here\n" for _ in iter(int, 1))

    def text() -> Iterator[str]:
        yield 'a,"b\n'
        yield from endless

    with pytest.raises(CsvError, match=re.escape("line 1: over 1048576 characters")):
        list(Dialect(",").records(text()))


def test_a_long_record_of_several_lines_is_read_where_quotes_are_trusted() -> None:
    text = 'a,"' + "some text\n" * 200_000 + '",b\n'
    with pytest.raises(CsvError, match="--trust-quotes: then it may have 16777216"):
        list(Dialect(",").records(lines(text)))
    [record] = Dialect(",", trust_quotes=True).records(lines(text))
    assert len(record.values[1]) == 2_000_000
    with pytest.raises(CsvError, match="over 16777216 characters"):
        list(Dialect(",", trust_quotes=True).records(lines('"' + f"{'a' * 9_999}\n" * 2_000)))


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_a_delimiter_that_cannot_be_is_refused(delimiter: str) -> None:
    with pytest.raises(CsvError, match="one character"):
        Dialect(delimiter)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("a,b,c", ","),
        ("a;b;c,d", ";"),
        ("a\tb", "\t"),
        ("a|b", "|"),
        ('"a;b;c",d', ","),
        ("a", ","),
    ],
)
def test_the_header_tells_the_delimiter(header: str, delimiter: str) -> None:
    assert guess_delimiter(header) == delimiter
