"""``tokenvault erase``: what columns of a CSV file name, for good."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from vault.bulk import CsvOptions, OnReject, Summary, erase_csv
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
from vault.client import Client, Erased

__all__ = ["erase"]

ValuesOption = Annotated[
    bool, typer.Option("--values", help="The columns hold values; tokens if left out.")
]
AllSpellingsOption = Annotated[
    bool,
    typer.Option(
        "--all-spellings",
        help="With --values: also the values' other spellings, and tokens no index leads to.",
    ),
]
NoCountOption = Annotated[
    bool,
    typer.Option(
        "--no-count",
        help="With --values: do not look for what is left. It opens every row of the field.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@with_option_groups
def erase(
    *,
    source: InputArgument,
    column: ColumnOption,
    by_value: ValuesOption = False,
    all_spellings: AllSpellingsOption = False,
    no_count: NoCountOption = False,
    yes: YesOption = False,
    rejects: RejectsOption = None,
    csv: CsvFileOptions,
    connection: ConnectionOptions,
) -> None:
    """Erases the values behind the tokens, or the values, in columns of a CSV file, for good.

    The file itself stays. Backups of the database keep what they hold until they end. A value
    leads to one of its spellings (person@company.org is not person@Company.org): how many live
    tokens of others are left is counted, and --all-spellings erases them too. Exit code 1 if any
    cell failed (TOKEN_NOT_FOUND where there is no such token, or no live token of the value),
    or any such token is left. A run that was cut off can be repeated.
    """
    if (all_spellings or no_count) and not by_value:
        raise typer.BadParameter("--all-spellings and --no-count go with --values")
    options = csv.bulk_options(column, OnReject.EMPTY_CELL)
    found = connection.find(default_role="privacy_officer")
    _confirm(yes, source, options, by_value)
    with client_with_progress(found, source, csv.batch_size) as (client, bar):
        eraser = _Eraser(client, all_spellings, counting=by_value and not no_count)
        summary = erase_csv(
            eraser, input_source(source), options, by_value=by_value, rejects=rejects, progress=bar
        )
    left = None if all_spellings or not eraser.counting else eraser.left
    write = _as_json if csv.as_json else _as_text
    typer.echo(write(summary, options, left))
    if summary.rejects or left:
        raise typer.Exit(ExitCode.FOUND)


class _Eraser:
    """Erases as the options say, and counts by field what is left of values after that."""

    def __init__(self, client: Client, all_spellings: bool, *, counting: bool) -> None:
        self._client = client
        self._all_spellings = all_spellings
        self.counting = counting
        self.left: Counter[str] = Counter()

    def erase(
        self,
        field: str,
        *,
        tokens: Sequence[str | None] | None = None,
        values: Sequence[str | None] | None = None,
    ) -> Erased:
        """See ``Client``."""
        if values is None:
            return self._client.erase(field, tokens=tokens)
        if self._all_spellings:
            return self._client.erase(field, values=values, all_spellings=True)
        done = self._client.erase(field, values=values)
        if self.counting:
            self.left[field] += self._client.count_spellings(field, values).tokens
            self.left += Counter()  # without zeros
        return done


def _confirm(yes: bool, source: str, options: CsvOptions, by_value: bool) -> None:
    if yes:
        return
    if source == "-" or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes to erase for good")
    what = "values" if by_value else "values behind the tokens"
    fields = ", ".join(sorted(set(options.columns.values())))
    many = len(options.columns)
    columns = "1 column" if many == 1 else f"{many} columns"
    question = f"Erase the {what} in {columns} ({fields}) for good?"
    if not typer.confirm(question, err=True):
        typer.echo("nothing was erased", err=True)
        raise typer.Exit(ExitCode.FOUND)


def _as_json(summary: Summary, options: CsvOptions, left: Counter[str] | None) -> str:
    columns: dict[str, object] = {}
    for name, field in options.columns.items():
        counts = {"erased": summary.converted[name], "empty": summary.empty[name]}
        columns[name] = {"field": field, **counts}
    document: dict[str, object] = {
        "rows": summary.rows,
        "columns": columns,
        **outcome_json(summary),
    }
    if left:
        document["left"] = dict(sorted(left.items()))
    return json.dumps(document)


def _as_text(summary: Summary, options: CsvOptions, left: Counter[str] | None) -> str:
    lines = [f"{summary.rows:,} rows read"]
    for name, field in options.columns.items():
        erased, empty = summary.converted[name], summary.empty[name]
        lines.append(f"  {one_line(name)}  {one_line(field)}: {erased:,} erased, {empty:,} empty")
    for (column, reason), count in sorted(summary.rejects.items()):
        where = one_line(column) or "the whole row"
        lines.append(f"  not erased: {count:,} x {one_line(reason)} in {where}")
    lines += [f"  look again: {warning}" for warning in warning_lines(summary)]
    for field, count in sorted((left or {}).items()):
        lines.append(
            f"  left in {one_line(field)}: {count:,} live token(s) of these values in other "
            "spellings, or without an index: --all-spellings erases them too"
        )
    return "\n".join(lines)
