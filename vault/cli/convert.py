"""``tokenvault tokenize`` and ``tokenvault detokenize``: columns of CSV files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, BinaryIO, TextIO

import typer

from vault.bulk import CsvOptions, OnReject, Summary, detokenize_csv, tokenize_csv
from vault.bulk.regions import country_code
from vault.bulk.shell import shell_word
from vault.cli.connection import ConnectionOptions
from vault.cli.csv_options import (
    ColumnOption,
    CsvFileOptions,
    InputArgument,
    RejectsOption,
    client_with_progress,
    input_source,
    outcome_json,
    warning_lines,
)
from vault.cli.exits import ExitCode
from vault.cli.options import with_option_groups
from vault.cli.printable import one_line
from vault.cli.receipts import ReceiptsOption, receipts_file

__all__ = ["detokenize", "tokenize"]

OutputOption = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is standard output."),
]
OnRejectOption = Annotated[
    OnReject, typer.Option(help="What to do with a row that has a cell that failed.")
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="FIELD=XX|@COLUMN",
        help="Country that a field's phone numbers are of in this file, as phone=DE; or the "
        "column that holds each row's country code, as phone=@country (repeat).",
    ),
]
ViewOption = Annotated[
    str, typer.Option(help="View of the values, such as last4. Default: the one you may see.")
]
PurposeOption = Annotated[
    str, typer.Option(metavar="NAME", help="What they are read for, where the policy asks.")
]
TicketOption = Annotated[
    str, typer.Option(metavar="ID", help="The ticket of the case, where the policy asks.")
]


@with_option_groups
def tokenize(
    *,
    source: InputArgument,
    column: ColumnOption,
    output: OutputOption = "-",
    region: RegionOption = None,
    rejects: RejectsOption = None,
    on_reject: OnRejectOption = OnReject.SKIP_ROW,
    csv: CsvFileOptions,
    connection: ConnectionOptions,
) -> None:
    """Replaces the values in columns of a CSV file by tokens.

    Cells that fail are left out with their row, so the output never holds a value of a
    chosen column. Empty cells stay empty. Exit code 1 if any cell failed.
    """
    _refuse_stop_on_stream(on_reject, output)
    regions, region_columns = _regions(region or [])
    options = csv.bulk_options(column, on_reject, region_columns)
    with client_with_progress(connection.find(default_role="pipeline"), source, csv.batch_size) as (
        client,
        progress,
    ):
        summary = tokenize_csv(
            client,
            input_source(source),
            _target(output),
            options,
            regions=regions,
            rejects=rejects,
            progress=progress,
        )
    _finish(summary, options, output, rejects, csv.as_json)


@with_option_groups
def detokenize(
    *,
    source: InputArgument,
    column: ColumnOption,
    output: OutputOption = "-",
    view: ViewOption = "",
    purpose: PurposeOption = "",
    ticket: TicketOption = "",
    rejects: RejectsOption = None,
    receipts: ReceiptsOption = None,
    on_reject: OnRejectOption = OnReject.SKIP_ROW,
    csv: CsvFileOptions,
    connection: ConnectionOptions,
) -> None:
    """Replaces the tokens in columns of a CSV file by a view of their values.

    The service decides what the caller may see, and records every call. Exit code 1 if
    any cell failed, 3 if the service refused.
    """
    _refuse_stop_on_stream(on_reject, output)
    options = csv.bulk_options(column, on_reject)
    with (
        receipts_file(receipts) as keep,
        client_with_progress(connection.find(), source, csv.batch_size) as (client, progress),
    ):
        summary = detokenize_csv(
            client,
            input_source(source),
            _target(output),
            options,
            view=view,
            purpose=purpose,
            ticket=ticket,
            rejects=rejects,
            receipt=keep,
            progress=progress,
        )
    _finish(summary, options, output, rejects, csv.as_json)


def _refuse_stop_on_stream(on_reject: OnReject, output: str) -> None:
    if on_reject is OnReject.STOP and output == "-":
        raise typer.BadParameter(
            "--on-reject stop needs -o FILE: what went to standard output cannot be taken back"
        )


def _regions(pairs: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Reads --region options: field -> country, and field -> column that names the country."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        field, _, named = pair.partition("=")
        if not field or not re.fullmatch("[A-Za-z]{2}|@.+", named, re.DOTALL):
            raise typer.BadParameter(
                f"--region {shell_word(pair)} is not FIELD=XX, as in phone=DE, or FIELD=@COLUMN"
            )
        region = named if named[0] == "@" else country_code(named)
        if region is None:
            raise typer.BadParameter(
                f"--region {shell_word(pair)}: there is no such country; it takes ISO 3166-1's "
                "two letters, as in phone=DE"
            )
        if field in chosen:
            raise typer.BadParameter(f"--region names {shell_word(field)} twice")
        chosen[field] = region
    columns = {field: region[1:] for field, region in chosen.items() if region[0] == "@"}
    return {field: chosen[field] for field in chosen.keys() - columns.keys()}, columns


def _target(name: str) -> Path | BinaryIO:
    return sys.stdout.buffer if name == "-" else Path(name)


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
        **outcome_json(summary),
    }


def _print(
    summary: Summary, options: CsvOptions, output: str, rejects: Path | None, stream: TextIO
) -> None:
    where = "standard output" if output == "-" else one_line(output)
    print(f"{summary.rows:,} rows read, {summary.written:,} written to {where}", file=stream)
    names = {name: one_line(name) for name in options.columns}
    width = max(map(len, names.values()))
    for name, field in options.columns.items():
        counts = f"{summary.converted[name]:,} converted, {summary.empty[name]:,} empty"
        print(f"  {names[name]:<{width}}  {one_line(field)}: {counts}", file=stream)
    for (column, reason), count in sorted(summary.rejects.items()):
        where = names.get(column, "the whole row")
        print(f"  rejected: {count:,} x {one_line(reason)} in {where}", file=stream)
    if summary.rejects and rejects is not None:
        print(f"  every reject with row, column and reason: {rejects}", file=stream)
    elif summary.rejects:
        first = summary.first_rejects[0]
        print(
            f"  the first: row {first.row} (line {first.line}): {one_line(first.message)}",
            file=stream,
        )
        print("  --rejects FILE lists them all", file=stream)
    for warning in warning_lines(summary):
        print(f"  look again: {warning}", file=stream)
