"""Pages of the audit as commands ask for them, and what the service finds on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import typer

from vault.cli.audit.lines import finding_line
from vault.cli.exits import ExitCode
from vault.client import Client
from vault.errors import ConfigError
from vault.v1.audit_service_pb2 import AuditFilter, AuditFinding, AuditRecord, TailAuditResponse

__all__ = [
    "PAGE",
    "ROLE",
    "STREAM",
    "FindingReporter",
    "audit_pages",
    "find_last",
    "is_end",
    "read_checkpoint_file",
]

ROLE = "auditor"  # of a development environment, by default
PAGE = 1000  # records the service gives at once
_MAX_CHECKPOINT = 4 << 20  # bytes: no service takes more
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
    """Returns whether a page is the last one of its kind."""
    if wanted is None:
        return len(page.records) < most
    if not page.last and page.next > 1:
        raise ConfigError("the server is older than this command and cannot filter: upgrade it")
    return page.next > page.last


def find_last(
    client: Client, wanted: AuditFilter, limit: int, reporter: FindingReporter
) -> tuple[list[AuditRecord], TailAuditResponse, int]:
    """Searches for the last records that are wanted, the newest first.

    Returns them in their order, the last page that was read, and the position after the
    audit's end.
    """
    found: list[AuditRecord] = []
    before, end = 0, 0
    while True:
        page = client.tail_audit(0, min(limit - len(found), PAGE), wanted=wanted, before=before)
        is_end(page, PAGE, wanted)
        reporter.report(page.findings)
        found = [*page.records, *found]
        end, before = end or page.next, page.first
        if page.first <= 1 or len(found) >= limit:
            return found, page, end


def read_checkpoint_file(path: Path) -> str:
    """Reads a checkpoint, - for standard input. Raises typer.BadParameter."""
    opened = nullcontext(sys.stdin.buffer) if path == STREAM else path.open("rb")
    with opened as stream:
        content = stream.read(_MAX_CHECKPOINT + 1)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip() or len(content) > _MAX_CHECKPOINT:
        raise typer.BadParameter(f"{path} is no checkpoint")
    return text
