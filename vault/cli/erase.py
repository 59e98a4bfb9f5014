"""``tokenvault erase``: what columns of a CSV file name, for good."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from vault.bulk import CsvOptions, OnReject, Summary, erase_csv
from vault.cli.connection import (
    AddressOption,
    CaOption,
    CertOption,
    DevOption,
    KeyOption,
    RoleOption,
    find_connection,
)
from vault.cli.csv_options import (
    BatchOption,
    ColumnOption,
    DelimiterOption,
    EscapeOption,
    InputArgument,
    JsonOption,
    NoQuotingOption,
    NullOption,
    RejectsOption,
    TrustHeaderOption,
    TrustQuotesOption,
    chosen_columns,
    delimiter_of,
    input_of,
    progress_bar,
    terminable,
    warnings_of,
)
from vault.cli.exits import ExitCode

__all__ = ["erase"]

ValuesOption = Annotated[
    bool, typer.Option("--values", help="The columns hold values; tokens if left out.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def erase(
    source: InputArgument,
    column: ColumnOption,
    by_value: ValuesOption = False,
    yes: YesOption = False,
    rejects: RejectsOption = None,
    delimiter: DelimiterOption = None,
    escape: EscapeOption = None,
    no_quoting: NoQuotingOption = False,
    null: NullOption = None,
    trust_quotes: TrustQuotesOption = False,
    trust_header: TrustHeaderOption = False,
    batch_size: BatchOption = 1_000,
    as_json: JsonOption = False,
    dev: DevOption = None,
    role: RoleOption = None,
    address: AddressOption = None,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> None:
    """Erases the values behind the tokens, or the values, in columns of a CSV file, for good.

    The file itself stays. Backups of the database keep what they hold until they end. Exit
    code 1 if any cell failed: TOKEN_NOT_FOUND where there is no such token, or no live
    token of the value. A run that was cut off can be repeated.
    """
    options = CsvOptions(
        chosen_columns(column),
        delimiter_of(delimiter),
        OnReject.EMPTY_CELL,
        escape=escape,
        quoting=not no_quoting,
        nulls=null or (),
        trust_quotes=trust_quotes,
        trust_header=trust_header,
    )
    connection = find_connection(dev, role, address, ca, cert, key, default_role="privacy_officer")
    _confirm(yes, source, options, by_value)
    with (
        terminable(),
        connection.open(batch_size=batch_size) as client,
        progress_bar(source) as bar,
    ):
        summary = erase_csv(
            client, input_of(source), options, by_value=by_value, rejects=rejects, progress=bar
        )
    typer.echo(json.dumps(_as_json(summary, options)) if as_json else _as_text(summary, options))
    if summary.rejects:
        raise typer.Exit(ExitCode.FOUND)


def _confirm(yes: bool, source: str, options: CsvOptions, by_value: bool) -> None:
    if yes:
        return
    if source == "-" or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes to erase for good")
    what = "values" if by_value else "values behind the tokens"
    fields = ", ".join(sorted(set(options.columns.values())))
    question = f"Erase the {what} in {len(options.columns)} column(s) ({fields}) for good?"
    if not typer.confirm(question, err=True):
        typer.echo("nothing was erased", err=True)
        raise typer.Exit(ExitCode.FOUND)


def _as_json(summary: Summary, options: CsvOptions) -> dict[str, object]:
    warnings = warnings_of(summary)
    return {
        "rows": summary.rows,
        "columns": {
            name: {"field": field, "erased": summary.converted[name], "empty": summary.empty[name]}
            for name, field in options.columns.items()
        },
        "rejects": [
            {"column": column, "reason": reason, "count": count}
            for (column, reason), count in sorted(summary.rejects.items())
        ],
        **({"warnings": warnings} if warnings else {}),
    }


def _as_text(summary: Summary, options: CsvOptions) -> str:
    lines = [f"{summary.rows:,} rows read"]
    for name, field in options.columns.items():
        erased, empty = summary.converted[name], summary.empty[name]
        lines.append(f"  {name}  {field}: {erased:,} erased, {empty:,} empty")
    for (column, reason), count in sorted(summary.rejects.items()):
        lines.append(f"  not erased: {count:,} x {reason} in {column or 'the whole row'}")
    lines += [f"  look again: {warning}" for warning in warnings_of(summary)]
    return "\n".join(lines)
