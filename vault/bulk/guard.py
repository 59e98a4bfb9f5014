"""Signs that a file means something else than strict parsing finds.

Strict parsing finds every quote that is wrong by itself. Two stray quotes can make a pair:
then rows stand in one cell, as CSV has it, and nobody converts the values in them. And a file
without a header loses its first row to it. Both show by what the chosen columns hold.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from vault.bulk.joined import LINE_END, JoinedEnds, joined_cell
from vault.bulk.records import CsvError, CsvRecord, Dialect

__all__ = [
    "ValueProfile",
    "is_blank",
    "joined_records",
    "refuse_joined_header",
    "refuse_misread",
    "refuse_row_as_header",
    "rows_in_cell",
]

_MIN_CHARACTERS = 5  # letters or digits: a shorter value may stand anywhere by chance
_ROWS_COMPARED = 200
_NEAR = 3  # characters by which what fits may be longer or shorter: cards have 13 to 19
_DIGITS = re.compile("[0-9]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class ValueProfile:
    """What the values of one column look like; computed on first use."""

    def __init__(self, values: Iterable[str]) -> None:
        self._given = values
        self._values: set[str] | None = None
        self._patterns: set[str] = set()
        self._lengths = range(0)
        self._known = False

    def matches(self, text: str) -> bool:
        """Returns whether a text is one of the values, or a number or address much like them."""
        if self._values is None:
            self._values = {value for value in self._given if _is_long(value)}
            self._patterns = {_pattern(value) for value in self._values} - {""}
            self._known = any(self._given)
            lengths = [len(value) for value in self._values] or [0]
            self._lengths = range(min(lengths) - _NEAR, max(lengths) + _NEAR + 1)
        if text in self._values:
            return True
        if not self._known:
            return bool(_pattern(text))  # nothing to compare it with
        return len(text) in self._lengths and _pattern(text) in self._patterns


def _is_long(value: str) -> bool:
    return len(value) >= _MIN_CHARACTERS and sum(map(str.isalnum, value)) >= _MIN_CHARACTERS


def _pattern(text: str) -> str:
    """Returns what a number or address looks like, however long it is; "" for words."""
    if _MAIL.fullmatch(text):
        return "@"
    if sum(char in "0123456789" for char in text) < _MIN_CHARACTERS:
        return ""
    return _LETTERS.sub("a", _DIGITS.sub("9", text))


def joined_records(
    records: Sequence[CsvRecord],
    width: int,
    dialect: Dialect,
    profiles: Mapping[int, ValueProfile],
    beside: JoinedEnds,
) -> dict[int, int]:
    """Finds records in whose cells rows may stand: their index, and the position of the cell.

    The lines of such a cell can be rows of the header's width with anything in the position of
    a chosen column. For rows of another width, which the file may have too, the profiles decide: a
    line with enough cells or more has in such a position, counted from the left or the right,
    something that fits the column and stands in a cell that is not chosen.

    Args:
        profiles: by position, what the chosen columns hold.
        beside: what comes before the first record and after the last.
    """
    found: dict[int, int] = {}
    known = [at for at, record in enumerate(records) if not is_blank(record, width)]
    bad = {at for at in known if len(records[at].cells) != width}

    def look_at(at: int, ends: JoinedEnds) -> None:
        record = records[at]
        if record.height == 1 or at in bad or at in found:
            return
        blank = f' \t"{dialect.escape or ""}'
        position = joined_cell(record.values, dialect.delimiter, profiles, blank, ends)
        if position is None:
            position = _look_alike(record, dialect, profiles)
        if position is not None:
            found[at] = position

    # Quotes that turn a row inside out leave no row beside it that fits, or a cell whose quote
    # has a delimiter inside.
    before: dict[int, bool] = {}
    inside = beside.begins_inside
    for at in known:
        before[at] = inside
        look_at(at, JoinedEnds(inside))
        inside = at in bad or _touches(records[at], str.endswith, dialect)
    inside = beside.ends_inside
    for at in reversed(known):
        if inside:
            look_at(at, JoinedEnds(before[at], True))
        inside = at in bad or _touches(records[at], str.startswith, dialect)
    return found


def _touches(record: CsvRecord, side: Callable[[str, str], bool], dialect: Dialect) -> bool:
    return record.height > 1 and any(
        side(value, dialect.delimiter) for value in record.values if LINE_END.search(value)
    )


def is_blank(record: CsvRecord, width: int) -> bool:
    """Returns whether a record is a blank line, where the header has more than one column."""
    return len(record.cells) == 1 < width and not record.cells[0]


def _look_alike(
    record: CsvRecord, dialect: Dialect, profiles: Mapping[int, ValueProfile]
) -> int | None:
    width, blank = len(record.cells), f' \t"{dialect.escape or ""}'
    for at, line, inside in _lines_of_cells(record, dialect.delimiter, profiles):
        if line.count(dialect.delimiter) < width - 1:
            continue
        for pieces in _readings(line, dialect.delimiter):
            if len(pieces) < width:
                continue
            for position, profile in profiles.items():
                for piece in {pieces[position].strip(blank), pieces[position - width].strip(blank)}:
                    if piece and piece in inside and profile.matches(piece):
                        return at
    return None


def _lines_of_cells(
    record: CsvRecord, delimiter: str, chosen: Collection[int]
) -> Iterator[tuple[int, str, str]]:
    """Yields the file's lines that cells of several lines touch, and the cell's part of each."""
    parts = [LINE_END.split(cell) for cell in record.cells]
    line: list[str] = []  # what stands before the cell in the line it begins in
    for position, lines in enumerate(parts):
        if len(lines) > 1 and position not in chosen:
            yield position, delimiter.join([*line, lines[0]]), lines[0]
            yield from ((position, each, each) for each in lines[1:-1])
            last = delimiter.join([lines[-1], *_up_to_line_end(parts, position + 1)])
            yield position, last, lines[-1]
        if len(lines) > 1:
            line = []
        line.append(lines[-1])


def _up_to_line_end(parts: Sequence[list[str]], position: int) -> Iterator[str]:
    for at in range(position, len(parts)):
        yield parts[at][0]
        if len(parts[at]) > 1:
            return


def _readings(line: str, delimiter: str) -> Iterator[list[str]]:
    yield line.split(delimiter)
    if '"' in line:
        # A row may have delimiters in proper quotes, and extra quotes as well.
        yield next(csv.reader([line], delimiter=delimiter), [])


def refuse_joined_header(header: CsvRecord, dialect: Dialect, fitting: int, rows: int) -> None:
    """Raises CsvError where a header may hold rows: delimiters in cells of several lines.

    Rows that it swallowed may have changed its width, too: then most rows do not fit it.

    Args:
        fitting: how many of the ``rows`` below it have its width.
    """
    fits = fitting and 2 * fitting >= rows
    for position, value in enumerate(header.values):
        if LINE_END.search(value) and (dialect.delimiter in value or not fits):
            raise CsvError(f"line {header.line}, the header: {rows_in_cell(position)}")


def rows_in_cell(position: int) -> str:
    """Says why a record is left out, or a header refused."""
    return (
        f"a cell of several lines reads as rows of this file (cell {position + 1}), as if two "
        "stray quotes joined them: fix the quotes, or, where all such cells of the file are in "
        "order, say --trust-quotes"
    )


def refuse_row_as_header(
    header: CsvRecord, records: Sequence[CsvRecord], chosen: Collection[int]
) -> None:
    """Raises CsvError where a chosen column's name reads like the values beneath it.

    A number of five digits or more, or an e-mail address, that looks like most of them. Other
    columns may be called what they like: that the chosen names are there makes it a header.
    """
    rows = [record.values for record in records[:_ROWS_COMPARED]]
    position = _position_of_value(header.values, rows, chosen)
    if position is not None:
        below = "like the values below it" if rows else "like a value"
        raise CsvError(
            f"line {header.line} was taken for the header, but its cell {position + 1} reads "
            f"{below}: add a line that names the columns, or say --trust-header"
        )


def _position_of_value(
    header: Sequence[str], rows: Sequence[Sequence[str]], chosen: Collection[int]
) -> int | None:
    for position in sorted(chosen):
        pattern = _pattern(header[position].strip())
        if not pattern:
            continue
        cells = [row[position].strip() for row in rows if len(row) > position and row[position]]
        alike = sum(_pattern(cell) == pattern for cell in cells)
        if not rows or (cells and 2 * alike >= len(cells)):
            return position
    return None


def refuse_misread(text: str, rows: list[list[str]], dialect: Dialect) -> None:
    """Raises CsvError where an output, read by the csv module, is not exactly its rows.

    No cell of it holds anything then but the input's own cell, or the service's answer to it.
    """
    found = _read(text, dialect)
    if found != rows and [values or [""] for values in found] != rows:
        raise CsvError("the output would not read back as it was written: the run ends here")


def _read(text: str, dialect: Dialect) -> list[list[str]]:
    try:
        return list(dialect.reader(io.StringIO(text, newline="")))
    except csv.Error:
        return []
