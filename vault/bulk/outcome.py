"""What a run over a file is asked to do, and what it did. Nothing here holds a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vault.bulk.records import CsvError

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
        delimiter: one character, or None to take it from the header line.
        chunk_rows: rows held in memory at a time.
    """

    columns: Mapping[str, str]
    delimiter: str | None = None
    on_reject: OnReject = OnReject.SKIP_ROW
    chunk_rows: int = 5_000


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
        where = f"row {reject.row} (line {reject.line}), column {reject.column!r}"
        super().__init__(f"{where}: {reject.reason}: {reject.message}")
        self.reject = reject


@dataclass(slots=True)
class Summary:
    """What a run did.

    Attributes:
        rows: rows read, without header and blank lines; ``written`` those that came out.
        converted, empty: cells per column.
        rejects: cells per (column, reason); a malformed row counts once, column empty.
        first_rejects: the first twenty.
    """

    rows: int = 0
    written: int = 0
    converted: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_rejects: list[Reject] = field(default_factory=list)

    def count(self, reject: Reject) -> None:
        """Adds one reject."""
        self.rejects[reject.column, reject.reason] += 1
        if len(self.first_rejects) < 20:
            self.first_rejects.append(reject)
