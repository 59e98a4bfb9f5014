"""What the commands over CSV files take: the file, its columns, how it is written."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from vault.bulk import Summary
from vault.bulk.shell import shell_word
from vault.cli.printable import one_line

__all__ = [
    "BatchOption",
    "ColumnOption",
    "DelimiterOption",
    "EscapeOption",
    "InputArgument",
    "JsonOption",
    "NoQuotingOption",
    "NullOption",
    "RejectsOption",
    "TrustHeaderOption",
    "TrustQuotesOption",
    "chosen_columns",
    "delimiter_of",
    "input_of",
    "progress_bar",
    "terminable",
    "warnings_of",
]


def _named_file(path: Path | None) -> Path | None:
    if path is not None and str(path) == "-":
        raise typer.BadParameter("rejects need a file: standard output has the rows or the summary")
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
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        help=r"Character between cells, \t for a tab. Default: of a sep= line, or the header."
    ),
]
EscapeOption = Annotated[
    str | None,
    typer.Option(
        metavar="CHAR",
        help=r"Character that escapes quotes and itself, as the \ of MySQL and Spark. "
        'Default: none; a quote is written "".',
    ),
]
NoQuotingOption = Annotated[
    bool, typer.Option("--no-quoting", help="Quotes are text like any other.")
]
NullOption = Annotated[
    list[str] | None,
    typer.Option(
        "--null",
        metavar="MARKER",
        help=r"Text of cells without a value, such as \N or NULL; they stay as they are (repeat).",
    ),
]
TrustQuotesOption = Annotated[
    bool,
    typer.Option("--trust-quotes", help="Cells that read as rows of the file are cells."),
]
TrustHeaderOption = Annotated[
    bool,
    typer.Option("--trust-header", help="The first line is a header, though it reads as a row."),
]
BatchOption = Annotated[int, typer.Option(min=1, max=10_000, help="Values in one request.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")]


def chosen_columns(pairs: Sequence[str]) -> dict[str, str]:
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


def delimiter_of(option: str | None) -> str | None:
    r"""Reads --delimiter, which a shell passes as two characters where it is ``\t``."""
    return "\t" if option == r"\t" else option


def input_of(name: str) -> Path | BinaryIO:
    """Returns the file, or standard input for ``-``."""
    return sys.stdin.buffer if name == "-" else Path(name)


def warnings_of(summary: Summary) -> list[str]:
    """Says what was done as asked and may not be what was meant. Holds no value."""
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


@contextmanager
def terminable() -> Iterator[None]:
    """Ends by SIGTERM as by Ctrl-C, so that unfinished files go away."""

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
def progress_bar(source: str) -> Iterator[Callable[[int, int], None] | None]:
    """Shows how far a run is where somebody looks; yields what is to be told."""
    if not sys.stderr.isatty():
        yield None
        return
    # Imported late: nothing else needs it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    total = Path(source).stat().st_size if source != "-" and Path(source).is_file() else None
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, rows=0)
        yield lambda rows, position: progress.update(task, completed=position, rows=rows)
