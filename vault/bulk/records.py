"""CSV read so that it can be written back byte for byte.

The csv module of Python, in strict mode, says what a record is and what its cells mean. It
forgets how a cell was quoted, so each cell's text as it stands in the file is found again
beside it: the texts, delimiters and the line ending must be the record, character for
character, or the file is refused. Two readings that disagree are how a value ends in a cell
where nobody looks for it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

__all__ = ["DELIMITERS", "CsvError", "CsvRecord", "Dialect", "guess_delimiter"]

DELIMITERS = ",;\t|"

_MAX_RECORD = 1 << 20  # characters of a record of several lines: an open quote ends there
_MAX_CELL = 1 << 24
_ENDINGS = ("\r\n", "\n", "\r", "")
_REMEDY = (
    'write a quote inside a quoted cell as "", or say --escape CHAR where another character '
    "escapes it, or --no-quoting where quotes are plain text"
)
_BACKSLASH = r" (the record holds \" as MySQL and Spark write it: --escape '\')"


class CsvError(Exception):
    """The file cannot be read as asked. The message names place and remedy, never a value."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(slots=True)
class CsvRecord:
    """One record of a file.

    Attributes:
        cells: each cell's text as it stands in the file, quotes included.
        values: what each cell means; the same list as ``cells`` where no cell is quoted.
        ending: the line ending, empty at the end of a file that has none there.
        line: number of the record's first line, from 1.
        height: number of lines it takes.
    """

    cells: list[str] = field(repr=False)
    values: list[str] = field(repr=False)
    ending: str
    line: int
    height: int = 1


class Dialect:
    """How one file separates, quotes and escapes its cells."""

    def __init__(
        self,
        delimiter: str,
        *,
        escape: str | None = None,
        quoting: bool = True,
        trust_quotes: bool = False,
    ) -> None:
        """Takes single characters, or raises CsvError.

        Args:
            escape: stands before a character that means itself, inside quotes and outside.
            quoting: whether quotes have a meaning; if not, they are text like any other.
            trust_quotes: whether a record of several lines may be as long as a cell of one.
        """
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise CsvError("the delimiter must be one character, and no quote or line ending")
        if escape is not None and (len(escape) != 1 or escape in f'"\r\n{delimiter}'):
            raise CsvError(
                "the escape must be one character, and no quote, delimiter or line ending"
            )
        self.delimiter = delimiter
        self.escape = escape
        self.quoting = quoting
        self._max_record = _MAX_CELL if trust_quotes else _MAX_RECORD
        self._must_quote = re.compile(f'[{re.escape(delimiter + (escape or ""))}"\r\n]').search
        self._cell = self._unescaped = None
        if escape is not None:
            self._cell, self._unescaped = _escaping(delimiter, escape, quoting=quoting)

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Returns the csv module's own reader of this dialect, strict."""
        # A limit of the whole process. It is raised, never lowered: no other reader minds.
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
            strict=True,
        )

    def records(self, lines: Iterable[str], first: int = 1) -> Iterator[CsvRecord]:
        """Reads records of lines that keep their endings; ``first`` numbers the first line.

        Raises:
            CsvError: a record cannot be read safely, or is too long for one of several lines.
        """
        held: list[str] = []
        reader = self.reader(_holding(lines, held, self._max_record))
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                self._refuse(error, held, first)
            except _RecordTooLongError:
                raise CsvError(
                    f"line {first}: over {self._max_record} characters in a record of several "
                    f"lines; is a quote open? {_REMEDY}; {self._longer()}"
                ) from None
            if values is None:
                return
            height = len(held)
            text = held[0] if height == 1 else "".join(held)
            held.clear()
            yield self._record(text, values or [""], first, height)
            first += height

    def _longer(self) -> str:
        if self._max_record == _MAX_CELL:
            return "no record of several lines can be longer"
        return f"if it is one record, say --trust-quotes: then it may have {_MAX_CELL}"

    def _record(self, text: str, values: list[str], line: int, height: int) -> CsvRecord:
        if self.escape is not None and self.escape in text:
            cells = self._escaped_cells(text, values, line)
        elif self.quoting and '"' in text:
            cells = self._quoted_cells(text, values, line)
        else:
            cells = values  # such a record is its cells and delimiters
        body = self.delimiter.join(cells)
        ending = text[len(body) :]
        if ending not in _ENDINGS or not text.startswith(body):
            raise CsvError(f"line {line}: the record's cells do not add up to it; {_REMEDY}")
        return CsvRecord(cells, values, ending, line, height)

    @staticmethod
    def _quoted_cells(text: str, values: list[str], line: int) -> list[str]:
        """Returns each value as it must stand in the file to be read so."""
        if text.count('"') == 2 * len(values) and '"' not in "".join(values):
            # A cell has two quotes, or means one, or has none: so every cell has two.
            return [f'"{value}"' for value in values]
        cells: list[str] = []
        at = 0
        for value in values:
            if text.startswith('"', at):
                cell = '"' + value.replace('"', '""') + '"'
            elif '"' in value:
                raise CsvError(
                    f"line {line}: a quote stands in a cell that does not begin with one; {_REMEDY}"
                )
            else:
                cell = value
            cells.append(cell)
            at += len(cell) + 1
        return cells

    def _escaped_cells(self, text: str, values: list[str], line: int) -> list[str]:
        assert self._cell is not None
        assert self._unescaped is not None
        cells: list[str] = []
        at = 0
        for value in values:
            found = self._cell.match(text, at)
            if found is None or self._unescaped(found[0]) != value:
                raise CsvError(
                    f"line {line}: a quote, an escape or an escaped line ending stands where it "
                    f"cannot be read safely; {_REMEDY}"
                )
            cells.append(found[0])
            at = found.end() + 1
        return cells

    def _refuse(self, error: csv.Error, held: list[str], first: int) -> NoReturn:
        # The csv module's errors differ in their text alone; none of it is passed on.
        words, last = str(error), first + max(len(held), 1) - 1
        hint = _BACKSLASH if self.escape is None and any('\\"' in line for line in held) else ""
        if "unexpected end" in words:
            raise CsvError(
                f"line {first}: a quote is opened and never closed; {_REMEDY}{hint}"
            ) from None
        if "field limit" in words:
            raise CsvError(
                f"line {first}: a cell of over {_MAX_CELL} characters; is a quote open?"
            ) from None
        record = f", in a record that begins in line {first}" if last != first else ""
        raise CsvError(
            f"line {last}: text follows a closing quote{record}; {_REMEDY}{hint}"
        ) from None

    def text(self, value: str, replaced: str) -> str | None:
        """Writes a value as a cell: quoted where the cell it replaces was, or where it must be.

        Returns None where this dialect cannot write it: quotes would be needed and mean nothing.
        """
        if not self.quoting:
            return self._plain_text(value)
        if not (replaced.startswith('"') or self._must_quote(value)):
            return value
        if self.escape is None:
            return '"' + value.replace('"', '""') + '"'
        inner = value.replace(self.escape, self.escape * 2).replace('"', self.escape + '"')
        return f'"{inner}"'

    def _plain_text(self, value: str) -> str | None:
        if "\r" in value or "\n" in value:
            return None
        if self.escape is None:
            return None if self.delimiter in value else value
        doubled = value.replace(self.escape, self.escape * 2)
        return doubled.replace(self.delimiter, self.escape + self.delimiter)

    def is_ambiguous(self, cell: str) -> bool:
        """Returns whether a cell has an escape before a letter or digit, as MySQL's for NUL.

        Programs differ in what that means: a line end, a tab, nothing, or the letter itself.
        """
        return (
            self.escape is not None
            and self.escape in cell
            and any(
                pair[-1].isalnum() for pair in re.findall(f"{re.escape(self.escape)}(?s:.)", cell)
            )
        )


