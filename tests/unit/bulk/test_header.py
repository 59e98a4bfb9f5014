"""CSV as people have it: separators, headers, encodings, null markers, several countries."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Sequence
from typing import cast

import pytest

from vault.bulk import CsvError, CsvOptions, Summary, convert_csv, tokenize_csv
from vault.bulk.shell import shell_word
from vault.client import Client, Column

CARD = {"card": "card_number"}


def tokens(field: str, values: Sequence[str]) -> Column:
    return Column([f"T{index}" for index in range(len(values))], {}, 0)


def convert(data: bytes, options: CsvOptions | None = None) -> tuple[bytes, Summary]:
    target = io.BytesIO()
    summary = convert_csv(tokens, io.BytesIO(data), target, options or CsvOptions(CARD))
    return target.getvalue(), summary


def refused(data: bytes, options: CsvOptions | None = None) -> str:
    with pytest.raises(CsvError) as caught:
        convert(data, options)
    return caught.value.message


@pytest.mark.parametrize(
    "first", [b"sep=;\r\n", b"SEP=;\n", b'"sep=;"\r\n', b"\xef\xbb\xbfsep=;\n"]
)
def test_a_sep_line_names_the_delimiter_and_stays(first: bytes) -> None:
    out, summary = convert(first + b"na,me;card\r\nBo;4111111111111111\r\n\r\n")
    assert out == first + b"na,me;card\r\nBo;T0\r\n\r\n"
    assert summary.rows == 1
    given, _ = convert(first + b"card;x\n1;2\n", CsvOptions(CARD, delimiter=";"))
    assert given == first + b"card;x\nT0;2\n"


def test_a_sep_line_counts_as_a_line_and_contradicts_no_option() -> None:
    assert refused(b'sep=;\r\nname;card\r\n"Bo"x;1\r\n').startswith("line 3: ")
    assert "--delimiter ','" in refused(b"sep=;\ncard;x\n1;2\n", CsvOptions(CARD, delimiter=","))


def test_the_delimiter_is_taken_from_the_whole_header() -> None:
    out, _ = convert(
        b'"card\nnumber";name\n4111111111111111;x\n', CsvOptions({"card\nnumber": "c"})
    )
    assert out == b'"card\nnumber";name\nT0;x\n'


def test_a_column_that_is_not_there_says_which_delimiter_was_taken() -> None:
    data = b'"card\nnumber";name\n4111111111111111;x\n'
    message = refused(data)
    assert "column 'card' is not in the header (2 columns)" in message
    assert "delimiter ';', taken from the header" in message
    assert "delimiter ',', given" in refused(b"a;card\n", CsvOptions(CARD, delimiter=","))
    assert "named by the sep= line" in refused(b"sep=|\na;card\n")


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        (" card", "blanks"),
        ("card\u00a0", "blanks"),
        ("\ufeffcard", "blanks, or in characters that nobody sees"),
        ("CARD", "case"),
        ("ｃard", "Unicode form"),
        (" CARD", "blanks, case or Unicode form"),
    ],
)
def test_a_header_that_differs_in_what_is_hardly_seen_is_named(name: str, differs: str) -> None:
    message = refused(f"name,{name}\nx,4111111111111111\n".encode())
    assert f"column 2 differs in {differs}" in message
    assert message.endswith(f"choose it as {shell_word(name)}")
    out, _ = convert(f"name,{name}\nx,1\n".encode(), CsvOptions({name: "card_number"}))
    assert out.endswith(b"x,T0\n")


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cards.csv", "card\n1\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(b"card\n1\n", mtime=0), "gzip"),
        (zipped(), "zip archive"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
        ("card\n1\n".encode("utf-16"), "UTF-16"),
        ("card\n1\n".encode("utf-16-le"), "UTF-16"),
        ("card\n1\n".encode("utf-32"), "UTF-32"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(data: bytes, what: str) -> None:
    message = refused(data)
    assert what in message
    assert "UTF-16" not in message or what == "UTF-16"


def test_another_encoding_is_told_with_its_remedy() -> None:
    data = b"name;card\nJos\xe9;4111111111111111\n"
    out, _ = convert(data)
    assert out == b"name;card\nJos\xe9;T0\n"
    _, summary = convert(data, CsvOptions({"name": "person_name"}))
    assert "iconv" in summary.first_rejects[0].message
    assert "iconv" in refused(b"Gr\xf6\xdfe;card\n1;2\n", CsvOptions({"Größe": "x"}))


NULLS = b'name,card\n\\N,4111111111111111\nBo,\\N\nNULL,"5500005555555559"\nAl,"\\N"\n'


def test_null_markers_stay_as_they_are() -> None:
    options = CsvOptions({"name": "person_name", "card": "card_number"}, nulls=["\\N", "NULL"])
    out, summary = convert(NULLS, options)
    assert out == b'name,card\n\\N,T0\nT0,\\N\nNULL,"T1"\nT1,"\\N"\n'
    assert (summary.empty["card"], summary.empty["name"]) == (2, 2)
    assert not summary.null_like


def test_null_markers_that_were_taken_for_values_are_counted() -> None:
    _, summary = convert(NULLS)
    assert summary.null_like == {("card", "\\N"): 2}


class Recorder:
    """A client that answers with the region it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], str]] = []

    def tokenize(self, field: str, values: Sequence[str], *, region: str = "") -> Column:
        self.calls.append((field, list(values), region))
        return Column([f"{region}{index}" or "x" for index in range(len(values))], {}, 0)


