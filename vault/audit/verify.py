"""Verification of the whole audit: every chain, the list of chains itself, and the log.

Detected by the audit alone: an edited, deleted, moved or inserted record, records missing
at a chain's end, a missing writer. What the log holds cannot go together with its head or
its writer unseen; whoever puts the log back with it is shown by a later writer's opening,
by a checkpoint, or by what the running server that verifies knows itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

from vault.audit.chain import Chain, FindingKind, KeyOf
from vault.audit.checkpoint import Checkpoint
from vault.audit.checks.pruning_check import PruningCheck
from vault.audit.log import LogRoot
from vault.audit.log_check import KnownLog, LogCheck, LoggedMac
from vault.audit.memory import NOTHING_REMEMBERED, RememberedAudit
from vault.audit.pruning.stored import Retained
from vault.audit.record import Head, Opening, Record, Writer, read_opening
from vault.errors import DecryptionFailed
from vault.service.audit import AuditReport, Finding

__all__ = ["MAX_FINDINGS", "AuditSnapshot", "verify"]

MAX_FINDINGS = 1000


@dataclass(frozen=True)
class AuditSnapshot:
    """The audit at one time.

    Attributes:
        writers: ordered by ordinal.
        openings: record 1 of every chain, in any order.
        records: all records, ordered by writer and then number; read once.
        log: all entries of the log, ordered by position; read once, before the records.
        roots: all roots of the log, ordered by size; read once, along with it.
        pruning: notes the log's entries, and then inspects the records, as they are read.
    """

    writers: Sequence[Writer]
    heads: Mapping[UUID, Head]
    openings: Iterable[Record]
    records: Iterable[Record] = field(repr=False)
    log: Iterable[LoggedMac] = field(default=(), repr=False)
    roots: Iterable[LogRoot] = field(default=(), repr=False)
    pruning: PruningCheck = field(default_factory=lambda: PruningCheck(Retained()))


def verify(
    snapshot: AuditSnapshot,
    key_of: KeyOf,
    checkpoint: Checkpoint | None = None,
    remembered: RememberedAudit = NOTHING_REMEMBERED,
) -> AuditReport:
    """Verifies every record and every writer.

    Args:
        key_of: the audit key of a version. May raise KeysUnavailable, and
            DecryptionFailed for a version that never was.
        checkpoint: heads and log seen earlier, kept outside of the database.
        remembered: what this process knows of them, as of a time before the snapshot.
    """
    pruning = snapshot.pruning
    log = LogCheck(key_of, _known_logs(checkpoint, remembered, pruning))
    log.run(pruning.note(snapshot.log), snapshot.roots)
    openings = _genuine_openings(snapshot.openings, key_of)
    anchors = _anchors(openings.values(), checkpoint, log, remembered)
    findings = _writer_findings(snapshot, openings, anchors)
    known = {writer.writer for writer in snapshot.writers}
    read, unread = 0, set(known)
    inspected = pruning.inspect(snapshot.records)
    for writer, records in groupby(inspected, lambda record: record.writer):
        chain = Chain(writer, key_of, anchors.get(writer, {}), pruning.through(writer))
        for record in records:
            chain.feed(record)
            read += 1
        unread.discard(writer)
        if writer in known:
            findings.extend(chain.findings(snapshot.heads.get(writer))[:MAX_FINDINGS])
        elif not any(finding.writer == str(writer) for finding in findings):
            findings.append(_unknown(str(writer), "records of a writer that no server opened"))
    for writer in sorted(unread, key=str):
        empty = Chain(writer, key_of, anchors.get(writer, {}))
        findings.extend(empty.findings(snapshot.heads.get(writer)))
    findings += [*_log_findings(log, findings), *pruning.findings()]
    return AuditReport(read, len(snapshot.writers), findings[:MAX_FINDINGS])


def _log_findings(log: LogCheck, others: Iterable[Finding]) -> list[Finding]:
    if not log.sound:
        return log.findings
    # What the chain has named already need not be named for its place in the log too.
    named = {(finding.writer, finding.number) for finding in others}
    return [each for each in log.replaced if (each.writer, each.number) not in named]


def _genuine_openings(records: Iterable[Record], key_of: KeyOf) -> dict[UUID, Opening]:
    openings = {}
    for record in records:
        try:
            if record.verifies(key_of(record.key_version), record.writer, 1):
                openings[record.writer] = read_opening(record.body)
        except (DecryptionFailed, ValueError):
            continue  # the check of its chain says what is wrong with it
    return openings


def _known_logs(
    checkpoint: Checkpoint | None, remembered: RememberedAudit, pruning: PruningCheck
) -> Sequence[KnownLog]:
    seen = (
        (checkpoint.log if checkpoint else None, "the checkpoint"),
        (remembered.log, "what this server saw"),
        (pruning.log, "the pruning of it"),
    )
    return [KnownLog(log, source) for log, source in seen if log is not None]


def _anchors(
    openings: Iterable[Opening],
    checkpoint: Checkpoint | None,
    log: LogCheck,
    remembered: RememberedAudit,
) -> dict[UUID, dict[int, bytes]]:
    anchors: dict[UUID, dict[int, bytes]] = {}
    seen = [
        chain
        for opening in openings
        for chain in (opening.previous, opening.lost)
        if chain is not None
    ]
    if checkpoint is not None:
        seen += [(head.writer, head.number, head.mac) for head in checkpoint.heads]
    if log.sound:
        seen += [(writer, *last) for writer, last in log.last.items()]
    seen += [(chain.writer, chain.number, chain.mac) for chain in remembered.chains]
    for writer, number, mac in seen:
        anchors.setdefault(writer, {})
        if number > 0:  # 0: the writer had no head to name, but it was there
            anchors[writer][number] = mac
    return anchors


def _writer_findings(
    snapshot: AuditSnapshot, openings: Mapping[UUID, Opening], anchors: Mapping[UUID, object]
) -> list[Finding]:
    known = {writer.writer for writer in snapshot.writers}
    strangers = (openings.keys() | snapshot.heads.keys() | anchors.keys()) - known
    findings = [
        _unknown(str(writer), "the writer is missing from the list of writers")
        for writer in sorted(strangers, key=str)
    ]
    findings += _ordinal_findings(snapshot.writers, openings)
    findings += _opening_findings(snapshot.writers, openings)
    return findings


def _ordinal_findings(
    writers: Sequence[Writer], openings: Mapping[UUID, Opening]
) -> Iterator[Finding]:
    expected = 1
    for writer in writers:
        opening = openings.get(writer.writer)
        # The writer just before has been reported by its name, where this one names it.
        end = writer.ordinal - 1 if opening and opening.previous else writer.ordinal
        if end > expected:
            missing = (
                f"writers {expected} to {end - 1} are"
                if end - expected > 1
                else (f"writer {expected} is")
            )
            yield _unknown("", f"{missing} missing from the list of writers")
        expected = writer.ordinal + 1


def _opening_findings(
    writers: Sequence[Writer], openings: Mapping[UUID, Opening]
) -> Iterator[Finding]:
    at = {writer.ordinal: writer.writer for writer in writers}
    before: set[UUID | None] = set()
    for writer in writers:
        opening = openings.get(writer.writer)
        if opening is None:
            continue  # the check of its chain says why
        previous = opening.previous[0] if opening.previous else None
        wrong_place = opening.ordinal != writer.ordinal
        another = at.get(writer.ordinal - 1, previous) != previous
        if another and opening.previous_may_be_lost:
            another = previous not in before
        before.add(writer.writer)
        if wrong_place or another:
            text = f"the list of writers was edited: this one was opened as {opening.ordinal}"
            yield Finding(str(writer.writer), 1, FindingKind.EDITED.value, text)


def _unknown(writer: str, message: str) -> Finding:
    return Finding(writer, 0, FindingKind.UNKNOWN_WRITER.value, message)
