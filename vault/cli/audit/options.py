"""Options of ``tokenvault audit`` that choose records."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from vault.bulk.shell import shell_word
from vault.duration import parse_duration
from vault.v1 import (
    audit_service_pb2,
    encryption_service_pb2,
    freeze_service_pb2,
    honey_service_pb2,
    policy_service_pb2,
    reveal_service_pb2,
    tokenization_service_pb2,
)
from vault.v1.audit_service_pb2 import AuditFilter

__all__ = ["AuditFilterOptions", "rpc_paths"]

_TIME = "TIME"
_OUTCOMES = ("allowed", "denied", "failed")
# What people say instead, in tools and in other logs.
_MEANT = {"ok": "allowed", "success": "allowed", "refused": "denied", "error": "failed"}
_FILES = (
    tokenization_service_pb2,
    encryption_service_pb2,
    audit_service_pb2,
    freeze_service_pb2,
    honey_service_pb2,
    policy_service_pb2,
    reveal_service_pb2,
)
_RPCS = tuple(
    method.name
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
# What a server does by itself, calls of RPCs it does not know, and strangers' calls by the minute.
_OTHER_RPCS = ("Expire", "unknown", "*")
# Strangers have no name, and the server's own are names that no caller has.
_PRINCIPAL = re.compile("(?:spiffe://.+|.+#.+|tokenvault:(?:reaper|honey)|)", re.DOTALL)


def rpc_paths() -> Sequence[str]:
    """Returns the full name of every RPC of the services."""
    return [
        f"/{service.full_name}/{method.name}"
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


@dataclass(frozen=True, slots=True)
class AuditFilterOptions:
    """Which audit records a command is about."""

    since: Annotated[
        str | None,
        typer.Option(metavar=_TIME, help="From this time on: ISO 8601 (UTC), or 2h, 7d ago."),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(metavar=_TIME, help="Before this time: ISO 8601 (UTC), or 2h, 7d ago."),
    ] = None
    principal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Of this caller: a SPIFFE ID, or ISSUER#SUBJECT of a JWT; may be repeated, as "
            "the next three.",
        ),
    ] = None
    field: Annotated[list[str] | None, typer.Option(help="Of calls on this field.")] = None
    outcome: Annotated[
        list[str] | None, typer.Option(help="With this outcome: allowed, denied, failed.")
    ] = None
    rpc: Annotated[list[str] | None, typer.Option(help="Of this RPC, such as Detokenize.")] = None
    purpose: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of calls that gave this purpose; may be repeated."),
    ] = None
    person: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO",
            help="Of this person, by whatever account, as `person=` says; may be repeated.",
        ),
    ] = None
    grant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Of this reveal: asked for, decided, used; may be repeated.",
        ),
    ] = None
    writer: Annotated[
        str | None, typer.Option(metavar="UUID", help="Of this writer, as in findings and logs.")
    ] = None
    number: Annotated[
        int | None,
        typer.Option(
            "--record", metavar="N", min=1, help="With --writer: its record N; shows its position."
        ),
    ] = None
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", help="Of the call with this x-request-id, 32 hex digits."),
    ] = None

    def filter(self) -> AuditFilter | None:
        """Returns the filter, None where no option was given. Raises typer.BadParameter."""
        self._check()
        chosen = AuditFilter(
            principals=self.principal or (),
            fields=self.field or (),
            outcomes=self.outcome or (),
            rpcs=self.rpc or (),
            writer=self.writer or "",
            number=self.number or 0,
            request_id=self.request_id or "",
            purposes=self.purpose or (),
            persons=self.person or (),
            grants=self.grant or (),
        )
        now = datetime.now(UTC)
        begin = None if self.since is None else _time(self.since, "--since", now)
        end = None if self.until is None else _time(self.until, "--until", now)
        if begin is not None and end is not None and end <= begin:
            raise typer.BadParameter("--until is not after --since: no record can lie between them")
        if begin is not None:
            chosen.since.FromDatetime(begin)
        if end is not None:
            chosen.until.FromDatetime(end)
        return chosen if chosen.ByteSize() else None

    def _check(self) -> None:
        if self.number is not None and self.writer is None:
            raise typer.BadParameter("--record needs --writer: numbers are each writer's own")
        _check_names(self.principal or (), self.outcome or (), self.rpc or ())
        if self.request_id is not None and not re.fullmatch("[0-9a-f]{32}", self.request_id):
            raise typer.BadParameter(
                "--request-id takes a whole id, 32 hex digits, as errors and `audit tail --long` "
                "print it"
            )


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
