"""Options of ``tokenvault audit`` that choose records."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from vault.bulk.shell import shell_word
from vault.duration import parse_duration
from vault.v1 import (
    audit_service_pb2,
    encryption_service_pb2,
    policy_service_pb2,
    tokenization_service_pb2,
)
from vault.v1.audit_service_pb2 import AuditFilter

__all__ = [
    "FieldOption",
    "OutcomeOption",
    "PrincipalOption",
    "RecordOption",
    "RequestOption",
    "RpcOption",
    "SinceOption",
    "UntilOption",
    "WriterOption",
    "make_filter",
]

_TIME = "TIME"
SinceOption = Annotated[
    str | None,
    typer.Option(metavar=_TIME, help="From this time on: ISO 8601 (UTC), or 2h, 7d ago."),
]
UntilOption = Annotated[
    str | None, typer.Option(metavar=_TIME, help="Before this time: ISO 8601 (UTC), or 2h, 7d ago.")
]
PrincipalOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        help="Of this caller: a SPIFFE ID, or ISSUER#SUBJECT of a JWT; may be repeated, as the "
        "next three.",
    ),
]
FieldOption = Annotated[list[str] | None, typer.Option(help="Of calls on this field.")]
OutcomeOption = Annotated[
    list[str] | None, typer.Option(help="With this outcome: allowed, denied, failed.")
]
RpcOption = Annotated[list[str] | None, typer.Option(help="Of this RPC, such as Detokenize.")]
WriterOption = Annotated[
    str | None, typer.Option(metavar="UUID", help="Of this writer, as in findings and logs.")
]
RecordOption = Annotated[
    int | None,
    typer.Option(
        "--record", metavar="N", min=1, help="With --writer: its record N; shows its position."
    ),
]
RequestOption = Annotated[
    str | None,
    typer.Option("--request-id", help="Of the call with this x-request-id, 32 hex digits."),
]

_OUTCOMES = ("allowed", "denied", "failed")
# What people say instead, in tools and in other logs.
_MEANT = {"ok": "allowed", "success": "allowed", "refused": "denied", "error": "failed"}
_RPCS = tuple(
    method.name
    for file in (
        tokenization_service_pb2,
        encryption_service_pb2,
        audit_service_pb2,
        policy_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
# What a server does by itself, calls of RPCs it does not know, and strangers' calls by the minute.
_OTHER_RPCS = ("Expire", "unknown", "*")
# Strangers have no name, and the reaper one that no caller has.
_PRINCIPAL = re.compile("(?:spiffe://.+|.+#.+|tokenvault:reaper|)", re.DOTALL)


def make_filter(
    since: str | None,
    until: str | None,
    principals: Sequence[str] | None,
    fields: Sequence[str] | None,
    outcomes: Sequence[str] | None,
    rpcs: Sequence[str] | None,
    writer: str | None,
    record: int | None,
    request_id: str | None,
) -> AuditFilter | None:
    """Makes a filter of the options, None where none was given. Raises typer.BadParameter."""
    if record is not None and writer is None:
        raise typer.BadParameter("--record needs --writer: numbers are each writer's own")
    _check_names(principals or (), outcomes or (), rpcs or ())
    if request_id is not None and not re.fullmatch("[0-9a-f]{32}", request_id):
        raise typer.BadParameter(
            "--request-id takes a whole id, 32 hex digits, as errors and `audit tail --long` "
            "print it"
        )
    made = AuditFilter(
        principals=principals or (),
        fields=fields or (),
        outcomes=outcomes or (),
        rpcs=rpcs or (),
        writer=writer or "",
        number=record or 0,
        request_id=request_id or "",
    )
    now = datetime.now(UTC)
    begin = None if since is None else _time(since, "--since", now)
    end = None if until is None else _time(until, "--until", now)
    if begin is not None and end is not None and end <= begin:
        raise typer.BadParameter("--until is not after --since: no record can lie between them")
    if begin is not None:
        made.since.FromDatetime(begin)
    if end is not None:
        made.until.FromDatetime(end)
    return made if made.ByteSize() else None


def _check_names(principals: Sequence[str], outcomes: Sequence[str], rpcs: Sequence[str]) -> None:
    for outcome in outcomes:
        _check_known("--outcome", outcome, _OUTCOMES)
    for rpc in rpcs:
        _check_known("--rpc", rpc, (*_RPCS, *_OTHER_RPCS))
    for principal in principals:
        if not _PRINCIPAL.fullmatch(principal):
            raise typer.BadParameter(
                f"--principal {shell_word(principal)} is no caller's name: it takes a SPIFFE ID "
                "(spiffe://...), or ISSUER#SUBJECT of a JWT, as the audit prints them"
            )


def _check_known(option: str, name: str, known: Sequence[str]) -> None:
    if name in known:
        return
    folded = {each.lower(): each for each in known} | (_MEANT if known is _OUTCOMES else {})
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    raise typer.BadParameter(
        f"no record has {option} {shell_word(name)}: {hint}there are: {', '.join(known)}"
    )


def _time(text: str, option: str, now: datetime) -> datetime:
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option} takes a time such as 2026-11-27T14:00 (UTC), or 2h or 7d for so long ago"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
