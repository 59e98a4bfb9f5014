import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.bulk import CsvError, CsvOptions, OnReject, RejectedError, Summary, convert_csv
from vault.client import CallError, Column, ItemError

CANARY = "4111-CANARY"


class Reverser:
    """Turns values round, as a service that refuses every value with a `!` in it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def __call__(self, field: str, values: Sequence[str]) -> Column:
        self.calls.append((field, len(values)))
        errors = {
            index: ItemError(index, "VALUE_NOT_IN_FORMAT", "fails the Luhn check", False)
            for index, value in enumerate(values)
            if "!" in value
        }
        return Column(
            ["" if index in errors else value[::-1] for index, value in enumerate(values)],
            errors,
            0,
        )


def convert(data: bytes, options: CsvOptions, rejects: Path | None = None) -> tuple[bytes, Summary]:
    target = io.BytesIO()
    summary = convert_csv(Reverser(), io.BytesIO(data), target, options, rejects=rejects)
    return target.getvalue(), summary


NAME = CsvOptions({"name": "person_name"})


def test_only_the_chosen_cells_change() -> None:
    data = (
        b'\xef\xbb\xbfid,"name",note\r\n1,abc, kept \r\n"2","d""e","a\nb"\n\n3,,caf\xe9\r\n4,xyz,'
    )
    out, summary = convert(data, NAME)
    assert out == (
        b'\xef\xbb\xbfid,"name",note\r\n1,cba, kept \r\n"2","e""d","a\nb"\n\n3,,caf\xe9\r\n4,zyx,'
    )
    assert (summary.rows, summary.written) == (4, 4)
    assert (summary.converted["name"], summary.empty["name"]) == (3, 1)


ROWS = st.lists(st.lists(st.text("ab\"',\r\n é", max_size=6), min_size=2, max_size=2), max_size=12)


@given(ROWS, st.booleans(), st.integers(1, 4))
def test_converting_there_and_back_gives_the_same_bytes(
    rows: list[list[str]], quoted: bool, chunk_rows: int
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerow(["id", "name"])
    writer.writerows(rows)
    data = text.getvalue().encode()
    options = CsvOptions(
        {"name": "person_name"}, delimiter=",", chunk_rows=chunk_rows, trust_quotes=True
    )
    there, _ = convert(data, options)
    back, summary = convert(there, options)

    # A token that begins with a quote must be quoted where its value was not.
    def read(file: bytes) -> list[list[str]]:
        return list(csv.reader(io.StringIO(file.decode(), newline="")))

    assert read(back) == read(data)
    assert summary.rows == len(rows)


def test_a_failed_row_is_left_out_and_reported_without_its_value(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    data = f"id,name\n1,abc\n2,!{CANARY}\n\n3,def\n".encode()
    out, summary = convert(data, NAME, rejects)
    assert out == b"id,name\n1,cba\n\n3,fed\n"
    assert (summary.rows, summary.written) == (3, 2)
    assert summary.rejects == {("name", "VALUE_NOT_IN_FORMAT"): 1}
    assert list(csv.DictReader(io.StringIO(rejects.read_text()))) == [
        {
            "row": "2",
            "line": "3",
            "column": "name",
            "field": "person_name",
            "reason": "VALUE_NOT_IN_FORMAT",
            "message": "fails the Luhn check",
            "retryable": "False",
        }
    ]
    assert CANARY not in rejects.read_text() + repr(summary)


def test_a_failed_cell_can_be_emptied_instead() -> None:
    options = CsvOptions({"name": "person_name"}, on_reject=OnReject.EMPTY_CELL)
    out, summary = convert(b'id,name\n1,"!abc"\n2,def\n', options)
    assert out == b"id,name\n1,\n2,fed\n"
    assert summary.written == 2


def test_a_failed_cell_can_stop_the_run(tmp_path: Path) -> None:
    source, target, rejects = (tmp_path / name for name in ("in", "out", "rejects"))
    source.write_bytes(f"id,name\n1,abc\n2,!{CANARY}\n".encode())
    options = CsvOptions({"name": "person_name"}, on_reject=OnReject.STOP)
    with pytest.raises(RejectedError, match=r"^row 2 \(line 3\), column 'name'") as caught:
        convert_csv(Reverser(), source, target, options, rejects=rejects)
    assert CANARY not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("on_reject", [OnReject.SKIP_ROW, OnReject.EMPTY_CELL])
def test_a_row_of_another_width_never_goes_out(on_reject: OnReject) -> None:
    data = f"id,name\n1,abc\n2,Smith,{CANARY}\n{CANARY}\n".encode()
    out, summary = convert(data, CsvOptions({"name": "person_name"}, on_reject=on_reject))
    assert out == b"id,name\n1,cba\n"
    assert summary.rejects == {("", "ROW_MALFORMED"): 2}


def test_a_chosen_cell_that_is_not_utf8_is_rejected_here() -> None:
    out, summary = convert(b"id,name\n1,caf\xe9\n2,abc\n", NAME)
    assert out == b"id,name\n2,cba\n"
    assert summary.rejects == {("name", "VALUE_NOT_IN_FORMAT"): 1}


def test_a_row_that_fails_twice_is_reported_twice_in_order() -> None:
    options = CsvOptions({"b": "person_name", "a": "person_name"})
    out, summary = convert(b"a,b\n!1,x\n!2,!2\n", options)
    assert out == b"a,b\n"
    found = [(reject.row, reject.column) for reject in summary.first_rejects]
    assert found == [(1, "a"), (2, "b"), (2, "a")]


def test_chunks_bound_what_is_held_and_progress_is_told() -> None:
    data = b"id,name\n" + b"".join(b"%d,abc\n" % row for row in range(25))
    service, told = Reverser(), list[tuple[int, int]]()
    options = CsvOptions({"name": "person_name"}, chunk_rows=10)
    convert_csv(
        service,
        io.BytesIO(data),
        io.BytesIO(),
        options,
        progress=lambda rows, position: told.append((rows, position)),
    )
    assert service.calls == [("person_name", 10), ("person_name", 10), ("person_name", 5)]
    assert [rows for rows, _ in told] == [10, 20, 25]
    assert told[-1][1] == len(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"id,Name\n", r"column 'name' is not in the header \(2 columns\)"),
        (b"name,name\n", "more than once"),
        ("id,name\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(CsvError, match=message):
        convert(data, NAME)


def test_a_header_that_is_no_header_is_not_quoted() -> None:
    with pytest.raises(CsvError) as caught:
        convert(f"1,{CANARY}\n".encode(), NAME)
    assert CANARY not in str(caught.value)


def test_a_call_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def refuse(field: str, values: Sequence[str]) -> Column:
        raise CallError("UNAVAILABLE", "STORE_UNAVAILABLE", "the database is unavailable", True)

    source = tmp_path / "in"
    source.write_bytes(b"id,name\n1,abc\n")
    with pytest.raises(CallError):
        convert_csv(refuse, source, tmp_path / "out", NAME, rejects=tmp_path / "rejects")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_short_or_empty_answer_never_lets_the_value_through() -> None:
    def short(field: str, values: Sequence[str]) -> Column:
        return Column([], {}, 0)

    def empty(field: str, values: Sequence[str]) -> Column:
        return Column([""] * len(values), {}, 0)

    for service in (short, empty):
        target = io.BytesIO()
        with pytest.raises(CsvError):
            convert_csv(service, io.BytesIO(b"id,name\n1,abc\n"), target, NAME)
        assert b"abc" not in target.getvalue()


@pytest.mark.parametrize(
    ("target", "rejects"), [("in", "rejects"), ("out", "in"), ("both", "both"), ("link", None)]
)
def test_source_output_and_rejects_are_three_files(
    tmp_path: Path, target: str, rejects: str | None
) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"card\n12\n")
    (tmp_path / "link").symlink_to(source)

    with pytest.raises(CsvError, match="one file"):
        convert_csv(
            Reverser(),
            source,
            tmp_path / target,
            CsvOptions({"card": "card_number"}),
            rejects=tmp_path / rejects if rejects else None,
        )

    assert source.read_bytes() == b"card\n12\n"
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize("link", [False, True])
def test_open_streams_that_are_one_file_are_refused(tmp_path: Path, link: bool) -> None:
    path, other = tmp_path / "in", tmp_path / "other"
    path.write_bytes(b"name\n!12\n")
    if link:
        other.hardlink_to(path)
    named = other if link else path
    with path.open("rb") as stdin, pytest.raises(CsvError) as caught:
        convert_csv(Reverser(), stdin, named, NAME)
    assert "the output and the source are one file" in caught.value.message
    with path.open("rb") as stdin, pytest.raises(CsvError, match="one file"):
        convert_csv(Reverser(), stdin, io.BytesIO(), NAME, rejects=named)
    with path.open("ab") as stdout, pytest.raises(CsvError, match="one file"):
        convert_csv(Reverser(), named, stdout, NAME)
    with path.open("ab") as stdout, pytest.raises(CsvError, match="one file"):
        convert_csv(Reverser(), io.BytesIO(b"name\n1\n"), stdout, NAME, rejects=named)
    assert path.read_bytes() == b"name\n!12\n"


def test_a_device_may_be_source_and_output() -> None:
    null = Path("/dev/null")
    with null.open("rb") as stdin, null.open("wb") as out, pytest.raises(CsvError, match="empty"):
        convert_csv(Reverser(), stdin, out, NAME)
