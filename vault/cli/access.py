"""``tokenvault access``: what a service would allow, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from vault.cli.connection import ConnectionOptions
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption, with_option_groups
from vault.cli.printable import one_line
from vault.v1 import policy_service_pb2 as pb

__all__ = ["app"]

app = typer.Typer(help="Ask a service what it would allow, and why.", no_args_is_help=True)

_TIMES = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"]
_GROUP = 4  # issuer, audience, claim, value


@app.command()
@with_option_groups
def explain(
    *,
    action: Annotated[str, typer.Option(help="What for, such as detokenize.")],
    field: Annotated[str, typer.Option(help="On which field.")] = "",
    view: Annotated[str, typer.Option(help="In which view; left out, the one granted.")] = "",
    purpose: Annotated[str, typer.Option(metavar="NAME", help="What for.")] = "",
    ticket: Annotated[str, typer.Option(metavar="ID", help="Of which ticket.")] = "",
    of: Annotated[
        str,
        typer.Option(
            "--of",
            metavar="ID",
            help="Whose access: a SPIFFE ID, or ISSUER#SUBJECT of a JWT (needs explain_others). "
            "Left out, your own.",
        ),
    ] = "",
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'ISSUER AUDIENCE CLAIM VALUE'",
            help="A claim of that JWT; may be repeated.",
        ),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", formats=_TIMES, help="When, UTC; left out, now. With --of."),
    ] = None,
    origin: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="From which IP address. With --of.")
    ] = "",
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Shows whether the policy in force would allow a call now; exit code 1 if not."""
    context = pb.AccessContext(purpose=purpose, ticket=ticket, address=origin)
    if at is not None:
        context.time.FromDatetime(at.replace(tzinfo=at.tzinfo or UTC))
    subject = _subject(of, group or []) if of else None
    if subject is None and (group or at is not None or origin):
        raise typer.BadParameter("--group, --at and --from are about somebody: name them with --of")
    with connection.open() as client:
        answer = client.explain_access(action, field, view, subject=subject, context=context)
    lines = [json.dumps(document(answer), separators=(",", ":"))] if as_json else lines_of(answer)
    for line in lines:
        typer.echo(line)
    if not answer.decision:
        raise typer.Exit(ExitCode.FOUND)


def _subject(name: str, groups: list[str]) -> pb.AccessSubject:
    if name.startswith("spiffe://"):
        if groups:
            raise typer.BadParameter("a SPIFFE ID has no groups: leave --group out")
        return pb.AccessSubject(type="spiffe", id=name)
    held = [each.split(maxsplit=_GROUP - 1) for each in groups]
    if "#" not in name or any(len(each) != _GROUP for each in held):
        raise typer.BadParameter(
            "write ISSUER#SUBJECT, and groups as 'ISSUER AUDIENCE CLAIM VALUE'"
        )
    made = (pb.AccessGroup(issuer=i, audience=a, claim=c, value=v) for i, a, c, v in held)
    return pb.AccessSubject(type="jwt", id=name, groups=made)


def lines_of(answer: pb.ExplainAccessResponse) -> Iterator[str]:
    """Yields an answer for people: the decision, the rules, what is missing, budgets."""
    why = answer.context
    view = f", view {why.view}" if why.view else ""
    refusal = f"{why.reason}: {why.message}"
    yield one_line(f"ALLOWED{view}" if answer.decision else refusal)
    yield from map(one_line, why.notes)
    yield one_line(f"roles: {', '.join(why.roles) or 'none'}")
    for rule in why.rules:
        mark = "*" if rule.decides else " "
        yield one_line(f"{mark} line {rule.line}: {rule.path}: {rule.says}")
        yield from (one_line(f"    missing: {gap.reason}: {gap.message}") for gap in rule.missing)
    for each in why.budgets:
        left = f"{each.left:,} of {each.values:,} values per {each.per}"
        yield one_line(f"budget of view {each.view}: {left} left")
    yield one_line(f"policy {why.policy_digest}")


def document(answer: pb.ExplainAccessResponse) -> Mapping[str, object]:
    """Returns an answer as JSON has it, in the names of AuthZEN where it has one."""
    found: dict[str, object] = MessageToDict(answer, preserving_proto_field_name=True)
    return {"decision": answer.decision, "context": found.get("context", {})}
