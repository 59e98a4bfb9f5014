"""``tokenvault audit receipt``: checks what a reveal's receipt says, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vault.cli.audit.lines import plain_line
from vault.cli.audit.offline import lines_of, opened, read_keys, read_text
from vault.cli.exits import ExitCode
from vault.cli.options import JsonOption
from vault.cli.printable import one_line
from vault.v1.audit_service_pb2 import AuditRecord

if TYPE_CHECKING:
    from vault.audit.receipts.receipt import Receipt
    from vault.audit.tlog.note import NoteKey

__all__ = ["app", "receipt_texts"]

app = typer.Typer(help="Check receipts of reveals.", no_args_is_help=True)


@app.callback()
def receipt() -> None:
    """Check receipts of reveals."""


@app.command()
def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Receipts, a line each; - is standard input.")
    ],
    public_key: Annotated[
        Path, typer.Option(metavar="FILE", help="What `tokenvault keys public` printed.")
    ],
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A signed export: their records must be in it."),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `audit prove` wrote of the one receipt's record."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Checks receipts with the public key alone; asks no service. Exit code 1 if one is wrong.

    A receipt's signature says what the service stated. That the record is in the log, where all
    others see it too, takes a signed export, or a proof (`audit prove --receipt`).
    """
    if export is not None and proof is not None:
        raise typer.BadParameter("give --export or --proof: one shows as much as the other")
    keys = read_keys(public_key)
    texts = receipt_texts(file)
    if proof is not None and len(texts) != 1:
        raise typer.BadParameter("--proof is of one receipt: give a file of one line")
    found = [_read(text, keys) for text in texts]
    if export is not None:
        _find_in_export(found, export, keys)
    if proof is not None:
        _find_in_proof(found[0], read_text(proof), keys)
    for number, each in enumerate(found, 1):
        typer.echo(json.dumps(each.document()) if as_json else one_line(each.line(number)))
    if any(each.problem for each in found):
        raise typer.Exit(ExitCode.FOUND)


def receipt_texts(path: Path) -> Sequence[str]:
    """Reads a file of receipts, - for standard input. Raises typer.BadParameter."""
    texts = [line for line in read_text(path).splitlines() if line.strip()]
    if not texts:
        raise typer.BadParameter(f"{path} has no receipt")
    return texts


@dataclass
class _Checked:
    """A receipt, as far as it could be read, and what is wrong with it.

    Attributes:
        position: of its record in the log, where that was proved.
    """

    receipt: Receipt | None
    problem: str = ""
    position: int = 0

    def document(self) -> Mapping[str, object]:
        """Returns what was found, for programs."""
        said: Mapping[str, object] = {}
        if self.receipt is not None:
            said = {
                "log": self.receipt.origin,
                "writer": str(self.receipt.record.writer),
                "number": self.receipt.record.number,
                "reveal": self.receipt.reveal,
            }
        holds, position = not self.problem, self.position or None
        return {"holds": holds, **said, "position": position, "problem": self.problem or None}

    def line(self, number: int) -> str:
        """Returns what was found, for people."""
        if self.receipt is None or self.problem:
            return f"receipt {number} does not hold: {self.problem}"
        body = json.dumps({**self.receipt.reveal, "kind": "call"})
        told = plain_line(AuditRecord(position=self.position, body=body)).strip()
        place = f"at position {self.position:,} of" if self.position else "signed for"
        return f"receipt {number}: {told.split(maxsplit=1)[1]}: {place} the log " + (
            self.receipt.origin
        )


def _read(text: str, keys: Sequence[NoteKey]) -> _Checked:
    from vault.audit.receipts.receipt import Receipt

    try:
        return _Checked(Receipt.from_envelope(text, keys))
    except ValueError as error:
        return _Checked(None, str(error))


def _find_in_export(found: Sequence[_Checked], path: Path, keys: Sequence[NoteKey]) -> None:
    from vault.audit.receipts.check import check_against_export

    read = [each for each in found if each.receipt is not None]
    receipts = [each.receipt for each in read if each.receipt is not None]
    with opened(path) as stream:
        report, places = check_against_export(receipts, lines_of(stream), keys)
    for each, place in zip(read, places, strict=True):
        if report.findings:
            each.problem = f"the export does not hold: {report.findings[0].message}"
        elif isinstance(place, ValueError):
            each.problem = str(place)
        else:
            each.position = place


def _find_in_proof(found: _Checked, proof: str, keys: Sequence[NoteKey]) -> None:
    from vault.audit.receipts.check import check_against_proof

    if found.receipt is None:
        return
    try:
        _, found.position = check_against_proof(found.receipt, proof, keys)
    except ValueError as error:
        found.problem = f"the proof does not hold: {error}"
