"""``tokenvault audit export``: the audit as lines, for programs and for outsiders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO
from uuid import UUID

import typer

from vault.bulk.atomic import atomic_output
from vault.cli.audit.lines import json_line, nothing_line
from vault.cli.audit.ocsf.events import ocsf_line
from vault.cli.audit.options import AuditFilterOptions
from vault.cli.audit.pages import PAGE, ROLE, STREAM, FindingReporter, audit_pages
from vault.cli.connection import ConnectionOptions
from vault.cli.exits import ExitCode
from vault.cli.options import with_option_groups
from vault.client import Client
from vault.errors import ConfigError
from vault.v1.audit_service_pb2 import AuditFilter, AuditRecord, TailAuditResponse

if TYPE_CHECKING:
    from vault.audit.export.lines import ExportLine

__all__ = ["export", "log_size", "signed_line"]

_OLDER = "the server is older than this command and cannot give signed exports: upgrade it"


class ExportFormat(StrEnum):
    """What an export is for."""

    RECORDS = "records"
    OCSF = "ocsf"
    SIGNED = "signed"


@dataclass
class _Export:
    """An export under way: where it goes, and what was written."""

    client: Client
    stream: BinaryIO
    reporter: FindingReporter
    line: Callable[[AuditRecord], str] = json_line
    written: int = 0
    bad: int = 0
    pruned: int = 0
    nothing: str = ""

    def records(self, start: int, wanted: AuditFilter | None) -> int:
        """Writes the records from a position on; returns the next position."""
        position, page = start, TailAuditResponse()
        for page in audit_pages(self.client, start, wanted):
            self.reporter.report(page.findings)
            for record in page.records:
                self._write(f"{self.line(self._judged(record))}\n")
            position = page.next
        if not self.written:
            self.nothing = nothing_line(start, page, wanted)
        return position

    def signed(self, start: int) -> int:
        """Writes a checkpoint and all up to it; returns the next position."""
        from vault.audit.export.lines import ExportHeader, with_tiles

        made = self.client.checkpoint_audit()
        self.reporter.report(made.findings)
        size = log_size(made.checkpoint)
        if start > size + 1:
            raise typer.BadParameter(f"--from is beyond the audit's end, which is {size:,}")
        first = self.client.tail_audit(start, min(PAGE, size - start + 1) or 1, peaks=True)
        header = ExportHeader(made.checkpoint, start, first.peaks)
        self.stream.write(header.to_line().encode())
        records = map(self._judged, self._up_to(size, first))
        for line in with_tiles(start, map(signed_line, records)):
            self._write(line.to_line())
        return size + 1

    def _up_to(self, size: int, page: TailAuditResponse) -> Iterator[AuditRecord]:
        while True:
            self.reporter.report(page.findings)
            yield from (record for record in page.records if record.position <= size)
            if page.next > size or not page.records:
                return
            page = self.client.tail_audit(page.next, min(PAGE, size - page.next + 1))

    def _judged(self, record: AuditRecord) -> AuditRecord:
        self.pruned += record.pruned
        self.bad += not (record.body or record.pruned)
        return record

    def _write(self, line: str) -> None:
        self.stream.write(line.encode())
        self.written += 1


@with_option_groups
def export(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the lines; - is standard output.",
        ),
    ],
    start: Annotated[int, typer.Option("--from", metavar="N", min=1, help="First position.")] = 1,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="records: a line of JSON each; ocsf: an event of OCSF 1.8.0 each; signed: with a"
            " checkpoint and all that `audit verify --export` needs.",
        ),
    ] = ExportFormat.RECORDS,
    records: AuditFilterOptions,
    connection: ConnectionOptions,
) -> None:
    """Writes the audit from a position to its present end, one line of JSON a record.

    Exit code 1 if a record is missing or was edited; its body is null, its event a finding.
    Such records are written whatever is asked for.
    """
    wanted = records.filter()
    if form is ExportFormat.SIGNED and wanted is not None:
        raise typer.BadParameter("a signed export has every record: filter what it holds later")
    with connection.open(default_role=ROLE) as client, _opened(output) as stream:
        line = ocsf_line if form is ExportFormat.OCSF else json_line
        done = _Export(client, stream, FindingReporter(), line)
        if form is ExportFormat.SIGNED:
            position = done.signed(start)
        else:
            position = done.records(start, wanted)
    streamed = output == STREAM
    where = "standard output" if streamed else output
    typer.echo(
        f"{done.written:,} records written to {where}; the next is --from {position}", err=streamed
    )
    if done.nothing:
        typer.echo(done.nothing, err=True)
    if done.pruned:
        typer.echo(f"{done.pruned:,} of them were pruned, and have no body", err=streamed)
    if done.bad:
        typer.echo(
            f"{done.bad:,} of them are missing or were edited: run `tokenvault audit verify`",
            err=streamed,
        )
        raise typer.Exit(ExitCode.FOUND)
    done.reporter.exit()


def _opened(output: Path) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdout.buffer) if output == STREAM else atomic_output(output)


def log_size(checkpoint: str) -> int:
    """Returns the size of the log that a checkpoint is of. Raises ConfigError."""
    from vault.audit.tlog.note import Note
    from vault.audit.tlog.tree_head import TreeHead

    if not checkpoint:
        raise ConfigError("nothing was written to the audit yet")
    try:
        return TreeHead.from_text(Note.parse(checkpoint).text).size
    except ValueError:
        raise ConfigError(
            "not a signed checkpoint: those of earlier releases prove nothing to outsiders"
        ) from None


def signed_line(record: AuditRecord) -> ExportLine:
    """Returns a record as signed exports have it. Raises ConfigError."""
    from vault.audit.export.lines import ExportLine
    from vault.audit.log import LogEntry

    if not record.writer:
        return ExportLine(record.position, None, "")
    if not record.leaf:
        raise ConfigError(_OLDER)
    entry = LogEntry(
        record.position,
        UUID(record.writer),
        record.number,
        record.mac,
        record.leaf,
        record.body_digest or None,
    )
    return ExportLine(record.position, entry, record.body)
