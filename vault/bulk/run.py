"""One file, converted: reads, converts, checks and writes a chunk at a time."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Protocol, TextIO

from vault.bulk.guard import (
    ValueProfile,
    is_blank,
    joined_records,
    refuse_joined_header,
    refuse_misread,
    refuse_row_as_header,
    rows_in_cell,
)
from vault.bulk.header import NOT_UTF8, read_header
from vault.bulk.joined import JoinedEnds
from vault.bulk.outcome import CsvOptions, OnReject, Reject, RejectedError, Summary
from vault.bulk.records import CsvError, CsvRecord
from vault.bulk.regions import group_by_region, parse_region
from vault.bulk.shell import shell_word
from vault.client import CallError, Column, ItemError

__all__ = ["ConvertRegion", "Run"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_REJECT_COLUMNS = ("row", "line", "column", "field", "reason", "message", "retryable")
_NULL_LIKE = frozenset(
    ("\\N", "NULL", "Null", "null", "(null)", "<NA>", "NA", "N/A", "#N/A", "NaN", "nan", "None")
)


def _not_in_format(message: str) -> ItemError:
    return ItemError(0, "VALUE_NOT_IN_FORMAT", message, False)


_NOT_UTF8 = _not_in_format(f"the cell {NOT_UTF8}")
_AMBIGUOUS = _not_in_format(
    "the cell has an escape before a letter or digit, which programs read in different ways: "
    r"write what is meant, or name it with --null if it is a marker such as \N"
)
_UNWRITABLE = ItemError(
    0,
    "CELL_NOT_WRITABLE",
    "the answer holds a delimiter or line end, which cannot be written without quotes",
    False,
)


def _about(column: str, field_name: str) -> str:
    """Says what a call was about, by the names that the caller chose."""
    about = f"column {shell_word(column)}, field {shell_word(field_name)}"
    if column == field_name:
        about += "; a column alone stands for a field of the same name, NAME=FIELD for another"
    return about


class ConvertRegion(Protocol):
    """Converts cells of a field, which are of one region; empty is the policy's."""

    def __call__(self, field_name: str, values: Sequence[str], region: str) -> Column:
        """Returns an answer or an error for each cell, in their order."""
        ...


@dataclass(slots=True)
class _Line:
    """A record being converted; number 0 is a blank line."""

    record: CsvRecord
    number: int = 0
    malformed: bool = False
    rejects: tuple[Reject, ...] = ()

    @property
    def is_row(self) -> bool:
        """Whether it is a row of the header's width."""
        return self.number > 0 and not self.malformed


