"""Options of a run over a file, and its summary. Nothing here holds a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vault.bulk.records import CsvError
from vault.bulk.shell import shell_word

__all__ = ["CsvOptions", "OnReject", "Reject", "RejectedError", "Summary"]


class OnReject(StrEnum):
    """What happens to the row of a cell that fails."""

    SKIP_ROW = "skip-row"
    EMPTY_CELL = "empty-cell"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a file is converted.

    Attributes:
        columns: header name -> field of the policy.
        delimiter: one character, or None to take it from a ``sep=`` line or the header.
        chunk_rows: rows held in memory at a time.
        escape: the character that escapes quotes, as the backslash of MySQL and Spark.
        quoting: whether quotes have a meaning; if not, they are text.
        nulls: cells that are one of these stand for no value, and stay as they are.
        region_columns: field -> column whose cells name the country of the row's value.
        trust_quotes: take a cell of several lines for one cell where it reads as rows.
        trust_header: take the first record for the header where it reads as a row.
    """

    columns: Mapping[str, str]
    delimiter: str | None = None
    on_reject: OnReject = OnReject.SKIP_ROW
    chunk_rows: int = 5_000
    escape: str | None = None
    quoting: bool = True
    nulls: Collection[str] = ()
    region_columns: Mapping[str, str] = field(default_factory=dict)
    trust_quotes: bool = False
    trust_header: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """One cell that failed (or a whole row, with ``column`` empty). Never a value.

    Attributes:
        row: the row's number, from 1 after the header, blank lines not counted.
        line: number of the row's first line in the file, from 1.
    """

    row: int
    line: int
    column: str
    field: str
    reason: str
    message: str
    retryable: bool = False


class RejectedError(CsvError):
    """A cell failed and the options say to stop; nothing was written."""

    def __init__(self, reject: Reject) -> None:
        where = f"row {reject.row} (line {reject.line}), column {shell_word(reject.column)}"
        super().__init__(f"{where}: {reject.reason}: {reject.message}")
        self.reject = reject


@dataclass(slots=True)
class Summary:
    """What a run did.

    Attributes:
        rows: rows read, without header and blank lines; ``written`` those that came out.
        converted, empty: cells per column; a cell that holds a null marker counts as empty.
        null_like: cells per (column, text) that were taken for values and seldom are, as NULL.
        names_repeated: rows per column whose cell is the column's own name.
        rejects: cells per (column, reason); a malformed row counts once, column empty.
        first_rejects: the first twenty.
    """

    rows: int = 0
    written: int = 0
    converted: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    null_like: Counter[tuple[str, str]] = field(default_factory=Counter)
    names_repeated: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_rejects: list[Reject] = field(default_factory=list)

    def count(self, reject: Reject) -> None:
        """Adds one reject."""
        self.rejects[reject.column, reject.reason] += 1
        if len(self.first_rejects) < 20:
            self.first_rejects.append(reject)
