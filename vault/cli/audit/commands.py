"""``tokenvault audit``: the audit, through the service."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vault.bulk.atomic import atomic_output
from vault.cli.audit.export import export
from vault.cli.audit.lines import (
    finding_line,
    is_audit_read,
    json_line,
    long_line,
    nothing_line,
    plain_line,
)
from vault.cli.audit.ocsf.events import ocsf_line
from vault.cli.audit.offline import OfflineOptions
from vault.cli.audit.options import AuditFilterOptions
from vault.cli.audit.pages import (
    PAGE,
    ROLE,
    STREAM,
    FindingReporter,
    audit_pages,
    find_last,
    is_end,
    read_checkpoint_file,
)
from vault.cli.audit.prove import prove
from vault.cli.audit.prune import prune
from vault.cli.audit.receipt import app as receipt_app
from vault.cli.audit.report import report
from vault.cli.connection import ConnectionOptions
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption, with_option_groups
from vault.client import Client
from vault.v1.audit_service_pb2 import AuditFilter, AuditRecord

__all__ = ["app"]

app = typer.Typer(help="Read and check the audit.", no_args_is_help=True)
app.command()(export)
app.command()(prove)
app.command()(report)
app.add_typer(receipt_app, name="receipt")
app.command()(prune)

_FIRST_PAUSE = 0.5

FromOption = Annotated[
    int | None,
    typer.Option("--from", metavar="N", min=1, help="First position. Default: the last records."),
]


@app.command()
@with_option_groups
def verify(
    *,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A checkpoint from which nothing may be missing now; - is standard input.",
        ),
    ] = None,
    offline: OfflineOptions,
    as_json: JsonOption = False,
    connection: ConnectionOptions,
) -> None:
    """Has the service verify every audit record. Exit code 1 if anything is wrong.

    With --public-key it asks no service: what `audit export --format signed` or `audit prove`
    wrote is checked here, with the public key alone (`tokenvault keys public`).
    """
    if offline.wanted():
        offline.check(read_checkpoint_file(checkpoint) if checkpoint is not None else "", as_json)
        return
    earlier = read_checkpoint_file(checkpoint) if checkpoint is not None else ""
    with connection.open(default_role=ROLE) as client:
        answer = client.verify_audit(earlier)
    if as_json:
        findings = [
            {
                "kind": each.kind,
                "writer": each.writer,
                "number": each.number,
                "message": each.message,
            }
            for each in answer.findings
        ]
        typer.echo(
            json.dumps({"records": answer.records, "writers": answer.writers, "findings": findings})
        )
    else:
        writers = "1 writer" if answer.writers == 1 else f"{answer.writers:,} writers"
        typer.echo(f"{answer.records:,} records of {writers} read")
        for each in answer.findings:
            typer.echo(finding_line(each))
        typer.echo(f"{len(answer.findings):,} findings" if answer.findings else "nothing is wrong")
    if answer.findings:
        raise typer.Exit(ExitCode.FOUND)


@app.command()
@with_option_groups
def tail(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new records until Ctrl-C.")
    ] = False,
    start: FromOption = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Most records to print; with --follow, to begin with.")
    ] = 20,
    pause: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="With --follow: the longest pause between two looks while nothing happens.",
        ),
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON each.")] = False,
    as_ocsf: Annotated[
        bool, typer.Option("--ocsf", help="Print an event of OCSF 1.8.0 each, as a line of JSON.")
    ] = False,
    records: AuditFilterOptions,
    long: Annotated[
        bool, typer.Option("--long", "-l", help="Add writer, record and request id to lines.")
    ] = False,
    connection: ConnectionOptions,
) -> None:
    """Prints audit records in the order of all servers, the last 20 by default.

    Every look is a call, and so a record itself. While nobody else does anything the pauses
    between looks grow to --pause. Records that are missing or were edited are printed whatever
    is asked for.
    """
    wanted = records.filter()
    if as_json and as_ocsf:
        raise typer.BadParameter("give --json or --ocsf: an event is a line of JSON too")
    line = long_line if long else plain_line
    line = json_line if as_json else ocsf_line if as_ocsf else line
    with connection.open(default_role=ROLE) as client:
        reporter = FindingReporter()
        if wanted is not None and start is None:
            position = _print_last(client, wanted, limit, line, reporter)
        else:
            position = _print_page(client, start or 0, limit, line, reporter, wanted)
        if follow:
            _follow(client, position, min(_FIRST_PAUSE, pause), pause, line, reporter, wanted)
        reporter.exit()


@app.command("checkpoint")
@with_option_groups
def make_checkpoint(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: standard output, as -."),
    ] = None,
    connection: ConnectionOptions,
) -> None:
    """Has the service make a checkpoint. Keep it where the database's owner cannot write."""
    with connection.open(default_role=ROLE) as client:
        answer = client.checkpoint_audit()
    if output is None or output == STREAM:
        typer.echo(answer.checkpoint.encode(), nl=False)  # as it was signed, in any locale
    else:
        with atomic_output(output) as stream:
            stream.write(answer.checkpoint.encode())
        when = answer.time.ToDatetime().isoformat(sep=" ", timespec="seconds")
        typer.echo(f"checkpoint of {when} UTC written to {output}")
    reporter = FindingReporter()
    reporter.report(answer.findings)
    reporter.exit()


def _print_last(
    client: Client,
    wanted: AuditFilter,
    limit: int,
    line: Callable[[AuditRecord], str],
    reporter: FindingReporter,
) -> int:
    """Prints the last records that are wanted; returns the position after the audit's end."""
    found, page, end = find_last(client, wanted, limit, reporter)
    for record in found:
        typer.echo(line(record))
    if not found:
        typer.echo(nothing_line(page.first, page, wanted), err=True)
    return end


def _print_page(
    client: Client,
    position: int,
    limit: int,
    line: Callable[[AuditRecord], str],
    reporter: FindingReporter,
    wanted: AuditFilter | None = None,
) -> int:
    """Prints up to ``limit`` records; returns the position after them."""
    if position == 0 and limit > PAGE:
        # The service counts back a page at most.
        position = max(1, client.tail_audit(0, 1).next - limit)
    first, found = position, False
    while limit > 0:
        most = min(limit, PAGE)
        page = client.tail_audit(position, most, wanted=wanted)
        reporter.report(page.findings)
        for record in page.records:
            typer.echo(line(record))
        limit -= len(page.records)
        position, found = page.next, found or bool(page.records)
        if is_end(page, most, wanted):
            if not found:
                typer.echo(nothing_line(first, page, wanted), err=True)
            break
    return position


def _follow(
    client: Client,
    position: int,
    first: float,
    longest: float,
    line: Callable[[AuditRecord], str],
    reporter: FindingReporter,
    wanted: AuditFilter | None = None,
) -> None:
    pause = first
    while True:
        time.sleep(pause)
        quiet = True
        for page in audit_pages(client, position, wanted):
            reporter.report(page.findings)
            for record in page.records:
                typer.echo(line(record))
                quiet = quiet and is_audit_read(record)
            position = page.next
        # A look finds at least the record of the look before: that alone is no news.
        pause = min(longest, pause * 2) if quiet else first
