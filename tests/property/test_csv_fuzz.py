"""Any bytes as a CSV file, against Python's csv in strict mode as the oracle.

No chosen value in the output, every record written or rejected, untouched bytes untouched.
`make test` looks for seconds, `make soak` for minutes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.spellings import ACCEPTED
from vault.bulk import CsvError, CsvOptions, OnReject, Summary, convert_csv
from vault.client import Column, ItemError

_SHORT = examples(5)
_LONG = settings(max_examples=25_000, deadline=None, suppress_health_check=list(HealthCheck))
_ESCAPED_WORD = re.compile(r"\\\w")
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_tokens(_field: str, values: Sequence[str]) -> Column:
    """Answers with tokens that hold nothing of a value as it was, and refuses a few."""
    refused = {
        index: ItemError(index, "VALUE_NOT_IN_FORMAT", "no", False)
        for index, value in enumerate(values)
        if value.startswith("!")
    }
    made = [f"T{value.encode().hex()}" for value in values]
    return Column(["" if at in refused else text for at, text in enumerate(made)], refused, 0)


def to_values(_field: str, tokens: Sequence[str]) -> Column:
    return Column([bytes.fromhex(token[1:]).decode() for token in tokens], {}, 0)


def convert(data: bytes, options: CsvOptions, *, back: bool = False) -> tuple[bytes, Summary]:
    target = io.BytesIO()
    service = to_values if back else to_tokens
    summary = convert_csv(service, io.BytesIO(data), target, options)
    return target.getvalue(), summary


@dataclass
class Parsed:
    """What the oracle says of a record: its text in the file, and what it means."""

    text: str
    values: list[str]


def oracle(data: bytes, options: CsvOptions) -> list[Parsed] | None:
    """Returns what Python's csv reads in strict mode, or None where it refuses."""
    text = data.decode("utf-8", "surrogateescape")
    lines: list[str] = []

    def noted() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            lines.append(line)
            yield line

    reader = csv.reader(
        noted(),
        delimiter=options.delimiter or ",",
        escapechar=options.escape,
        quoting=csv.QUOTE_MINIMAL if options.quoting else csv.QUOTE_NONE,
        strict=True,
    )
    found: list[Parsed] = []
    try:
        for values in reader:
            found.append(Parsed("".join(lines), values or [""]))
            lines.clear()
    except csv.Error:
        return None
    return found


