"""``tokenvault reveal``: asking to see values, deciding on it, and seeing them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from vault.cli.connection import ConnectionOptions
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption, with_option_groups
from vault.cli.printable import one_line, table
from vault.cli.receipts import ReceiptsOption, receipts_file
from vault.duration import parse_duration
from vault.v1 import reveal_service_pb2 as pb

__all__ = ["app"]

app = typer.Typer(
    help="Ask to see values, decide on what others ask, and see them. For people: log in first "
    "(`tokenvault login`).",
    no_args_is_help=True,
)

RevealArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]
CommentOption = Annotated[
    str, typer.Option("--comment", "-m", help="One line that the others read.")
]
_PREFIX = "REVEAL_STATE_"


@app.command()
@with_option_groups
def request(
    *,
    field: Annotated[str, typer.Option("--field", "-f", help="The field's name.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; approvers read it.")],
    tokens: Annotated[
        list[str] | None, typer.Argument(metavar="TOKEN...", help="Tokens to be shown.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file with a token a line; - for input.")
    ] = None,
    view: Annotated[str, typer.Option(help="How much of each value.")] = "",
    purpose: Annotated[str, typer.Option(help="What for: a purpose of the policy.")] = "",
    ticket: Annotated[str, typer.Option(help="The ticket, where the policy asks.")] = "",
    lifetime: Annotated[
        str, typer.Option(metavar="TIME", help="How long the grant is good, such as 30m.")
    ] = "",
    times: Annotated[int, typer.Option(min=1, help="How often each token is shown.")] = 1,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass",
            help="An emergency: without approval, at once. Others are alerted, and one must "
            "review it before your next.",
        ),
    ] = False,
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Asks to see the values behind tokens."""
    wanted = [*(tokens or ()), *_read(file)]
    if not wanted:
        raise typer.BadParameter("name tokens, or a file of them with --file")
    length = _lifetime(lifetime)
    with connection.open() as client:
        made = client.reveals.request(
            field,
            wanted,
            reason=reason,
            view=view,
            purpose=purpose,
            ticket=ticket,
            lifetime=length,
            times=times,
            break_glass=break_glass,
        )
    _show(made, as_json)


@app.command("list")
@with_option_groups
def list_(*, as_json: JsonOption = False, connection: ConnectionOptions) -> None:
    """Lists your requests, and those that wait for your decision."""
    with connection.open() as client:
        found = client.reveals.list()
    if as_json:
        typer.echo(json.dumps([_document(each) for each in found]))
        return
    typer.echo("\n".join(_table(found)) if found else "nothing waits for you")


@app.command()
@with_option_groups
def show(
    *, reveal: RevealArgument, as_json: JsonOption = False, connection: ConnectionOptions
) -> None:
    """Shows a request: who, what, how many, why, until when. Never a value or a token."""
    with connection.open() as client:
        found = client.reveals.get(reveal)
    _show(found, as_json)


