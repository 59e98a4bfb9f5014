"""``tokenvault freeze``: refusing a caller whatever its roles, and ending that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from vault.cli.connection import ConnectionOptions
from vault.cli.options import JsonOption, with_option_groups
from vault.cli.printable import table
from vault.v1 import freeze_service_pb2 as pb

__all__ = ["app"]

app = typer.Typer(
    help="Freeze callers: every call of theirs is refused, whatever their roles. Needs "
    "manage_freezes.",
    no_args_is_help=True,
)

PrincipalOption = Annotated[
    str, typer.Option("--principal", help="A principal, as the audit names it.")
]
PersonOption = Annotated[
    tuple[str, str, str] | None,
    typer.Option("--person", metavar="ISSUER CLAIM VALUE", help="A person, as the audit has it."),
]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why, in one line.")]


@app.command("list")
@with_option_groups
def list_(*, as_json: JsonOption = False, connection: ConnectionOptions) -> None:
    """Lists who is frozen, was, or touched honey tokens."""
    with connection.open() as client:
        found = client.freezes.list()
    if as_json:
        typer.echo(json.dumps([_document(each) for each in found]))
        return
    typer.echo("\n".join(_table(found)) if found else "nobody is frozen, or ever was")


@app.command()
@with_option_groups
def add(
    *,
    principal: PrincipalOption = "",
    person: PersonOption = None,
    reason: ReasonOption,
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Freezes a principal or a person."""
    target = _target(principal, person)
    with connection.open() as client:
        made = client.freezes.freeze(target, reason)
    _show(made, as_json)


@app.command()
@with_option_groups
def lift(
    *,
    principal: PrincipalOption = "",
    person: PersonOption = None,
    reason: ReasonOption,
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Lifts somebody else's freeze. For people: log in first (`tokenvault login`)."""
    target = _target(principal, person)
    with connection.open() as client:
        made = client.freezes.lift(target, reason)
    _show(made, as_json)


def _target(principal: str, person: tuple[str, str, str] | None) -> pb.FreezeTarget:
    if bool(principal) == bool(person):
        raise typer.BadParameter("name one of --principal and --person")
    if person is None:
        return pb.FreezeTarget(principal=principal)
    issuer, claim, value = person
    return pb.FreezeTarget(person=pb.FrozenPerson(issuer=issuer, claim=claim, value=value))


def _show(status: pb.FreezeStatus, as_json: bool) -> None:
    typer.echo(json.dumps(_document(status)) if as_json else "\n".join(_table([status])))


def _document(status: pb.FreezeStatus) -> Mapping[str, object]:
    found: dict[str, object] = MessageToDict(status, preserving_proto_field_name=True)
    return {**found, "frozen": status.frozen, "touches": status.touches}


def _table(statuses: Sequence[pb.FreezeStatus]) -> Sequence[str]:
    head = ("STATE", "WHO", "TOUCHES", "SINCE", "BY", "WHY")
    rows = [
        (
            _state(each),
            _name(each.target),
            f"{each.touches:,}",
            f"{each.change_time.ToDatetime():%Y-%m-%d %H:%M} UTC"
            if each.HasField("change_time")
            else "-",
            each.changed_by or "-",
            each.reason or "-",
        )
        for each in statuses
    ]
    return table(head, rows)


def _state(status: pb.FreezeStatus) -> str:
    if status.forged:
        return "FORGED ROW"
    return "frozen" if status.frozen else "free"


def _name(target: pb.FreezeTarget) -> str:
    if not target.HasField("person"):
        return target.principal
    person = target.person
    return f"{person.issuer} {person.claim}={person.value}"
