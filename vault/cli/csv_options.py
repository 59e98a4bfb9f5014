"""Options of the commands on CSV files: the file, its columns, how it is written."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from vault.bulk import CsvOptions, OnReject, Summary
from vault.bulk.shell import shell_word
from vault.cli.connection import ServiceConnection
from vault.cli.printable import one_line
from vault.client import Client

__all__ = [
    "ColumnOption",
    "CsvFileOptions",
    "InputArgument",
    "RejectsOption",
    "client_with_progress",
    "input_source",
    "outcome_json",
    "parse_columns",
    "warning_lines",
]


Progress = Callable[[int, int], None]


def _named_file(path: Path | None) -> Path | None:
    if path is not None and str(path) == "-":
        raise typer.BadParameter("rejects need a file: standard output has the rows or the summary")
    if path is not None and path.exists() and not path.is_file():
        raise typer.BadParameter(f"rejects need a file, and {path} is none: leave --rejects out")
    return path


InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT", help="CSV file, or - for standard input.")
]
ColumnOption = Annotated[
    list[str],
    typer.Option(
        "--column",
        "-c",
        metavar="NAME=FIELD",
        help="A column and the policy field it holds (repeat). NAME alone: both are the same.",
    ),
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=_named_file,
        help="CSV of the cells that failed: where and why, no values.",
    ),
]


@dataclass(frozen=True, slots=True)
class CsvFileOptions:
    """How a CSV file is written, and how a command over it works and reports."""

    delimiter: Annotated[
        str | None,
        typer.Option(
            help=r"Character between cells, \t for a tab. Default: of a sep= line, or the header."
        ),
    ] = None
    escape: Annotated[
        str | None,
        typer.Option(
            metavar="CHAR",
            help=r"Character that escapes quotes and itself, as the \ of MySQL and Spark. "
            'Default: none; a quote is written "".',
        ),
    ] = None
    no_quoting: Annotated[
        bool, typer.Option("--no-quoting", help="Quotes are text like any other.")
    ] = False
    null: Annotated[
        list[str] | None,
        typer.Option(
            "--null",
            metavar="MARKER",
            help=r"Text of cells without a value, such as \N or NULL; they stay as they are "
            "(repeat).",
        ),
    ] = None
    trust_quotes: Annotated[
        bool,
        typer.Option("--trust-quotes", help="Cells that read as rows of the file are cells."),
    ] = False
    trust_header: Annotated[
        bool,
        typer.Option(
            "--trust-header", help="The first line is a header, though it reads as a row."
        ),
    ] = False
    batch_size: Annotated[int, typer.Option(min=1, max=10_000, help="Values in one request.")] = (
        1_000
    )
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one line of JSON.")
    ] = False

    def bulk_options(
        self,
        columns: Sequence[str],
        on_reject: OnReject,
        region_columns: Mapping[str, str] | None = None,
    ) -> CsvOptions:
        """Returns the options of the conversion. Raises typer.BadParameter."""
        return CsvOptions(
            parse_columns(columns),
            # A shell passes a tab as two characters where it is written so.
            "\t" if self.delimiter == r"\t" else self.delimiter,
            on_reject,
            escape=self.escape,
            quoting=not self.no_quoting,
            nulls=self.null or (),
            region_columns=region_columns or {},
            trust_quotes=self.trust_quotes,
            trust_header=self.trust_header,
        )


def parse_columns(pairs: Sequence[str]) -> dict[str, str]:
    """Reads --column options: header name -> field. Raises typer.BadParameter."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        # A column's name may hold an equals sign; a field's cannot.
        name, sign, field = pair.rpartition("=")
        name = name if sign else field
        if not name or not field:
            raise typer.BadParameter(f"--column {shell_word(pair)} is not NAME=FIELD")
        if name in chosen:
            raise typer.BadParameter(f"--column names {shell_word(name)} twice")
        chosen[name] = field
    return chosen


def input_source(name: str) -> Path | BinaryIO:
    """Returns the file, or standard input for ``-``."""
    return sys.stdin.buffer if name == "-" else Path(name)


def warning_lines(summary: Summary) -> list[str]:
    """Returns what was done as asked and may not be what was meant. Holds no value."""
    found = [
        f"{one_line(column)}: {count:,} x {text} was taken for a value; "
        f"--null {shell_word(text)} leaves such cells"
        for (column, text), count in sorted(summary.null_like.items())
    ]
    found += [
        f"{one_line(column)}: {count:,} x the column's own name as a value; is the header there "
        "twice, or is there none?"
        for column, count in sorted(summary.names_repeated.items())
    ]
    return found


def outcome_json(summary: Summary) -> dict[str, object]:
    """Returns the rejects and, where there are any, the warnings, for a summary in JSON."""
    warnings = warning_lines(summary)
    return {
        "rejects": [
            {"column": column, "reason": reason, "count": count}
            for (column, reason), count in sorted(summary.rejects.items())
        ],
        **({"warnings": warnings} if warnings else {}),
    }


@contextmanager
def client_with_progress(
    connection: ServiceConnection, source: str, batch_size: int
) -> Iterator[tuple[Client, Progress | None]]:
    """Yields a client and, at a terminal, a function that moves the progress bar.

    A signal ends the run as Ctrl-C does, so that unfinished files are removed.
    """
    with (
        _exit_on_signals(),
        connection.open(batch_size=batch_size) as client,
        _progress_bar(source) as progress,
    ):
        yield client, progress


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    # SIGHUP: what a closed terminal sends; an unfinished file may hold plaintext.
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_bar(source: str) -> Iterator[Progress | None]:
    if not sys.stderr.isatty():
        yield None
        return
    # Imported late: nothing else needs it.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as ProgressBar

    total = Path(source).stat().st_size if source != "-" and Path(source).is_file() else None
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeElapsedColumn())
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, rows=0)
        yield lambda rows, position: progress.update(task, completed=position, rows=rows)
