"""Checks a receipt against the log: its record is there, and is told as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vault.audit.export.check import ExportReport, check_export
from vault.audit.export.lines import ExportLine
from vault.audit.export.proof_check import check_inclusion
from vault.audit.export.signed_tree import SignedTree
from vault.audit.receipts.receipt import Receipt
from vault.audit.record import RecordId
from vault.audit.tlog.note import NoteKey

__all__ = ["check_against_export", "check_against_proof"]


def check_against_proof(
    receipt: Receipt, proof: str, keys: Sequence[NoteKey]
) -> tuple[SignedTree, int]:
    """Returns the signed log that the proof shows the receipt's record to be in, and where.

    Raises ValueError, with what is wrong for people.
    """
    tree, line = check_inclusion(proof, keys)
    _check_origin(receipt, tree)
    _check_line(receipt, line)
    return tree, line.position


def check_against_export(
    receipts: Sequence[Receipt], lines: Iterable[bytes], keys: Sequence[NoteKey]
) -> tuple[ExportReport, list[int | ValueError]]:
    """Checks an export, and looks for the record of each receipt in it.

    Returns the report, and of each receipt its record's position, or what is wrong for people.
    They count only where the report has no finding.
    """
    wanted = {receipt.record for receipt in receipts}
    found: dict[RecordId, ExportLine] = {}
    report = check_export(_watched(lines, wanted, found), keys)
    return report, [_position(each, found.get(each.record), report.tree) for each in receipts]


def _watched(
    lines: Iterable[bytes], wanted: set[RecordId], found: dict[RecordId, ExportLine]
) -> Iterator[bytes]:
    """Yields lines as they are, and notes those that are of a wanted record."""
    names = [f'"writer":"{each.writer}","number":{each.number},'.encode() for each in wanted]
    for line in lines:
        yield line
        if any(name in line for name in names):
            try:
                read = ExportLine.from_line(line.decode("ascii"))
            except ValueError:
                continue  # the report has it
            if read.entry is not None:
                found.setdefault(RecordId(read.entry.writer, read.entry.number), read)


def _position(
    receipt: Receipt, line: ExportLine | None, tree: SignedTree | None
) -> int | ValueError:
    if line is None:
        return ValueError("its record is not in the export")
    try:
        if tree is not None:
            _check_origin(receipt, tree)
        _check_line(receipt, line)
    except ValueError as error:
        return error
    return line.position


def _check_origin(receipt: Receipt, tree: SignedTree) -> None:
    if tree.origin != receipt.origin:
        raise ValueError(f"its record is in the log {receipt.origin!r}: this is another")


def _check_line(receipt: Receipt, line: ExportLine) -> None:
    entry = line.entry
    if entry is None or RecordId(entry.writer, entry.number) != receipt.record:
        raise ValueError("this is not its record")
    if entry.mac != receipt.mac or entry.body_digest not in (None, receipt.body_digest):
        raise ValueError("the log has another record in its place")
    # Of a body that is gone, the leaf says all the same what it was.
    if line.body and not receipt.tells(line.body):
        raise ValueError("the record says something else")
