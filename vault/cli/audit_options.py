"""Options of ``tokenvault audit`` that choose records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from vault.config.values import parse_duration
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
    list[str] | None, typer.Option(help="Of this caller; may be repeated, as the next three.")
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
    str | None, typer.Option("--request-id", help="Of the call with this x-request-id.")
]


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
    made = AuditFilter(
        principals=principals or (),
        fields=fields or (),
        outcomes=outcomes or (),
        rpcs=rpcs or (),
        writer=writer or "",
        number=record or 0,
        request_id=request_id or "",
    )
    if since is not None:
        made.since.FromDatetime(_time(since, "--since"))
    if until is not None:
        made.until.FromDatetime(_time(until, "--until"))
    return made if made.ByteSize() else None


def _time(text: str, option: str) -> datetime:
    try:
        return datetime.now(UTC) - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option} takes a time such as 2026-11-27T14:00 (UTC), or 2h or 7d for so long ago"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
