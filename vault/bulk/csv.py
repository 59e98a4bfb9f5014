"""Tokenizes and detokenizes chosen columns of a CSV file through the client.

The file streams through in chunks, in constant memory. Everything that is not replaced
(byte order mark, header, other cells, quoting, line endings, blank lines) comes out byte
for byte. A replaced cell is quoted where the cell before it was, or where it must be.
Bytes that are no UTF-8 pass through untouched cells and reject a chosen one.

A cell that fails never reaches the output: its row is left out (the default), or the cell
is emptied, or the run stops. Empty cells are not values; they stay and are counted.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TextIO

from vault.bulk.atomic import atomic_output
from vault.bulk.outcome import CsvOptions, OnReject, Reject, RejectedError, Summary
from vault.bulk.records import CsvError, Dialect, Record, guess_delimiter
from vault.client import Client, Column, ItemError

__all__ = ["convert_csv", "detokenize_csv", "erase_csv", "tokenize_csv"]

_BOM = "\ufeff"
_SURROGATE = re.compile("[\ud800-\udfff]")
_UTF16 = ("\udcff\udcfe", "\udcfe\udcff")
_REJECT_COLUMNS = ("row", "line", "column", "field", "reason", "message", "retryable")
_NOT_UTF8 = ItemError(0, "VALUE_NOT_IN_FORMAT", "the cell is not UTF-8", False)

Convert = Callable[[str, Sequence[str]], Column]
Progress = Callable[[int, int], None]


def tokenize_csv(
    client: Client,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    *,
    regions: Mapping[str, str] | None = None,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Replaces the values of the chosen columns by their tokens. See ``convert_csv``.

    Args:
        regions: by field, the country that its phone numbers are of in this file.
    """
    chosen = regions or {}
    strange = chosen.keys() - set(options.columns.values())
    if strange:
        raise CsvError(f"a region is given for field {min(strange)!r}, which no column holds")

    def convert(field_name: str, values: Sequence[str]) -> Column:
        return client.tokenize(field_name, values, region=chosen.get(field_name, ""))

    return convert_csv(convert, source, target, options, rejects=rejects, progress=progress)


