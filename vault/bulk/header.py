"""Reading one file up to its header: its type, how its cells are separated, its columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TextIO

from vault.bulk.outcome import CsvOptions
from vault.bulk.records import CsvError, CsvRecord, Dialect, guess_delimiter
from vault.bulk.shell import shell_word

__all__ = ["NOT_UTF8", "CsvInput", "read_header"]

_BOM = "\ufeff"
_SEP = re.compile('"?sep=(.)"?(\r\n|\n|\r)', re.IGNORECASE)
_MAX_HEADER = 1 << 20
_MAX_BEFORE_HEADER = 20  # lines
_SURROGATE = re.compile("[\ud800-\udfff]")
NOT_UTF8 = "is not UTF-8: convert the file first, as with iconv -f WINDOWS-1252 -t UTF-8"

# What begins so is no text, whatever its name ends with.
_SIGNATURES = (
    (b"\x1f\x8b", "compressed with gzip: decompress it first, as with gzip -dc FILE"),
    (b"PK\x03\x04", "a zip archive (as an .xlsx workbook is): take the CSV file out of it first"),
    (b"BZh", "compressed with bzip2: decompress it first, as with bzip2 -dc FILE"),
    (b"\xfd7zXZ\0", "compressed with xz: decompress it first, as with xz -dc FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: decompress it first, as with zstd -dc FILE"),
    (b"7z\xbc\xaf", "a 7z archive: take the CSV file out of it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV UTF-8 first"),
    (b"PAR1", "a Parquet file: write it as CSV first, or use the Python client on its columns"),
    (b"%PDF", "a PDF: it holds no CSV"),
    (b"\xff\xfe\0\0", "UTF-32: convert it first, as with iconv -f UTF-32 -t UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32: convert it first, as with iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16: convert it first, as with iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16: convert it first, as with iconv -f UTF-16 -t UTF-8"),
)


@dataclass(frozen=True, slots=True)
class CsvInput:
    """A file whose header has been read.

    Attributes:
        before: what stands before the header: a byte order mark, a ``sep=`` line.
        records: those after the header.
        taken: how the delimiter was found, for messages.
        positions: by column chosen, its position in the header and its field.
    """

    before: str
    dialect: Dialect
    header: CsvRecord
    records: Iterator[CsvRecord] = field(repr=False)
    taken: str
    positions: Mapping[str, tuple[int, str]]

    def position_of(self, column: str) -> int:
        """Returns where a column is. Raises CsvError where the header does not have it once."""
        return _position(column, self.header, self.taken)


def read_header(source: TextIO, options: CsvOptions) -> CsvInput:
    """Reads up to the end of the header, and finds the chosen columns in it.

    Raises:
        CsvError: this is no CSV, or the header cannot be read or lacks a column.
    """
    if not options.columns:
        raise CsvError("no column was chosen")
    first = source.readline()
    _refuse_other_files(first)
    before, first = (_BOM, first[1:]) if first.startswith(_BOM) else ("", first)
    number, delimiter, taken = 1, options.delimiter, "given"
    separator = _SEP.fullmatch(first)
    if separator is not None:
        if delimiter is not None and delimiter != separator[1]:
            raise CsvError(
                f"line 1 names the delimiter {_shown(separator[1])} and --delimiter "
                f"{_shown(delimiter)}: leave --delimiter out, or fix the line"
            )
        delimiter, taken = separator[1], "named by the sep= line"
        before, first, number = before + first, source.readline(), 2
    lines = _header_lines(first, source, options)
    make = partial(
        Dialect,
        escape=options.escape,
        quoting=options.quoting,
        trust_quotes=options.trust_quotes,
    )
    if delimiter is None:
        delimiter, taken = guess_delimiter("".join(lines), make), "taken from the header"
    dialect = make(delimiter)
    records = dialect.records(chain(lines, source), number)
    header = next(records, None)
    if header is None:
        raise CsvError("the file is empty: its first line must name the columns")
    taken = f"delimiter {_shown(delimiter)}, {taken}"
    try:
        positions = {
            name: (_position(name, header, taken), chosen)
            for name, chosen in options.columns.items()
        }
    except CsvError as error:
        raise CsvError(error.message + _late_header(header, source, options)) from None
    return CsvInput(before, dialect, header, records, taken, positions)


def _late_header(header: CsvRecord, source: TextIO, options: CsvOptions) -> str:
    """Says where the header is, where other lines stand before it."""
    what = ""
    if not any(name.strip() for name in header.values):
        what = "empty"
    elif header.values[0].lstrip().startswith("#"):
        what = "a comment"
    hint = f"; line {header.line} is {what}" if what else ""
    following = islice(source, _MAX_BEFORE_HEADER)
    for number, line in enumerate(following, header.line + header.height):
        delimiters = re.escape(options.delimiter) if options.delimiter else "[,;|\t]"
        cells = {cell.strip().strip('"') for cell in re.split(delimiters, line)}
        if cells.issuperset(options.columns):
            return (
                f"{hint}; the header seems to be in line {number}: leave out what stands before "
                f"it, as with tail -n +{number} FILE"
            )
    return hint


def _shown(delimiter: str) -> str:
    # As --delimiter takes it.
    return r"'\t'" if delimiter == "\t" else shell_word(delimiter)


def _refuse_other_files(first: str) -> None:
    begin = first[:64].encode("utf-8", "surrogateescape")
    for signature, what in _SIGNATURES:
        if begin.startswith(signature):
            raise CsvError(f"the file is not UTF-8 text; by its first bytes it is {what}")
    if "\0" in first:
        raise CsvError(
            "the file is not UTF-8 text: its first line holds NUL bytes, as in UTF-16; "
            "convert it first, as with iconv -f UTF-16LE -t UTF-8"
        )


def _header_lines(first: str, source: TextIO, options: CsvOptions) -> list[str]:
    """Returns the lines that the header takes, whatever the delimiter will be."""
    lines = [first] if first else []
    if not options.quoting or not first:
        return lines
    # Inside a record quotes come in pairs; one that is escaped is none of a pair.
    escaped = re.compile(f"{re.escape(options.escape)}(?s:.)" if options.escape else "(?!)")
    quotes, size = escaped.sub("", first).count('"'), len(first)
    while quotes % 2 and size <= _MAX_HEADER:
        line = source.readline()
        if not line:
            break
        lines.append(line)
        size += len(line)
        quotes += escaped.sub("", line).count('"')
    return lines


def _position(column: str, header: CsvRecord, taken: str) -> int:
    names = header.values
    if names.count(column) == 1:
        return names.index(column)
    what = "more than once in" if column in names else "not in"
    width = "1 column" if len(names) == 1 else f"{len(names)} columns"
    where = f"the header ({width}) of line {header.line} ({taken})"
    raise CsvError(f"column {shell_word(column)} is {what} {where}" + _column_hint(column, names))


def _column_hint(column: str, names: Sequence[str]) -> str:
    """Returns a hint at the column that may have been meant.

    No other cell of the header is quoted back: in a file without one it is a row of values.
    """
    if column in names:
        return ": give each column a name of its own"
    for position, name in enumerate(names, start=1):
        if _normalized(name) == _normalized(column):
            differs = f"column {position} differs in {_difference(name, column)}"
            return f": {differs}; choose it as {shell_word(name)}"
    if any(_SURROGATE.search(name) for name in names):
        return f"; the header {NOT_UTF8}"
    return ""


def _normalized(name: str) -> str:
    """Returns what is left of a name without blanks, case and Unicode form."""
    return _visible(unicodedata.normalize("NFKC", _nfkc(name).casefold()))


def _nfkc(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _visible(name: str) -> str:
    """Returns a name without blanks, and without invisible characters."""
    return "".join(
        char
        for char in name
        if not char.isspace() and unicodedata.category(char) not in ("Cc", "Cf")
    )


def _difference(name: str, column: str) -> str:
    if _visible(name) == _visible(column):
        return "blanks, or in characters that nobody sees"
    if name.casefold() == column.casefold():
        return "case"
    return "Unicode form" if _nfkc(name) == _nfkc(column) else "blanks, case or Unicode form"
