"""Pages of the audit as commands ask for them, and what the service finds on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from vault.cli.audit_lines import finding_line
from vault.cli.exits import ExitCode
from vault.client import Client
from vault.errors import ConfigError
from vault.v1.audit_service_pb2 import AuditFilter, AuditFinding, TailAuditResponse

__all__ = ["PAGE", "ROLE", "STREAM", "FindingReporter", "audit_pages", "is_end"]

ROLE = "auditor"  # of a development environment, by default
PAGE = 1000  # records the service gives at once
STREAM = Path("-")


class FindingReporter:
    """Prints each finding that comes with an answer once, on stderr."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def report(self, findings: Iterable[AuditFinding]) -> None:
        """Prints what was not printed before."""
        for line in map(finding_line, findings):
            if line not in self._reported:
                self._reported.add(line)
                typer.echo(f"{line}: run `tokenvault audit verify`", err=True)

    def exit(self) -> None:
        """Exits with code 1 where anything was reported."""
        if self._reported:
            raise typer.Exit(ExitCode.FOUND)


def audit_pages(
    client: Client, position: int, wanted: AuditFilter | None = None
) -> Iterator[TailAuditResponse]:
    """Yields pages up to the present end of the audit."""
    while True:
        page = client.tail_audit(position, PAGE, wanted=wanted)
        yield page
        position = page.next
        if is_end(page, PAGE, wanted):
            return


def is_end(page: TailAuditResponse, most: int, wanted: AuditFilter | None) -> bool:
    """Tells whether a page is the last one of its kind."""
    if wanted is None:
        return len(page.records) < most
    if not page.last and page.next > 1:
        raise ConfigError("the server is older than this command and cannot filter: upgrade it")
    return page.next > page.last
