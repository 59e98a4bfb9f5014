"""``tokenvault audit report``: who read and wrote what, and what for, as one page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vault.bulk.atomic import atomic_output
from vault.cli.audit.figures import Figures
from vault.cli.audit.options import AuditFilterOptions
from vault.cli.audit.pages import ROLE, FindingReporter, audit_pages
from vault.cli.audit.report_page import report_page
from vault.cli.connection import ConnectionOptions
from vault.cli.exits import ExitCode
from vault.cli.options import with_option_groups
from vault.v1.audit_service_pb2 import AuditFilter

__all__ = ["report"]


@with_option_groups
def report(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page, HTML.")
    ],
    start: Annotated[
        int, typer.Option("--from", metavar="N", min=1, help="First position: reads less.")
    ] = 1,
    records: AuditFilterOptions,
    connection: ConnectionOptions,
) -> None:
    """Writes calls and values per caller, field and purpose as one page with tables and charts.

    The page has no script and loads nothing. Exit code 1 if a record is missing or was edited.
    """
    wanted = records.filter()
    figures, reporter = Figures(), FindingReporter()
    position = start
    with connection.open(default_role=ROLE) as client:
        for page in audit_pages(client, start, wanted):
            reporter.report(page.findings)
            for record in page.records:
                figures.feed(record)
            position = page.next
    log = f"positions {start:,} to {position - 1:,} of the log"
    made = datetime.now(UTC)
    chosen = wanted if wanted is not None else AuditFilter()
    parts = report_page(figures, _period(chosen), _filters(chosen), made, log)
    with atomic_output(output) as stream:
        for part in parts:
            stream.write(part.encode("utf-8", "replace"))
    typer.echo(f"{figures.records:,} records reported in {output}")
    if figures.unreadable:
        typer.echo(
            f"{figures.unreadable:,} of them are missing or were edited: run"
            " `tokenvault audit verify`"
        )
        raise typer.Exit(ExitCode.FOUND)
    reporter.exit()


def _period(wanted: AuditFilter) -> str:
    ends = [
        getattr(wanted, name).ToDatetime().isoformat(sep=" ", timespec="seconds")
        if wanted.HasField(name)
        else ""
        for name in ("since", "until")
    ]
    if not any(ends):
        return "All times"
    return " ".join(
        f"{word} {end} UTC" for word, end in zip(("From", "until"), ends, strict=True) if end
    )


def _filters(wanted: AuditFilter) -> Sequence[str]:
    named = (
        ("caller", wanted.principals),
        ("field", wanted.fields),
        ("outcome", wanted.outcomes),
        ("RPC", wanted.rpcs),
        ("purpose", wanted.purposes),
        ("person", wanted.persons),
        ("grant", wanted.grants),
        ("writer", [wanted.writer] if wanted.writer else []),
        ("request id", [wanted.request_id] if wanted.request_id else []),
    )
    return [f"{name} {' or '.join(values)}" for name, values in named if values]
