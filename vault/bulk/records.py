"""CSV read so that it can be written back byte for byte.

The csv module forgets how a cell was quoted. Here a record keeps the text of each cell
as it stood in the file (quotes and all), so that what is not replaced stays as it was.
What a cell means is read as the csv module reads it: a quote opens a quoted cell only as
its first character, a doubled quote inside stands for one, and records end at LF, CR LF
or CR outside quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["DELIMITERS", "CsvError", "Dialect", "Record", "guess_delimiter"]

DELIMITERS = ",;\t|"

_MAX_RECORD = 1 << 20
_QUOTED = re.compile(r'"((?:[^"]|"")*+)"')


class CsvError(Exception):
    """The file cannot be read as asked. The message names place and remedy, never a value."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        cells: each cell's text as it stands in the file, quotes included.
        ending: the line ending, empty at the end of a file that has none there.
        line: number of the record's first line, from 1.
    """

    cells: list[str] = field(repr=False)
    ending: str
    line: int


def guess_delimiter(line: str) -> str:
    """Returns the character of ``DELIMITERS`` that a header line holds most of outside quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=bare.count)


class Dialect:
    """How one file separates its cells."""

    def __init__(self, delimiter: str) -> None:
        """Takes one character, neither a quote nor a line ending, or raises CsvError."""
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise CsvError("the delimiter must be one character, and no quote or line ending")
        self.delimiter = delimiter
        other = f"[^{re.escape(delimiter)}]*+"
        # Possessive: an open quote must not be closed early by giving characters back.
        self._cell = re.compile(f'"(?:[^"]|"")*+"{other}|(?!"){other}')

    def records(self, lines: Iterable[str]) -> Iterator[Record]:
        """Reads records of lines that keep their endings.

        Raises:
            CsvError: a quote is never closed, or a record is longer than 1 Mi characters.
        """
        held: list[str] = []
        first, size = 1, 0
        for number, line in enumerate(lines, start=1):
            if not held:
                first, size = number, 0
            held.append(line)
            size += len(line)
            # A line without a quote cannot close the one that is open.
            record = None
            if len(held) == 1 or '"' in line:
                record = self._record("".join(held), first)
            if record is not None:
                held = []
                yield record
            elif size > _MAX_RECORD:
                raise CsvError(f"line {first}: over {_MAX_RECORD} characters; is a quote open?")
        if held:
            raise CsvError(f"line {first}: a quote is opened and never closed")

    def _record(self, text: str, line: int) -> Record | None:
        body = _without_ending(text)
        cells = body.split(self.delimiter) if '"' not in body else self._split(body)
        return None if cells is None else Record(cells, text[len(body) :], line)

    def _split(self, body: str) -> list[str] | None:
        """Splits a record at its delimiters; None while a quote is open."""
        cells: list[str] = []
        at = 0
        while found := self._cell.match(body, at):
            cells.append(found[0])
            at = found.end()
            if at == len(body):
                return cells
            at += 1
        return None

    @staticmethod
    def value(cell: str) -> str:
        """Returns what a cell's text stands for."""
        quoted = _QUOTED.match(cell)
        if quoted is None:
            return cell
        return quoted[1].replace('""', '"') + cell[quoted.end() :]

    def text(self, value: str, replaced: str) -> str:
        """Writes a value as a cell: quoted where the cell it replaces was, or where it must be."""
        must = value.startswith('"') or any(mark in value for mark in (self.delimiter, "\r", "\n"))
        if must or replaced.startswith('"'):
            return '"' + value.replace('"', '""') + '"'
        return value


def _without_ending(text: str) -> str:
    for ending in ("\r\n", "\n", "\r"):
        if text.endswith(ending):
            return text[: -len(ending)]
    return text
