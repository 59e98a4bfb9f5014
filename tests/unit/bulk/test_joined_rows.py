"""Two stray quotes make a pair and join rows: no value of theirs gets out, whatever it is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import product

import pytest

from tests.spellings import ACCEPTED
from vault.bulk import CsvError, CsvOptions, Summary, convert_csv, erase_csv
from vault.client import Column, Erased

KINDS = {
    **{kind: [text for text in texts if "," not in text] for kind, texts in ACCEPTED.items()},
    "pin": ["4711", "0815", "1234"],
    "word": ["yes", "no", "?"],
    "letter": ["a", "b", "c"],
    "blank before": [" Bo", "\tAl", " 7"],
}
SIMPLE = [kind for kind, texts in KINDS.items() if len(texts) > 2 and "\n" not in "".join(texts)]


def tokens(_field: str, values: Sequence[str]) -> Column:
    return Column(["τ" for _ in values], {}, 0)


def convert(
    text: str, *chosen: str, trust_quotes: bool = False, chunk_rows: int = 5_000
) -> tuple[str, Summary]:
    options = CsvOptions(
        dict.fromkeys(chosen, "field"),
        delimiter=",",
        trust_quotes=trust_quotes,
        chunk_rows=chunk_rows,
    )
    target = io.BytesIO()
    summary = convert_csv(tokens, io.BytesIO(text.encode()), target, options)
    return target.getvalue().decode(), summary


class Eraser:
    def __init__(self) -> None:
        self.erased: list[str | None] = []

    def erase(
        self,
        field: str,
        *,
        tokens: Sequence[str | None] | None = None,
        values: Sequence[str | None] | None = None,
    ) -> Erased:
        cells = values if tokens is None else tokens
        assert cells is not None
        self.erased += cells
        return Erased(len(cells), {}, 0)


def cells_of(text: str) -> set[str]:
    """Returns whatever stands between delimiters, line ends and quotes."""
    return set(text.replace("\n", ",").replace('"', ",").split(","))


def joined(values: Sequence[str], width: int, chosen: int, place: int) -> str:
    """Writes a row a value; a quote opens in the first and closes in the last, at a place."""
    rows = [[f"x{number}{at}" for at in range(width)] for number, _ in enumerate(values)]
    for row, value in zip(rows, values, strict=True):
        row[chosen] = value
    rows[0][place] = '"' + rows[0][place]
    rows[-1][place] += '"'
    return "".join(",".join(row) + "\n" for row in rows)


def check_left_out(values: Sequence[str], width: int, chosen: int, place: int) -> None:
    header = ",".join(f"n{at}" for at in range(width)) + "\n"
    good = ",".join("other" for _ in range(width)) + "\n"
    text = header + good + joined(values, width, chosen, place) + good
    out, summary = convert(text, f"n{chosen}")
    assert not cells_of(out) & set(values)
    assert summary.rejects == {("", "ROW_MALFORMED"): 1}
    assert summary.written == 2

    eraser = Eraser()
    options = CsvOptions({f"n{chosen}": "field"}, delimiter=",")
    erased = erase_csv(eraser, io.BytesIO(text.encode()), options, by_value=True)
    assert erased.rejects == {("", "ROW_MALFORMED"): 1}
    assert eraser.erased == ["other", "other"]


@pytest.mark.parametrize("kind", SIMPLE)
def test_rows_in_a_cell_are_left_out_whatever_the_column_holds(kind: str) -> None:
    for swallowed, chosen in product((2, 3), range(3)):
        for place in {0, 1, 2} - {chosen}:
            check_left_out(KINDS[kind][:swallowed], 3, chosen, place)


@pytest.mark.parametrize("width", [2, 4, 7])
def test_rows_in_a_cell_are_left_out_wherever_it_stands(width: int) -> None:
    for swallowed, chosen in product((2, 3), range(width)):
        for place in set(range(width)) - {chosen}:  # there all of it is one value, and converted
            check_left_out(KINDS["word"][:swallowed], width, chosen, place)


UUIDS = (
    "id,account,note\n"
    '1,0b5c7d1e-9a57-4f0e-8d35-0f1f6f1c9a01,"see below\n'
    "2,77aa10fe-1c2b-4e6d-9b11-5d6e7f809102,ok\n"
    '3,c0ffee00-beef-4bad-8abc-0123456789ab,said so"\n'
    "4,9d8c7b6a-5f4e-4d3c-8b2a-190817263544,ok\n"
)


def test_the_message_names_the_cell_and_the_option() -> None:
    out, summary = convert(UUIDS, "account")
    assert out == "id,account,note\n4,τ,ok\n"
    [reject] = summary.first_rejects
    assert (reject.row, reject.line) == (1, 2)
    assert "cell 3" in reject.message
    assert "--trust-quotes" in reject.message
    trusted, _ = convert(UUIDS, "account", trust_quotes=True)
    assert trusted.count("τ") == 2


@pytest.mark.parametrize(
    "text",
    [
        # The closing quote of an honest note is lost.
        'id,v,note\n1,Bo,"two\nlines\n2,Al,x\n3,Cy,end"\n',
        # The one that opens it is, in the row that closes the pair.
        'id,v,note,x\n1,Bo,"see,x\n2,Al,two\nlines",x\n',
        # It is doubled, before the delimiter and at the end of the line.
        'id,note,v\n1,"two\nlines"",Al\n2,x",Cy\n',
        'id,note,v\n1,"a, b"",Al\n2,x",Cy\n',
        # Quotes that open a cell close the pair, and turn what follows inside out.
        'id,v,note\n1,Bo,"see\n2,Al,"\n<p>hello</p>\n"\n3,Cy,x\n',
        'id,note,v,x\n1,"see,Bo,x\n2,",x\n3,y",Cy,x\n',
        # Cells of several lines in two columns, each by a stray quote.
        'id,a,v,b\n1,"x,Al,y\n2,z",Bo,"y\n3,z,Cy,y"\n',
        'id,a,b,v\n1,"x,y,Al\n2",z,"y,Bo\n3,z,w",Cy\n',
        # A row between has a delimiter too many.
        'id,v,note\n1,Bo,"see\n2,Al,ok,more\n3,Cy,end"\n',
        # A blank line between, and empty cells in quotes.
        'id,v,note\n1,Bo,"see\n\n2,Al,""\n3,Al,""""\n4,Cy,end"\n',
    ],
)
def test_other_ways_in_which_quotes_join_rows(text: str) -> None:
    for chunk_rows in (1, 5_000):
        try:
            out, _ = convert(text, "v", chunk_rows=chunk_rows)
        except CsvError:
            continue
        assert not cells_of(out) & {"Al", "Bo", "Cy"}


