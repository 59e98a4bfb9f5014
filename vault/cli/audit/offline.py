"""``tokenvault audit verify`` without a service: what an outsider checks with a public key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from sys import stdin
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from vault.cli.audit.lines import json_line, plain_line
from vault.cli.audit.pages import STREAM
from vault.cli.exits import ExitCode
from vault.cli.printable import one_line
from vault.v1.audit_service_pb2 import AuditRecord

if TYPE_CHECKING:
    from vault.audit.export.check import ExportReport
    from vault.audit.export.signed_tree import SignedTree
    from vault.audit.tlog.note import NoteKey

__all__ = ["OfflineOptions", "lines_of", "opened", "read_keys", "read_text"]

_MAX_LINE = 8 << 20  # bytes: no line of an export is longer
_MAX_KEYS = 1 << 20


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """What is checked without a service."""

    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check this export offline; - is standard input."),
    ] = None
    proof: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Check this proof offline; that of a log's growth needs --checkpoint.",
        ),
    ] = None
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With these two: what `keys public` printed."),
    ] = None

    def wanted(self) -> bool:
        """Returns whether no service is asked. Raises typer.BadParameter."""
        given = sum(each is not None for each in (self.export, self.proof))
        if given != (self.public_key is not None):
            raise typer.BadParameter("--public-key goes with one of --export and --proof")
        return bool(given)

    def check(self, checkpoint: str, as_json: bool) -> None:
        """Checks the file and prints what was found; exits with 1 if anything is wrong.

        Args:
            checkpoint: from which nothing may be missing; empty for none.
        """
        from vault.audit.export.signed_tree import read_signed_tree

        keys = read_keys(self.public_key) if self.public_key is not None else []
        try:
            earlier = read_signed_tree(checkpoint, keys) if checkpoint else None
        except ValueError as error:
            raise typer.BadParameter(f"--checkpoint: {error}") from None
        if self.export is not None:
            _check_export(self.export, keys, earlier, as_json)
        elif self.proof is not None:
            _check_proof(self.proof, keys, earlier, as_json)


def _check_export(
    path: Path, keys: Sequence[NoteKey], earlier: SignedTree | None, as_json: bool
) -> None:
    from vault.audit.export.check import check_export

    with opened(path) as stream:
        report = check_export(lines_of(stream), keys, earlier)
    typer.echo(_as_json(report) if as_json else "\n".join(_for_people(report)))
    if report.findings:
        raise typer.Exit(ExitCode.FOUND)


def _check_proof(
    path: Path, keys: Sequence[NoteKey], earlier: SignedTree | None, as_json: bool
) -> None:
    from vault.audit.tlog.proof_files import InclusionProof

    text = read_text(path)
    of_record = InclusionProof.is_one(text)
    if of_record != (earlier is None):
        raise typer.BadParameter(
            "--checkpoint goes with a proof of the log's growth, and only with that"
        )
    try:
        found = _proved_record(text, keys) if earlier is None else _growth(text, keys, earlier)
        problem = ""
    except ValueError as error:
        found, problem = {}, f"the proof does not hold: {error}"
    if as_json:
        typer.echo(json.dumps({"holds": not problem, **found, "problem": problem or None}))
    else:
        typer.echo(one_line(problem or str(found["message"])))
    if problem:
        raise typer.Exit(ExitCode.FOUND)


def _proved_record(text: str, keys: Sequence[NoteKey]) -> Mapping[str, object]:
    from vault.audit.export.proof_check import check_inclusion

    tree, line = check_inclusion(text, keys)
    if not line.body or line.entry is None:
        raise ValueError(f"the record at position {line.position} is missing: its place alone is")
    unproved = line.entry.body_digest is None
    content = "its place, not its content (an earlier release logged it)" if unproved else "proved"
    record = AuditRecord(
        position=line.position,
        writer=str(line.entry.writer),
        number=line.entry.number,
        body=line.body,
    )
    said = f"{plain_line(record).strip()}: {content}, in the log {tree.origin} of {tree.size:,}"
    return {
        "origin": tree.origin,
        "size": tree.size,
        "content_proved": not unproved,
        "record": json.loads(json_line(record)),
        "message": f"{said} entries",
    }


def _growth(text: str, keys: Sequence[NoteKey], earlier: SignedTree) -> Mapping[str, object]:
    from vault.audit.export.proof_check import check_consistency

    tree = check_consistency(text, keys, earlier)
    grown = f"{earlier.size:,} to {tree.size:,} entries"
    return {
        "origin": tree.origin,
        "size": tree.size,
        "old_size": earlier.size,
        "message": f"the log {tree.origin} grew from {grown}, and nothing else changed",
    }


def read_keys(path: Path) -> list[NoteKey]:
    """Reads public keys as `keys public` prints them. Raises typer.BadParameter."""
    from vault.audit.export.signed_tree import read_vkeys

    with path.open("rb") as stream:
        content = stream.read(_MAX_KEYS)
    try:
        return read_vkeys(content.decode("ascii"))
    except ValueError:
        raise typer.BadParameter(
            f"{path} has no public keys as `tokenvault keys public` prints them"
        ) from None


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yields the lines of an export, each of a bounded length."""
    while line := stream.readline(_MAX_LINE):
        yield line


def read_text(path: Path) -> str:
    """Reads a file of bounded length, - for standard input."""
    with opened(path) as stream:
        return stream.read(_MAX_LINE).decode("utf-8", "replace")


def opened(path: Path) -> AbstractContextManager[BinaryIO]:
    """Opens a file, - for standard input."""
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
    if report.pruned:
        yield (
            f"{report.pruned:,} of them were pruned: their places are proved, and an export from"
            " before has their content"
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
            "pruned": report.pruned,
            "findings": [{"kind": each.kind, "message": each.message} for each in report.findings],
        }
    )
