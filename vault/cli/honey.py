"""``tokenvault honey``: tokens whose use raises an alarm."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from vault.cli.connection import ConnectionOptions
from vault.cli.options import JsonOption, with_option_groups
from vault.cli.printable import table
from vault.v1 import honey_service_pb2 as pb

__all__ = ["app"]

app = typer.Typer(
    help="Honey tokens: nobody has a reason to use them, so whoever does is noticed. Needs "
    "manage_honey.",
    no_args_is_help=True,
)

FieldOption = Annotated[str, typer.Option("--field", "-f", help="The field's name.")]


@app.command()
@with_option_groups
def add(
    *,
    field: FieldOption,
    label: Annotated[str, typer.Option(help="What alerts call them.")],
    file: Annotated[
        Path, typer.Option("--file", help="A file with a token a line; - for input.")
    ] = Path("-"),
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Declares tokens that there are to be honey.

    Tokenize made-up values together with others first, by `tokenvault tokenize`.
    """
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    tokens = [line for line in text.splitlines() if line]
    if not tokens:
        raise typer.BadParameter("there is no token in --file")
    with connection.open() as client:
        made = client.honey.add(field, label, tokens)
    _show(made, as_json)


@app.command()
@with_option_groups
def retire(
    *,
    honey_set: Annotated[str, typer.Argument(metavar="ID", help="The set's id.")],
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Has the tokens of a set be honey no more."""
    with connection.open() as client:
        made = client.honey.retire(honey_set)
    _show(made, as_json)


@app.command("list")
@with_option_groups
def list_(*, as_json: JsonOption = False, connection: ConnectionOptions) -> None:
    """Lists the sets. Never a token."""
    with connection.open() as client:
        found = client.honey.list()
    if as_json:
        typer.echo(json.dumps([_document(each) for each in found]))
        return
    typer.echo("\n".join(_table(found)) if found else "no honey tokens")


def _show(honey: pb.HoneySet, as_json: bool) -> None:
    typer.echo(json.dumps(_document(honey)) if as_json else "\n".join(_table([honey])))


def _document(honey: pb.HoneySet) -> Mapping[str, object]:
    found: dict[str, object] = MessageToDict(honey, preserving_proto_field_name=True)
    return {**found, "active": honey.active}


def _table(sets: Sequence[pb.HoneySet]) -> Sequence[str]:
    head = ("ID", "STATE", "FIELD", "LABEL", "TOKENS", "SINCE", "BY")
    rows = [
        (
            each.id,
            "FORGED ROW" if each.forged else "active" if each.active else "retired",
            each.field,
            each.label or "-",
            f"{each.tokens:,}",
            f"{each.create_time.ToDatetime():%Y-%m-%d %H:%M} UTC"
            if each.HasField("create_time")
            else "-",
            each.principal or "-",
        )
        for each in sets
    ]
    return table(head, rows)