def detokenize_csv(
    client: Client,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    *,
    view: str = "",
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Replaces the tokens of the chosen columns by a view of their values. See ``convert_csv``."""

    def convert(field_name: str, tokens: Sequence[str]) -> Column:
        return client.detokenize(field_name, tokens, view=view)

    return convert_csv(convert, source, target, options, rejects=rejects, progress=progress)


def erase_csv(
    client: Client,
    source: Path | BinaryIO,
    options: CsvOptions,
    *,
    by_value: bool = False,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Erases what the chosen columns name, tokens or values; the file stays as it is.

    ``converted`` of the summary counts what is erased, ``written`` the rows without a
    reject. See ``convert_csv``; a run that is stopped has erased what came before.
    """

    def convert(field_name: str, cells: Sequence[str]) -> Column:
        if by_value:
            done = client.erase(field_name, values=cells)
        else:
            done = client.erase(field_name, tokens=cells)
        marks: list[str | None] = ["" if at in done.errors else "x" for at in range(len(cells))]
        return Column(marks, done.errors, done.skipped)

    with Path(os.devnull).open("wb") as nowhere:
        return convert_csv(convert, source, nowhere, options, rejects=rejects, progress=progress)


def convert_csv(
    convert: Convert,
    source: Path | BinaryIO,
    target: Path | BinaryIO,
    options: CsvOptions,
    *,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Converts the chosen columns of ``source`` into ``target``.

    A target and a rejects file given as paths have mode 0600 and appear only when the
    whole run has ended well; source, target and rejects must be three files, since rows
    that are left out would otherwise be nowhere. ``progress`` is called after each
    chunk with the rows and the bytes read so far (0 bytes where the source cannot tell).

    Raises:
        CsvError: the file or the options do not fit; RejectedError where told to stop.
        CallError: the service refused a call, or stayed unavailable.
        OSError: a file cannot be read or written.
    """
    _refuse_shared_files(source=source, output=target, rejects=rejects)
    with ExitStack() as stack:
        read = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        write = stack.enter_context(atomic_output(target)) if isinstance(target, Path) else target
        text = io.TextIOWrapper(read, encoding="utf-8", errors="surrogateescape", newline="")
        stack.callback(text.detach)
        log: TextIO | None = None
        if rejects is not None:
            log = io.TextIOWrapper(
                stack.enter_context(atomic_output(rejects)), encoding="utf-8", newline=""
            )
            stack.callback(log.detach)
        run = _Run(convert, options, text, write, log)
        while run.next_chunk():
            if progress is not None:
                progress(run.summary.rows, read.tell() if read.seekable() else 0)
        return run.summary


def _refuse_shared_files(**streams: Path | BinaryIO | None) -> None:
    seen: dict[Path, str] = {}
    for name, stream in streams.items():
        if isinstance(stream, Path):
            other = seen.setdefault(stream.resolve(), name)
            if other != name:
                raise CsvError(
                    f"the {name} and the {other} are one file, and rows would be lost: "
                    "name another file"
                )


@dataclass(slots=True)
class _Line:
    """A record on its way; number 0 is a blank line."""

    record: Record
    number: int = 0
    rejects: list[Reject] = field(default_factory=list)


class _Run:
    """One file on its way: reads, converts and writes a chunk at a time."""

    def __init__(
        self,
        convert: Convert,
        options: CsvOptions,
        source: TextIO,
        target: BinaryIO,
        rejects: TextIO | None,
    ) -> None:
        self.summary = Summary()
        self._convert = convert
        self._chunk_rows = options.chunk_rows
        self._on_reject = options.on_reject
        self._target = target
        self._rejects = csv.writer(rejects) if rejects is not None else None
        if self._rejects is not None:
            self._rejects.writerow(_REJECT_COLUMNS)
        first = source.readline()
        if first.startswith(_UTF16) or "\0" in first:
            raise CsvError("the file is not UTF-8 (UTF-16, by its first bytes): convert it first")
        bom, first = (_BOM, first[1:]) if first.startswith(_BOM) else ("", first)
        self._dialect = Dialect(options.delimiter or guess_delimiter(first))
        self._records = self._dialect.records(chain([first] if first else [], source))
        header = next(self._records, None)
        if header is None:
            raise CsvError("the file is empty: its first line must name the columns")
        self._width = len(header.cells)
        self._places = self._find(options, [self._dialect.value(cell) for cell in header.cells])
        # Written with the first chunk: a call that is refused leaves no output behind.
        self._header = bom + self._text(header)

    @staticmethod
    def _find(options: CsvOptions, names: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Returns the place and field of each chosen column."""
        if not options.columns:
            raise CsvError("no column was chosen")
        for column in options.columns:
            # The header is not quoted back: in a file without one it is a row of values.
            if names.count(column) != 1:
                what = "more than once in" if column in names else "not in"
                raise CsvError(f"column {column!r} is {what} the header ({len(names)} columns)")
        return {name: (names.index(name), chosen) for name, chosen in options.columns.items()}

    def next_chunk(self) -> bool:
        """Converts the next rows; False when there are none left."""
        lines = [self._line(record) for record in islice(self._records, self._chunk_rows)]
        rows = [line for line in lines if line.number and not line.rejects]
        for column in self._places:
            self._convert_column(column, rows)
        for line in lines:
            for reject in line.rejects:
                self._report(reject)
        kept = [line for line in lines if not self._is_left_out(line)]
        self.summary.written += sum(line.number > 0 for line in kept)
        self._write(self._header + "".join(self._text(line.record) for line in kept))
        self._header = ""
        return bool(lines)

    def _line(self, record: Record) -> _Line:
        if record.cells == [""] and self._width > 1:
            return _Line(record)
        self.summary.rows += 1
        line = _Line(record, self.summary.rows)
        if len(record.cells) != self._width:
            message = f"{len(record.cells)} cells where the header has {self._width}"
            line.rejects.append(
                Reject(line.number, record.line, "", "", "ROW_MALFORMED", message, False)
            )
        return line

    def _is_left_out(self, line: _Line) -> bool:
        # The cells of a malformed row may stand under the wrong names: none may go out.
        malformed = bool(line.number) and len(line.record.cells) != self._width
        return malformed or (bool(line.rejects) and self._on_reject is OnReject.SKIP_ROW)

    def _convert_column(self, column: str, rows: Sequence[_Line]) -> None:
        """Replaces one column's cells in place; a cell that fails becomes empty."""
        place, field_name = self._places[column]
        sent: list[_Line] = []
        values: list[str] = []
        for line in rows:
            value = self._dialect.value(line.record.cells[place])
            if not value:
                self.summary.empty[column] += 1
            elif _SURROGATE.search(value):
                line.record.cells[place] = ""
                line.rejects.append(_reject(line, column, field_name, _NOT_UTF8))
            else:
                sent.append(line)
                values.append(value)
        if not values:
            return
        answer = self._convert(field_name, values)
        if len(answer.values) != len(values):
            raise CsvError(f"field {field_name}: the answer is not as long as the request")
        for at, (line, text) in enumerate(zip(sent, answer.values, strict=True)):
            cells = line.record.cells
            error = answer.errors.get(at)
            if error is not None:
                cells[place] = ""
                line.rejects.append(_reject(line, column, field_name, error))
            elif text:
                cells[place] = self._dialect.text(text, cells[place])
                self.summary.converted[column] += 1
            else:
                raise CsvError(f"field {field_name}: an item came back empty and without an error")

    def _report(self, reject: Reject) -> None:
        if self._on_reject is OnReject.STOP:
            raise RejectedError(reject)
        self.summary.count(reject)
        if self._rejects is not None:
            self._rejects.writerow([getattr(reject, name) for name in _REJECT_COLUMNS])

    def _text(self, record: Record) -> str:
        return self._dialect.delimiter.join(record.cells) + record.ending

    def _write(self, text: str) -> None:
        self._target.write(text.encode("utf-8", "surrogateescape"))


def _reject(line: _Line, column: str, field_name: str, error: ItemError) -> Reject:
    return Reject(
        line.number,
        line.record.line,
        column,
        field_name,
        error.reason,
        error.message,
        error.retryable,
    )