_MARKS = (b'"', b'"', b'""', b",", b",", b",", b"\n", b"\n", b"\r\n", b"\r", b"\\", b";", b" ")
_TEXTS = (b"ab", b"!", b"4111111111111111", "é".encode(), b"\xff", b"\0", b"\\N", b"\x1f")
PIECES = st.sampled_from([*_MARKS, *_TEXTS, b"\xef\xbb\xbf"])
OPTIONS = st.builds(
    CsvOptions,
    st.just({"card": "card_number"}),
    st.just(","),
    st.sampled_from([OnReject.SKIP_ROW, OnReject.EMPTY_CELL]),
    st.integers(1, 4),
    st.sampled_from([None, None, "\\"]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([(), ("\\N",)]),
    st.just({}),
    st.just(True),  # the guards against honest CSV have tests of their own
    st.just(True),
)
FILES = st.builds(
    lambda header, pieces: header + b"".join(pieces),
    st.sampled_from([b"id,card\n", b"card\r\n", b'"card",id,note\n', b"", b'id,"card']),
    st.lists(PIECES, max_size=40),
)


def holds(data: bytes, options: CsvOptions) -> None:
    """Holds a conversion to what the oracle reads."""
    records = oracle(data, options)
    try:
        out, summary = convert(data, options)
    except CsvError:
        may_refuse(data, records, options)
        return
    assert records is not None, "the oracle refuses the file"
    header, *rows = records
    place, width = header.values.index("card"), len(header.values)
    kept, expected, malformed = [header.text], [header.values], 0
    for row in rows:
        values = list(row.values)
        if values == [""] and row.text.strip("\r\n") == "" and width > 1:
            keep(kept, row.text)
            expected.append(values)
            continue
        malformed += len(values) != width
        if len(values) != width:
            continue
        value = values[place]
        if value and not is_null(row, value, options):
            fails = value.startswith("!") or _SURROGATE.search(value)
            if fails and options.on_reject is OnReject.SKIP_ROW:
                continue
            values[place] = "" if fails else f"T{value.encode().hex()}"
        keep(kept, row.text)
        expected.append(values)
    if options.escape and _ESCAPED_WORD.search(data.decode("utf-8", "surrogateescape")):
        return  # such cells may be rejected as well
    found = oracle(out, options)
    assert found is not None
    assert [record.values for record in found] == expected
    rejected = sum(summary.rejects.values())
    assert summary.rejects["", "ROW_MALFORMED"] == malformed
    if options.on_reject is OnReject.SKIP_ROW:
        assert summary.written + rejected == summary.rows
        if options.escape is None:
            assert convert(out, options, back=True)[0] == "".join(kept).encode(
                "utf-8", "surrogateescape"
            )
    else:
        assert summary.written == summary.rows - malformed


def keep(kept: list[str], text: str) -> None:
    # A row was left out between them, and CR LF would be one line end.
    kept.append("\r" if text == "\n" and kept[-1].endswith("\r") else text)


def is_null(row: Parsed, value: str, options: CsvOptions) -> bool:
    return bool(options.nulls) and value in options.nulls


def may_refuse(data: bytes, records: list[Parsed] | None, options: CsvOptions) -> None:
    """Holds that nothing is refused but what a strict reader has a reason to."""
    if records is None or not records or records[0].values.count("card") != 1:
        return
    if options.escape and b"\\" in data:
        return
    first = data.split(b"\n")[0]
    bare = options.quoting and any('"' in value for record in records for value in record.values)
    assert bare or b"\0" in first or first.startswith((b"\xff\xfe", b"\x1f\x8b", b"\xef\xbb\xbf"))


@given(data=FILES, options=OPTIONS)
@_SHORT
def test_any_bytes_convert_as_the_strict_parser_reads_them(
    data: bytes, options: CsvOptions
) -> None:
    holds(data, options)


@pytest.mark.soak
@given(data=FILES, options=OPTIONS)
@_LONG
def test_any_bytes_convert_as_the_strict_parser_reads_them_for_minutes(
    data: bytes, options: CsvOptions
) -> None:
    holds(data, options)


def of(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(alphabet), min_size=size, max_size=size)


def written(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(template.format, *parts)


DIGITS, CAPITALS = "0123456789", "ABCDEFGHJKLMNPRSTUVWXYZ"
FOUR, NAME = of(DIGITS, 4), of("abdeiklmnorstu", 5).map(str.title)
KINDS: dict[str, st.SearchStrategy[str]] = {
    "uuid": st.uuids().map(str),
    "pin": FOUR,
    "word": of("aeioust", 4),
    "name": written("{} {}", NAME, NAME) | written('{}, {} "Al"', NAME, NAME),
    "postcode": written("{}{} {}{}", of("SENW", 2), of(DIGITS, 1), of(DIGITS, 1), of("ABDE", 2)),
    "address": st.sampled_from(
        ["{} Main Street", "Flat {}, Hill St", "{} Hill St\nLeeds, Y"]
    ).flatmap(lambda shape: written(shape, of(DIGITS, 3))),
    "passport": of(CAPITALS + DIGITS, 9),
    "vin": of(CAPITALS + DIGITS, 17),
    "phone": st.sampled_from(["+49 30 {}", "(030) {}-7", "030/{}", "0049-30-{}", "030 {}"]).flatmap(
        lambda shape: written(shape, of(DIGITS, 6))
    ),
    "card": st.sampled_from(["{} {} {} {}", "{}-{}-{}-{}", "{}{}{}{}"]).flatmap(
        lambda shape: written(shape, FOUR, FOUR, FOUR, FOUR)
    ),
    "iban": written("DE{}", of(DIGITS, 20)) | written("NL{}ABNA{}", of(DIGITS, 2), of(DIGITS, 10)),
    "e-mail": written("{}@ex.org", of("abdeiklmnorstu", 7)),
    **{kind: st.sampled_from(texts) for kind, texts in ACCEPTED.items() if len(texts) > 5},
}
NOTE = st.sampled_from(
    ["", "", "x", "a, b", 'say ""hi""', "two\nlines", "1, 2", "é", "\n<p>,</p>\n", "\n", '""']
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[list[str], list[str], bytes]:
    """Draws a proper file with a few quotes and backslashes put in or taken out.

    Returns the values of its chosen columns, their names, and the file.
    """
    width = draw(st.integers(2, 5))
    chosen = draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=2, unique=True))
    size, quoted = draw(st.integers(1, 8)), draw(st.booleans())
    rows = [[f"c{at}" for at in range(width)]]
    rows += [[draw(NOTE) for _ in range(width)] for _ in range(size)]
    values = draw(
        st.sampled_from(sorted(KINDS)).flatmap(
            lambda kind: st.lists(KINDS[kind], min_size=1, max_size=size * len(chosen), unique=True)
        )
    )
    for value, (row, place) in zip(values, product(rows[1:], chosen), strict=False):
        row[place] = value.replace('"', '""')
    for row in rows:
        for at, text in enumerate(row):
            if quoted or any(mark in text for mark in ',"\r\n'):
                row[at] = f'"{text}"'
    if draw(st.booleans()):  # a pair: from a cell's beginning to the end of one further down
        column = draw(st.integers(0, width - 1))
        first = draw(st.integers(0, size))
        last = draw(st.integers(first, size))
        rows[first][column] = '"' + rows[first][column]
        rows[last][column] += '"'
    text = "\n".join(",".join(row) for row in rows) + "\n"
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        # A quote at the edge of a cell opens or closes one: anywhere else it is soon refused.
        edges = [at for at in range(len(text)) if text[at] in ",\n" or text[at - 1] in ",\n"]
        at = draw(st.sampled_from(edges) | st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(['"', '"', '"', '""', '\\"', "\\"])) + text[at:]
    quotes = [at for at, char in enumerate(text) if char == '"']
    if quotes and draw(st.integers(0, 3)) == 0:
        at = draw(st.sampled_from(quotes))
        text = text[:at] + text[at + 1 :]
    return values, [f"c{at}" for at in chosen], text.encode()


def no_value_gets_out(values: list[str], columns: list[str], data: bytes) -> None:
    """Holds that no value is printed or left unerased in silence, whatever joins its row."""
    options = CsvOptions(dict.fromkeys(columns, "field"), delimiter=",", trust_header=True)
    sent: set[str] = set()

    def answers(_field: str, cells: Sequence[str]) -> Column:
        sent.update(cells)
        strange = [at for at, cell in enumerate(cells) if cell not in values]
        errors = {at: ItemError(at, "TOKEN_NOT_FOUND", "no", False) for at in strange}
        return Column(["" if at in errors else "τ" for at in range(len(cells))], errors, 0)

    target = io.BytesIO()
    try:
        summary = convert_csv(answers, io.BytesIO(data), target, options)
    except CsvError as error:
        assert target.getvalue() == b""
        assert not any(len(value) > 6 and value in error.message for value in values)
        return
    out = target.getvalue().decode()
    cells = {cell.strip(' "') for cell in re.split('[,\n\r]|""', out)}
    assert not [value for value in values if value in cells or (len(value) > 6 and value in out)]
    assert summary.rejects or sent >= set(values)


@given(file=damaged())
@_SHORT
def test_no_value_gets_out_of_a_file_with_stray_quotes(
    file: tuple[list[str], list[str], bytes],
) -> None:
    no_value_gets_out(*file)


@pytest.mark.soak
@given(file=damaged())
@_LONG
def test_no_value_gets_out_of_a_file_with_stray_quotes_for_minutes(
    file: tuple[list[str], list[str], bytes],
) -> None:
    no_value_gets_out(*file)