PHONES = (
    b"phone,country\n030 1,DE\n01 23,fr\n030 2,DE\n+1 555,\n555 1,\n020 7,UK\n030 3,Germany\n,DE\n"
)
BY_COLUMN = CsvOptions({"phone": "phone"}, region_columns={"phone": "country"})


def test_each_row_is_of_the_country_that_its_column_names() -> None:
    client, target = Recorder(), io.BytesIO()
    summary = tokenize_csv(cast(Client, client), io.BytesIO(PHONES), target, BY_COLUMN)
    assert sorted(client.calls, key=lambda call: call[2]) == [
        ("phone", ["+1 555"], ""),
        ("phone", ["030 1", "030 2"], "DE"),
        ("phone", ["01 23"], "FR"),
        ("phone", ["020 7"], "GB"),
    ]
    assert target.getvalue() == b"phone,country\nDE0,DE\nFR0,fr\nDE1,DE\n0,\nGB0,UK\n,DE\n"
    assert summary.rejects == {("phone", "VALUE_NOT_IN_FORMAT"): 2}
    assert "'country'" in summary.first_rejects[0].message


@pytest.mark.parametrize(
    ("options", "regions", "said"),
    [
        (CsvOptions({"phone": "p"}, region_columns={"q": "country"}), {}, "no column holds"),
        (CsvOptions({"phone": "p"}, region_columns={"p": "country"}), {"p": "DE"}, "a region and"),
        (CsvOptions({"phone": "p"}, region_columns={"p": "land"}), {}, "'land' is not in"),
        (
            CsvOptions({"phone": "p", "country": "c"}, region_columns={"p": "country"}),
            {},
            "cannot be converted in the same run",
        ),
    ],
)
def test_a_column_of_countries_that_cannot_be_is_refused(
    options: CsvOptions, regions: dict[str, str], said: str
) -> None:
    with pytest.raises(CsvError, match=said):
        tokenize_csv(
            cast(Client, Recorder()), io.BytesIO(PHONES), io.BytesIO(), options, regions=regions
        )


@pytest.mark.parametrize(
    "data",
    [
        b"name,4111111111111111\nBo,5500005555555559\n",
        b"name,bo@example.org\nBo,al@example.org\n",
        b"name,1980-02-01\nBo,1971-12-31\nAl,\n",
        b"name,4111111111111111\n",
    ],
)
def test_a_first_row_that_is_no_header_is_not_taken_for_one(data: bytes) -> None:
    options = {data.decode().splitlines()[0].split(",")[1]: "field"}
    message = refused(data, CsvOptions(options))
    assert message.startswith("line 1 was taken for the header, but its cell 2 reads like")
    assert "--trust-header" in message
    assert "4111" not in message
    assert "example" not in message
    trusted, _ = convert(data, CsvOptions(options, trust_header=True))
    assert trusted.splitlines()[0] == data.splitlines()[0]


@pytest.mark.parametrize(
    "header", ["name,2019", "name,2020-01-01", "name,address_12345", "name,0", "name,1e5", "name,"]
)
def test_numbers_as_names_of_columns_are_a_header(header: str) -> None:
    out, _ = convert(f"{header}\nBo,1234\nAl,5.5\n".encode(), CsvOptions({"name": "person_name"}))
    assert out == f"{header}\nT0,1234\nT1,5.5\n".encode()


@pytest.mark.parametrize("header", ["202401,202402", "4006381333931,bo@x.org", "2024-01-01,x"])
def test_other_columns_may_be_called_like_their_values(header: str) -> None:
    first = header.split(",")[0]
    data = f"id,card,{header}\n1,4111111111111111,{first},al@x.org\n2,5500005555555559,54321,x\n"
    out, summary = convert(data.encode())
    assert out.startswith(f"id,card,{header}\n1,T0,{first},".encode())
    assert summary.written == 2


def test_a_column_that_holds_its_own_name_is_counted() -> None:
    _, summary = convert(b"id,card\n1,x\nid,card\n2,y\n")
    assert summary.names_repeated == {"card": 1}


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("\n", "line 1 is empty; the header seems to be in line 2"),
        (",,\n\n", "line 1 is empty; the header seems to be in line 3"),
        ("# made by x\n# y\n", "line 1 is a comment; the header seems to be in line 3"),
        ('"Export, of\nMonday"\n\n', "; the header seems to be in line 4"),
        ("sep=,\n\n", "line 2 is empty; the header seems to be in line 3"),
    ],
)
def test_a_header_below_other_lines_is_found(before: str, told: str) -> None:
    message = refused(f'{before}name,"card"\nx,4111111111111111\n'.encode())
    assert told in message
    number = told.rpartition(" ")[2]
    assert f"tail -n +{number} FILE" in message
    assert "4111" not in message


def test_a_first_line_that_is_none_is_said_so_without_a_header_too() -> None:
    assert refused(b"\nx,4111111111111111\n").endswith("; line 1 is empty")
    assert "seems" not in refused(b"a,b\nx,4111111111111111\n")