class Run:
    """Converts one file; ``next_chunk`` until it returns False."""

    def __init__(
        self,
        convert: ConvertRegion,
        options: CsvOptions,
        source: TextIO,
        target: BinaryIO,
        rejects: TextIO | None,
    ) -> None:
        self.summary = Summary()
        self._convert = convert
        self._options = options
        self._nulls = frozenset(options.nulls)
        self._target = target
        self._rejects = csv.writer(rejects) if rejects is not None else None
        if self._rejects is not None:
            self._rejects.writerow(_REJECT_COLUMNS)
        csv_input = read_header(source, options)
        self._dialect = csv_input.dialect
        self._records = csv_input.records
        self._positions = csv_input.positions
        self._width = len(csv_input.header.cells)
        self._region_positions = {
            field_name: (column, csv_input.position_of(column))
            for field_name, column in options.region_columns.items()
        }
        # Written with the first chunk: a call that is refused leaves no output behind.
        self._header: CsvRecord | None = csv_input.header
        self._before = csv_input.before
        self._ending = csv_input.header.ending
        self._after_cr = False
        self._after_bad = False

    def next_chunk(self) -> bool:
        """Converts the next rows; False when there are none left."""
        records = list(islice(self._records, self._options.chunk_rows))
        header, self._header = self._header, None
        if header is not None and not self._options.trust_header:
            chosen = [position for position, _ in self._positions.values()]
            refuse_row_as_header(header, records, chosen)
        lines = [self._line(record) for record in records]
        if not self._options.trust_quotes:
            self._check_cells(header, lines)
        rows = [line for line in lines if line.is_row]
        for column in self._positions:
            self._convert_column(column, rows)
        for line in lines:
            for reject in line.rejects:
                self._report(reject)
        kept = [line for line in lines if not self._is_left_out(line)]
        self.summary.written += sum(line.number > 0 for line in kept)
        self._write(header, [line.record for line in kept])
        return bool(records)

    def _peek(self) -> CsvRecord | None:
        """Returns the next record that is no blank line, and leaves it to be read."""
        read: list[CsvRecord] = []
        for record in self._records:
            read.append(record)
            if not is_blank(record, self._width):
                break
        self._records = chain(read, self._records)
        return read[-1] if read else None

    def _line(self, record: CsvRecord) -> _Line:
        width = len(record.cells)
        if is_blank(record, self._width):
            return _Line(record)
        self.summary.rows += 1
        line = _Line(record, self.summary.rows)
        if width != self._width:
            message = f"{len(record.cells)} cells where the header has {self._width}"
            self._mark_malformed(line, message)
        return line

    @staticmethod
    def _mark_malformed(line: _Line, message: str) -> None:
        line.malformed = True
        line.rejects += (
            Reject(line.number, line.record.line, "", "", "ROW_MALFORMED", message, False),
        )

    def _check_cells(self, header: CsvRecord | None, lines: Sequence[_Line]) -> None:
        if header is not None and header.height > 1:
            fitting = sum(line.is_row for line in lines)
            rows = sum(line.number > 0 for line in lines)
            refuse_joined_header(header, self._dialect, fitting, rows)
        if max((line.record.height for line in lines), default=1) > 1:
            profiles = {
                position: ValueProfile(
                    [line.record.values[position] for line in lines if line.is_row]
                )
                for position, _ in self._positions.values()
            }
            ahead = self._peek() if lines[-1].record.height > 1 else None
            records = [line.record for line in lines]
            broken = ahead is not None and len(ahead.cells) != self._width
            beside = JoinedEnds(self._after_bad, broken)
            found = joined_records(records, self._width, self._dialect, profiles, beside)
            for at, position in found.items():
                self._mark_malformed(lines[at], rows_in_cell(position))
        last = next((line for line in reversed(lines) if line.number), None)
        if last is not None:
            self._after_bad = last.malformed

    def _is_left_out(self, line: _Line) -> bool:
        # The cells of a malformed row may stand under the wrong names: none may go out.
        skipping = self._options.on_reject is OnReject.SKIP_ROW
        return line.malformed or (skipping and bool(line.rejects))

    def _convert_column(self, column: str, rows: Sequence[_Line]) -> None:
        """Replaces one column's cells in place; a cell that fails becomes empty."""
        position, field_name = self._positions[column]
        escaping, nulls = self._dialect.escape is not None, self._nulls
        sent: list[_Line] = []
        values: list[str] = []
        for line in rows:
            record = line.record
            value, cell = record.values[position], record.cells[position]
            if not value or (nulls and (value in nulls or cell in nulls)):
                self.summary.empty[column] += 1
            elif not value.isascii() and _SURROGATE.search(value):
                self._reject(line, column, _NOT_UTF8)
            elif escaping and self._dialect.is_ambiguous(cell):
                self._reject(line, column, _AMBIGUOUS)
            else:
                sent.append(line)
                values.append(value)
        self._count_suspicious(column, values)
        if field_name in self._region_positions:
            self._convert_by_region(column, sent, values)
        else:
            self._replace(column, sent, values, "")

    def _count_suspicious(self, column: str, values: Sequence[str]) -> None:
        for text in _NULL_LIKE.intersection(values):
            self.summary.null_like[column, text] += values.count(text)
        if column in values:
            self.summary.names_repeated[column] += values.count(column)

    def _convert_by_region(self, column: str, sent: Sequence[_Line], values: Sequence[str]) -> None:
        region_column, position = self._region_positions[self._positions[column][1]]
        regions = [
            parse_region(line.record.values[position], value)
            for line, value in zip(sent, values, strict=True)
        ]
        unknown = _not_in_format(
            f"column {shell_word(region_column)} names no country of the number by its "
            "two-letter code, as in DE"
        )
        for line, region in zip(sent, regions, strict=True):
            if region is None:
                self._reject(line, column, unknown)
        known = [index for index, region in enumerate(regions) if region is not None]
        for name, positions in group_by_region([regions[index] or "" for index in known]).items():
            those = [known[index] for index in positions]
            self._replace(column, [sent[at] for at in those], [values[at] for at in those], name)

    def _replace(
        self, column: str, sent: Sequence[_Line], values: Sequence[str], region: str
    ) -> None:
        if not values:
            return
        position, field_name = self._positions[column]
        try:
            answer = self._convert(field_name, values, region)
        except CallError as failure:
            failure.add_note(_about(column, field_name))
            raise
        if len(answer.values) != len(values):
            raise CsvError(f"field {field_name}: the answer is not as long as the request")
        converted = 0
        for at, (line, text) in enumerate(zip(sent, answer.values, strict=True)):
            record = line.record
            error = answer.errors.get(at)
            if error is not None:
                self._reject(line, column, error)
                continue
            if not text:
                raise CsvError(f"field {field_name}: an item came back empty and without an error")
            cell = self._dialect.text(text, record.cells[position])
            if cell is None:
                self._reject(line, column, _UNWRITABLE)
                continue
            if cell != text and record.cells is record.values:
                record.cells = record.values.copy()
            record.values[position] = text
            record.cells[position] = cell
            converted += 1
        self.summary.converted[column] += converted

    def _reject(self, line: _Line, column: str, error: ItemError) -> None:
        position, field_name = self._positions[column]
        line.record.cells[position] = line.record.values[position] = ""
        if self._width == 1 and not line.record.ending:
            line.record.ending = self._ending  # a last line of nothing would be no line
        line.rejects += (
            Reject(
                line.number,
                line.record.line,
                column,
                field_name,
                error.reason,
                error.message,
                error.retryable,
            ),
        )

    def _report(self, reject: Reject) -> None:
        if self._options.on_reject is OnReject.STOP:
            raise RejectedError(reject)
        self.summary.count(reject)
        if self._rejects is not None:
            self._rejects.writerow([getattr(reject, name) for name in _REJECT_COLUMNS])

    def _write(self, header: CsvRecord | None, records: list[CsvRecord]) -> None:
        if header is not None:
            records = [header, *records]
        self._separate_line_ends(records)
        join = self._dialect.delimiter.join
        text = "".join([join(record.cells) + record.ending for record in records])
        refuse_misread(text, [record.values for record in records], self._dialect)
        self._target.write((self._before + text).encode("utf-8", "surrogateescape"))
        self._before = ""

    def _separate_line_ends(self, records: list[CsvRecord]) -> None:
        """Keeps a CR and a line of nothing but LF apart, where the row between is left out.

        They would be one line end, and a record lost: the lone LF becomes a CR.
        """
        if not self._after_cr and all(record.ending != "\r" for record in records):
            return
        for record in records:
            if self._after_cr and record.ending == "\n" and record.cells == [""]:
                record.ending = "\r"
            self._after_cr = record.ending == "\r"