class _RecordTooLongError(Exception):
    """A record of several lines goes on and on."""


def _holding(lines: Iterable[str], held: list[str], most: int) -> Iterator[str]:
    """Yields lines and holds those of the record that is being read; who reads clears it."""
    size = 0
    for line in lines:
        if held:
            size += len(line)
            if size > most:
                raise _RecordTooLongError
        else:
            size = len(line)
        held.append(line)
        yield line


def _escaping(
    delimiter: str, escape: str, *, quoting: bool
) -> tuple[re.Pattern[str], Callable[[str], str]]:
    """Returns what a cell looks like, and what takes the escapes out of it."""
    mark = re.escape(escape)
    plain = f"(?:[^{re.escape(delimiter)}{mark}\r\n{chr(34) if quoting else ''}]++|{mark}(?s:.))*+"
    quoted = f'"(?:[^"{mark}]++|""|{mark}(?s:.))*+"'
    pair = re.compile(f"{mark}((?s:.))" + ('|"(")' if quoting else ""))
    cell = re.compile(f'{quoted}|(?!"){plain}' if quoting else plain)

    def unescaped(text: str) -> str:
        if quoting and text.startswith('"'):
            text = text[1:-1]
        return pair.sub(lambda found: found[found.lastindex or 0], text)

    return cell, unescaped


def guess_delimiter(header: str, make: Callable[[str], Dialect] = Dialect) -> str:
    """Returns the character of ``DELIMITERS`` that a header record has the most cells with.

    Args:
        header: the text of the record, which may take several lines.
        make: makes a dialect of a delimiter.
    """
    widths = {each: _width(header, make(each)) for each in DELIMITERS}
    if not any(widths.values()):
        bare = re.sub(r'"[^"]*"', "", header)
        return max(DELIMITERS, key=bare.count)
    return max(DELIMITERS, key=lambda each: widths[each])


def _width(header: str, dialect: Dialect) -> int:
    """Returns how many cells a header has, 0 where it cannot be read so."""
    try:
        records = list(dialect.records(io.StringIO(header, newline="")))
    except CsvError:
        return 0
    return len(records[0].cells) if len(records) == 1 else 0