@pytest.mark.parametrize(
    "text",
    [
        'id,v,"note\n1,Al,x"\n2,Bo,y\n',
        'id,v,"note\n1,Al",x\n',
        'id,v,"note\n1,Al",x\n2,Bo,y\n3,Cy,y\n4,z,Cy,w\n',
    ],
)
def test_rows_joined_to_the_header_are_refused(text: str) -> None:
    target = io.BytesIO()
    options = CsvOptions({"v": "field"}, delimiter=",")
    with pytest.raises(CsvError, match=r"^line 1, the header: .*--trust-quotes"):
        convert_csv(tokens, io.BytesIO(text.encode()), target, options)
    assert target.getvalue() == b""


def test_an_honest_header_of_several_lines_goes_through() -> None:
    text = '"id\nnumber","v\n(new)"\nx,τ\n'
    assert convert(text, "v\n(new)")[0] == text
    for text in ('"id, or\nnumber","v\n(new)"\nx,τ\n', '"id\nnumber","v\n(new)"\n'):
        with pytest.raises(CsvError, match=r"^line 1, the header: .*--trust-quotes"):
            convert(text, "v\n(new)")
        assert convert(text, "v\n(new)", trust_quotes=True)[0] == text


HONEST = {
    "address": '"12 Main St, Flat 4\nLeeds, LS1 4AP\nUnited Kingdom"',
    "note": '"Called on Monday, wants a refund.\nWe said no, but will look again."',
    "json": '"{\n  ""a"": 1,\n  ""b"": [1, 2],\n  ""c"": ""x""\n}"',
    "html": '"<p>\n<b>Hello</b>, Bo\n</p>"',
    "one word a line": '"x\ny\nz"',
}


@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("place", range(6))
def test_honest_cells_of_several_lines_go_through(kind: str, place: int) -> None:
    """In a file of six columns: no line has enough delimiters, with what another has, for rows."""
    for chosen in {0, 1, 3, 5} - {place}:
        row = [f"x{at}" for at in range(6)]
        row[chosen], row[place] = "4711", HONEST[kind]
        text = "a,b,c,d,e,f\n" + ",".join(row) + "\n"
        out, summary = convert(text, "abcdef"[chosen])
        assert summary.written == 1, (kind, place, chosen)
        assert HONEST[kind] in out


def test_a_line_whose_chosen_cell_would_be_empty_is_no_row_with_a_value() -> None:
    text = 'json,v\n"{\n  ""a"": 1,\n  ""b"": 2\n}",4711\n'
    assert convert(text, "v")[1].written == 1


def test_cells_of_several_lines_of_chosen_columns_are_values() -> None:
    text = 'id,address,v\n1,"12 Main St, Flat 4\nLeeds, LS1 4AP",4711\n'
    assert convert(text, "address", "v")[0] == "id,address,v\n1,τ,τ\n".replace("1,τ", '1,"τ"')
