"""``tokenvault audit verify`` without a service: what an outsider checks with a public key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from sys import stdin
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from vault.cli.audit_pages import STREAM
from vault.cli.exits import ExitCode
from vault.cli.printable import one_line

if TYPE_CHECKING:
    from vault.audit.export.check import ExportReport
    from vault.audit.tlog.note import NoteKey

__all__ = ["OfflineOptions"]

_MOST_LINE = 8 << 20  # bytes: no line of an export is longer
_MOST_KEYS = 1 << 20


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """What is checked without a service."""

    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check this export offline; - is standard input."),
    ] = None
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --export: what `keys public` printed."),
    ] = None

    def wanted(self) -> bool:
        """Tells whether no service is asked. Raises typer.BadParameter."""
        if (self.export is None) != (self.public_key is None):
            raise typer.BadParameter("--export and --public-key go together")
        return self.export is not None

    def check(self, checkpoint: str, as_json: bool) -> None:
        """Checks the export and prints what was found; exits with 1 if anything is wrong.

        Args:
            checkpoint: from which nothing may be missing; empty for none.
        """
        from vault.audit.export.check import check_export
        from vault.audit.export.signed_tree import read_signed_tree

        if self.export is None or self.public_key is None:
            return
        keys = _keys(self.public_key)
        try:
            earlier = read_signed_tree(checkpoint, keys) if checkpoint else None
        except ValueError as error:
            raise typer.BadParameter(f"--checkpoint: {error}") from None
        with _opened(self.export) as stream:
            report = check_export(_lines(stream), keys, earlier)
        typer.echo(_as_json(report) if as_json else "\n".join(_for_people(report)))
        if report.findings:
            raise typer.Exit(ExitCode.FOUND)


def _keys(path: Path) -> list[NoteKey]:
    from vault.audit.export.signed_tree import read_vkeys

    with path.open("rb") as stream:
        content = stream.read(_MOST_KEYS)
    try:
        return read_vkeys(content.decode("ascii"))
    except ValueError:
        raise typer.BadParameter(
            f"{path} has no public keys as `tokenvault keys public` prints them"
        ) from None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(_MOST_LINE):
        yield line


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    return nullcontext(stdin.buffer) if path == STREAM else path.open("rb")


def _for_people(report: ExportReport) -> Iterator[str]:
    if report.tree is not None:
        made = f", made {report.tree.time}" if report.tree.time else ""
        yield one_line(f"log {report.tree.origin}, {report.tree.size:,} entries{made}")
    yield f"{report.records:,} records read, from position {report.first:,} on"
    if report.unproved:
        yield (
            f"{report.unproved:,} of them, up to position {report.last_unproved:,}, were logged by"
            " an earlier release: their places are proved, their content is not"
        )
    for each in report.findings:
        yield one_line(f"{each.kind}: {each.message}")
    yield f"{len(report.findings):,} findings" if report.findings else "nothing is wrong"


def _as_json(report: ExportReport) -> str:
    tree = report.tree
    return json.dumps(
        {
            "origin": tree.origin if tree else None,
            "size": tree.size if tree else None,
            "time": tree.time if tree else None,
            "from": report.first,
            "records": report.records,
            "unproved": report.unproved,
            "last_unproved": report.last_unproved,
            "findings": [{"kind": each.kind, "message": each.message} for each in report.findings],
        }
    )
