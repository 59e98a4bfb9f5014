"""What stands behind the reader: signs that a file means something else than it says.

Strict reading finds every quote that is wrong by itself. Two stray quotes can make a pair:
then rows stand in one cell, as CSV has it, and nobody converts the values in them. And a file
without a header loses its first row to it. Both show by what the chosen columns hold.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from vault.bulk.records import CsvError, Dialect, Record

__all__ = ["Look", "is_row", "refuse_misread", "rows_in_cells"]

_LEAST = 5  # letters or digits: a shorter value may stand anywhere by chance
_NEAR = 3  # characters by which what fits may be longer or shorter: cards have 13 to 19
_ENDING = re.compile("\r\n|\r|\n")
_DIGITS = re.compile("[0-9]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Look:
    """What the values of one column look like. Nothing is worked out before it is asked."""

    def __init__(self, values: Iterable[str]) -> None:
        self._given = values
        self._values: set[str] | None = None
        self._token_specs: set[str] = set()
        self._lengths = range(0)
        self._known = False

    def fits(self, text: str) -> bool:
        """Tells whether a text is one of the values, or a number or address much like them."""
        if self._values is None:
            self._values = {value for value in self._given if _is_long(value)}
            self._token_specs = {_shape(value) for value in self._values} - {""}
            self._known = any(self._given)
            lengths = [len(value) for value in self._values] or [0]
            self._lengths = range(min(lengths) - _NEAR, max(lengths) + _NEAR + 1)
        if text in self._values:
            return True
        if not self._known:
            return bool(_shape(text))  # nothing to compare it with
        return len(text) in self._lengths and _shape(text) in self._token_specs


def _is_long(value: str) -> bool:
    return len(value) >= _LEAST and sum(map(str.isalnum, value)) >= _LEAST


def _shape(text: str) -> str:
    """Returns what a number or address looks like, however long it is; "" for words."""
    if _MAIL.fullmatch(text):
        return "@"
    if sum(char in "0123456789" for char in text) < _LEAST:
        return ""
    return _LETTERS.sub("a", _DIGITS.sub("9", text))


def rows_in_cells(record: Record, dialect: Dialect, width: int, looks: Mapping[int, Look]) -> bool:
    """Tells whether lines of a record's cells read as rows of the file.

    They do where a line, by itself, has the header's width or more, and in the place of a
    chosen column, counted from the left or the right, something that fits the column and
    stands in a cell that is not chosen.

    Args:
        looks: by place, what the chosen columns hold.
    """
    if record.height == 1:
        return False
    blank = f' \t"{dialect.escape or ""}'
    for line, inside in _lines_of_cells(record, dialect.delimiter, looks):
        if line.count(dialect.delimiter) < width - 1:
            continue
        for pieces in _readings(line, dialect.delimiter):
            if len(pieces) < width:
                continue
            for place, look in looks.items():
                for piece in {pieces[place].strip(blank), pieces[place - width].strip(blank)}:
                    if piece and piece in inside and look.fits(piece):
                        return True
    return False


def _lines_of_cells(
    record: Record, delimiter: str, chosen: Collection[int]
) -> Iterator[tuple[str, str]]:
    """Yields the file's lines that cells of several lines touch, and the cell's part of each."""
    parts = [_ENDING.split(cell) for cell in record.cells]
    line: list[str] = []  # what stands before the cell in the line it begins in
    for place, lines in enumerate(parts):
        if len(lines) > 1 and place not in chosen:
            yield delimiter.join([*line, lines[0]]), lines[0]
            yield from ((each, each) for each in lines[1:-1])
            yield delimiter.join([lines[-1], *_up_to_line_end(parts, place + 1)]), lines[-1]
        if len(lines) > 1:
            line = []
        line.append(lines[-1])


def _up_to_line_end(parts: Sequence[list[str]], place: int) -> Iterator[str]:
    for at in range(place, len(parts)):
        yield parts[at][0]
        if len(parts[at]) > 1:
            return


def _readings(line: str, delimiter: str) -> Iterator[list[str]]:
    yield line.split(delimiter)
    if '"' in line:
        # A row may have delimiters in proper quotes, and the quotes too many besides.
        yield next(csv.reader([line], delimiter=delimiter), [])


def is_row(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """Returns the place of a header's cell that reads like the values beneath it, or None.

    A number of five digits or more, or an e-mail address, that looks like most of them. Years
    and numbers as names of columns do not, nor do words: those are taken for a header.
    """
    for place, name in enumerate(header):
        shape = _shape(name.strip())
        if not shape:
            continue
        cells = [row[place].strip() for row in rows if len(row) > place and row[place]]
        alike = sum(_shape(cell) == shape for cell in cells)
        if not rows or (cells and 2 * alike >= len(cells)):
            return place
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
