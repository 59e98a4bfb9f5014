"""``tokenvault tokenize`` and ``tokenvault detokenize``: columns of CSV files."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from vault.bulk import CsvOptions, OnReject, Summary, detokenize_csv, tokenize_csv
from vault.cli.connection import (
    AddressOption,
    CaOption,
    CertOption,
    DevOption,
    KeyOption,
    RoleOption,
    find_connection,
)
from vault.cli.exits import ExitCode

__all__ = [
    "BatchOption",
    "ColumnOption",
    "DelimiterOption",
    "InputArgument",
    "JsonOption",
    "RejectsOption",
    "chosen_columns",
    "detokenize",
    "input_of",
    "progress_bar",
    "terminable",
    "tokenize",
]

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
OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output."),
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV of the cells that failed: where and why, no values."),
]
OnRejectOption = Annotated[
    OnReject, typer.Option(help="What to do with a row that has a cell that failed.")
]
DelimiterOption = Annotated[
    str | None, typer.Option(help="Character between cells. Default: found in the header.")
]
BatchOption = Annotated[int, typer.Option(min=1, max=10_000, help="Values in one request.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="FIELD=XX",
        help="Country that a field's phone numbers are of in this file, as phone=DE (repeat).",
    ),
]
ViewOption = Annotated[
    str, typer.Option(help="View of the values, such as last4. Default: the one you may see.")
]


def tokenize(
    source: InputArgument,
    column: ColumnOption,
    output: OutputOption = "-",
    region: RegionOption = None,
    rejects: RejectsOption = None,
    on_reject: OnRejectOption = OnReject.SKIP_ROW,
    delimiter: DelimiterOption = None,
    batch_size: BatchOption = 1_000,
    as_json: JsonOption = False,
    dev: DevOption = None,
    role: RoleOption = None,
    address: AddressOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> None:
    """Replaces the values in columns of a CSV file by tokens.

    Cells that fail are left out with their row, so the output never holds a value of a
    chosen column. Empty cells stay empty. Exit code 1 if any cell failed.
    """
    _refuse_stop_on_stream(on_reject, output)
    regions = _regions(region or [])
    options = CsvOptions(chosen_columns(column), delimiter, on_reject)
    connection = find_connection(dev, role, address, ca, cert, key, default_role="pipeline")
    with (
        terminable(),
        connection.open(batch_size=batch_size) as client,
        progress_bar(source) as progress,
    ):
        summary = tokenize_csv(
            client,
            input_of(source),
            _target(output),
            options,
            regions=regions,
            rejects=rejects,
            progress=progress,
        )
    _finish(summary, options, output, rejects, as_json)


def detokenize(
    source: InputArgument,
    column: ColumnOption,
    output: OutputOption = "-",
    view: ViewOption = "",
    rejects: RejectsOption = None,
    on_reject: OnRejectOption = OnReject.SKIP_ROW,
    delimiter: DelimiterOption = None,
    batch_size: BatchOption = 1_000,
    as_json: JsonOption = False,
    dev: DevOption = None,
    role: RoleOption = None,
    address: AddressOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> None:
    """Replaces the tokens in columns of a CSV file by a view of their values.

    The service decides what the caller may see, and records every call. Exit code 1 if
    any cell failed, 3 if the service refused.
    """
    _refuse_stop_on_stream(on_reject, output)
    options = CsvOptions(chosen_columns(column), delimiter, on_reject)
    connection = find_connection(dev, role, address, ca, cert, key)
    with (
        terminable(),
        connection.open(batch_size=batch_size) as client,
        progress_bar(source) as progress,
    ):
        summary = detokenize_csv(
            client,
            input_of(source),
            _target(output),
            options,
            view=view,
            rejects=rejects,
            progress=progress,
        )
    _finish(summary, options, output, rejects, as_json)


def _refuse_stop_on_stream(on_reject: OnReject, output: str) -> None:
    if on_reject is OnReject.STOP and output == "-":
        raise typer.BadParameter(
            "--on-reject stop needs -o FILE: what went to standard output cannot be taken back"
        )


def chosen_columns(pairs: Sequence[str]) -> dict[str, str]:
    """Reads --column options: header name -> field. Raises typer.BadParameter."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        # A column's name may hold an equals sign; a field's cannot.
        name, sign, field = pair.rpartition("=")
        name = name if sign else field
        if not name or not field:
            raise typer.BadParameter(f"--column {pair!r} is not NAME=FIELD")
        if name in chosen:
            raise typer.BadParameter(f"--column names {name!r} twice")
        chosen[name] = field
    return chosen


def _regions(pairs: Sequence[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for pair in pairs:
        field, _, region = pair.partition("=")
        if not field or not region:
            raise typer.BadParameter(f"--region {pair!r} is not FIELD=XX, as in phone=DE")
        if field in chosen:
            raise typer.BadParameter(f"--region names {field!r} twice")
        chosen[field] = region
    return chosen


def input_of(name: str) -> Path | BinaryIO:
    """Returns the file, or standard input for ``-``."""
    return sys.stdin.buffer if name == "-" else Path(name)


def _target(name: str) -> Path | BinaryIO:
    return sys.stdout.buffer if name == "-" else Path(name)


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
    total = Path(source).stat().st_size if source != "-" and Path(source).is_file() else None
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, rows=0)
        yield lambda rows, position: progress.update(task, completed=position, rows=rows)


def _finish(
    summary: Summary, options: CsvOptions, output: str, rejects: Path | None, as_json: bool
) -> None:
    stream = sys.stderr if output == "-" else sys.stdout
    if as_json:
        print(json.dumps(_as_json(summary, options)), file=stream)
    else:
        _print(summary, options, output, rejects, stream)
    if summary.rejects:
        raise typer.Exit(ExitCode.FOUND)


def _as_json(summary: Summary, options: CsvOptions) -> dict[str, object]:
    return {
        "rows": summary.rows,
        "written": summary.written,
        "columns": {
            name: {
                "field": field,
                "converted": summary.converted[name],
                "empty": summary.empty[name],
            }
            for name, field in options.columns.items()
        },
        "rejects": [
            {"column": column, "reason": reason, "count": count}
            for (column, reason), count in sorted(summary.rejects.items())
        ],
    }


def _print(
    summary: Summary, options: CsvOptions, output: str, rejects: Path | None, stream: TextIO
) -> None:
    where = "standard output" if output == "-" else output
    print(f"{summary.rows:,} rows read, {summary.written:,} written to {where}", file=stream)
    width = max(len(name) for name in options.columns)
    for name, field in options.columns.items():
        counts = f"{summary.converted[name]:,} converted, {summary.empty[name]:,} empty"
        print(f"  {name:<{width}}  {field}: {counts}", file=stream)
    for (column, reason), count in sorted(summary.rejects.items()):
        print(f"  rejected: {count:,} x {reason} in {column or 'the whole row'}", file=stream)
    if summary.rejects and rejects is not None:
        print(f"  every reject with row, column and reason: {rejects}", file=stream)
    elif summary.rejects:
        first = summary.first_rejects[0]
        print(f"  the first: row {first.row} (line {first.line}): {first.message}", file=stream)
        print("  --rejects FILE lists them all", file=stream)
