"""``tokenvault audit prove``: a proof as a file, for whoever has the public key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vault.bulk.atomic import atomic_output
from vault.cli.audit.export import log_size, signed_line
from vault.cli.audit.pages import ROLE, STREAM, FindingReporter, find_last, read_checkpoint_file
from vault.cli.audit.receipt import receipt_texts
from vault.cli.connection import ConnectionOptions
from vault.cli.options import with_option_groups
from vault.client import Client
from vault.v1.audit_service_pb2 import AuditFilter

__all__ = ["prove"]


@with_option_groups
def prove(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write the proof; - is standard output."
        ),
    ],
    position: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Prove the record at this position.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", help="Prove the record of the call with this x-request-id."),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prove the record that this receipt is of."),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prove that the log continues this checkpoint."),
    ] = None,
    connection: ConnectionOptions,
) -> None:
    """Has the service prove a record to be in the log, or the log to continue a checkpoint.

    `tokenvault audit verify --proof FILE --public-key KEY` checks the file offline.
    """
    if sum(each is not None for each in (position, request_id, receipt, since)) != 1:
        raise typer.BadParameter("a proof is of one --position, --request-id, --receipt or --since")
    earlier = log_size(read_checkpoint_file(since)) if since is not None else 0
    if since is not None and not earlier:
        raise typer.BadParameter(f"{since} is of an empty log: every log continues that")
    wanted = _record_of(receipt) if receipt is not None else None
    reporter = FindingReporter()
    with connection.open(default_role=ROLE) as client:
        if request_id is not None:
            position = _position_of(client, AuditFilter(request_id=request_id), reporter)
        if wanted is not None:
            position = _position_of(client, wanted, reporter)
        text = _continuing(client, earlier) if since is not None else _included(client, position)
    if output == STREAM:
        sys.stdout.buffer.write(text.encode())
    else:
        with atomic_output(output) as stream:
            stream.write(text.encode())
        typer.echo(f"proof written to {output}")
    reporter.exit()


def _record_of(path: Path) -> AuditFilter:
    """Returns which record a receipt names; who gets the proof checks if it is genuine."""
    from vault.audit.receipts.dsse import Envelope
    from vault.audit.receipts.receipt import Receipt

    texts = receipt_texts(path)
    try:
        (text,) = texts
        record = Receipt.from_statement(Envelope.from_json(text).payload.decode("ascii")).record
    except ValueError:
        raise typer.BadParameter(f"{path} is not one receipt") from None
    return AuditFilter(writer=str(record.writer), number=record.number)


def _position_of(client: Client, wanted: AuditFilter, reporter: FindingReporter) -> int:
    found, _, _ = find_last(client, wanted, 1, reporter)
    # Records that are gone are always found: nobody can tell what they were.
    position = next((record.position for record in found if record.body), None)
    if position is None:
        raise typer.BadParameter("no record that verifies, and has a position yet, is that one")
    return position


def _included(client: Client, position: int | None) -> str:
    from vault.audit.tlog.note import Note
    from vault.audit.tlog.proof_files import InclusionProof

    answer = client.prove_audit(position=position or 0)
    line = signed_line(answer.record).to_line().encode()
    index = answer.record.position - 1
    return InclusionProof(index, answer.inclusion, Note.parse(answer.checkpoint), line).to_text()


def _continuing(client: Client, old: int) -> str:
    from vault.audit.tlog.note import Note
    from vault.audit.tlog.witnessing import add_checkpoint_body

    answer = client.prove_audit(old_size=old)
    return add_checkpoint_body(old, answer.consistency, Note.parse(answer.checkpoint))