@app.command()
@with_option_groups
def approve(
    *,
    reveal: RevealArgument,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Approves somebody else's request."""
    with connection.open() as client:
        made = client.reveals.approve(reveal, comment)
    _show(made, as_json)


@app.command()
@with_option_groups
def deny(
    *,
    reveal: RevealArgument,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Denies somebody else's request."""
    with connection.open() as client:
        made = client.reveals.deny(reveal, comment)
    _show(made, as_json)


@app.command()
@with_option_groups
def review(
    *,
    reveal: RevealArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What you found, in one line.")],
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Writes the review of values that somebody else saw before anybody approved."""
    with connection.open() as client:
        made = client.reveals.review(reveal, comment)
    _show(made, as_json)


@app.command()
@with_option_groups
def withdraw(
    *, reveal: RevealArgument, as_json: JsonOption = False, connection: ConnectionOptions
) -> None:
    """Takes back a request of yours that is not granted yet."""
    with connection.open() as client:
        made = client.reveals.withdraw(reveal)
    _show(made, as_json)


@app.command()
@with_option_groups
def revoke(
    *,
    reveal: RevealArgument,
    comment: CommentOption = "",
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Ends a grant at once."""
    with connection.open() as client:
        made = client.reveals.revoke(reveal, comment)
    _show(made, as_json)


@app.command("open")
@with_option_groups
def open_(
    *,
    reveal: RevealArgument,
    tokens: Annotated[list[str], typer.Argument(metavar="TOKEN...", help="Tokens of the request.")],
    receipts: ReceiptsOption = None,
    connection: ConnectionOptions,
) -> None:
    """Shows the values behind tokens, under a grant. On the terminal only: never in a file.

    Each token is charged to the grant, also where its value is gone.
    """
    if not sys.stdout.isatty():
        raise typer.BadParameter("values are shown on a terminal only, never into a file or pipe")
    with receipts_file(receipts) as keep, connection.open() as client:
        grant = client.reveals.get(reveal)
        column = client.detokenize(
            grant.field,
            tokens,
            grant.view,
            purpose=grant.purpose,
            ticket=grant.ticket,
            grant=grant.id,
        )
        for each in column.receipts:
            keep(each)
    for at, (token, value) in enumerate(zip(tokens, column.values, strict=True)):
        failed = column.errors.get(at)
        typer.echo(f"{one_line(token)}  {failed.reason if failed else one_line(str(value))}")
    if receipts is not None and not column.receipts:
        typer.echo("the policy gives no receipt of this", err=True)
    if column.errors:
        raise typer.Exit(ExitCode.FOUND)


def _read(file: Path | None) -> Sequence[str]:
    if file is None:
        return ()
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


def _lifetime(text: str) -> timedelta | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"--lifetime: {error}") from None


def _show(reveal: pb.Reveal, as_json: bool) -> None:
    typer.echo(json.dumps(_document(reveal)) if as_json else "\n".join(_lines(reveal)))


def _document(reveal: pb.Reveal) -> Mapping[str, object]:
    found: dict[str, object] = MessageToDict(reveal, preserving_proto_field_name=True)
    return {**found, "state": _state(reveal)}


def _state(reveal: pb.Reveal) -> str:
    return pb.RevealState.Name(reveal.state).removeprefix(_PREFIX).lower()


def _lines(reveal: pb.Reveal) -> Sequence[str]:
    """A request as an approver can decide from it."""
    waits = f", waits for {', '.join(reveal.missing_roles)}" if reveal.missing_roles else ""
    waits += ", BREAK-GLASS: nobody approved it" if reveal.break_glass else ""
    waits += ", waits for a review" if reveal.awaits_review else ""
    per_token = "once" if reveal.times == 1 else f"{reveal.times} times"
    noun = "token" if reveal.tokens == 1 else "tokens"
    rows = [
        ("id", reveal.id),
        ("state", f"{_state(reveal)}{waits}"),
        ("who", f"{reveal.person} ({reveal.principal})"),
        ("what", f"{reveal.field}, view {reveal.view}"),
        ("how many", f"{reveal.tokens:,} {noun}, each {per_token}; {reveal.left:,} left"),
        ("what for", " ".join(each for each in (reveal.purpose, reveal.ticket) if each) or "-"),
        ("why", reveal.reason),
        ("grant", f"for at most {reveal.lifetime.ToTimedelta()}"),
        ("until", _time(reveal)),
    ]
    rows += [
        (each.verdict.lower(), f"{each.person}{f': {each.comment}' if each.comment else ''}")
        for each in reveal.decisions
    ]
    return [f"{name + ':':<10} {one_line(text)}" for name, text in rows]


def _table(reveals: Sequence[pb.Reveal]) -> Sequence[str]:
    head = ("ID", "STATE", "WHO", "WHAT", "TOKENS", "UNTIL", "WHY")
    rows = [
        (
            each.id,
            _state(each)
            + (" BREAK-GLASS" if each.break_glass else "")
            + (" *" if each.may_decide else " !" if each.may_review else ""),
            each.person,
            f"{each.field} {each.view}",
            f"{each.tokens:,}",
            _time(each),
            each.reason,
        )
        for each in reveals
    ]
    lines = [*table(head, rows)]
    if any(each.may_decide for each in reveals):
        lines.append("* waits for your decision: tokenvault reveal approve ID, or deny ID")
    if any(each.may_review for each in reveals):
        lines.append("! waits for your review: tokenvault reveal review ID --comment TEXT")
    return lines


def _time(reveal: pb.Reveal) -> str:
    return f"{reveal.expire_time.ToDatetime():%Y-%m-%d %H:%M} UTC"
