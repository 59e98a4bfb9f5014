"""The use cases of auditors: reading and verifying the audit. They are audited too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import BoundedSemaphore, Lock
from typing import Protocol

from vault.errors import InvalidRequest, Reason, Unavailable
from vault.model import Action, Caller
from vault.service.admission import Admission
from vault.service.audit_filter import EVERYTHING, AuditFilter
from vault.service.call import Call

__all__ = [
    "MAX_PAGE",
    "AuditPage",
    "AuditProof",
    "AuditQueries",
    "AuditReport",
    "AuditSearch",
    "AuditService",
    "Finding",
    "PositionedRecord",
    "SignedCheckpoint",
]

MAX_PAGE = 1000  # records of an answer
_PAGE = 100
_SEARCHES = 2  # at once


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the audit.

    Attributes:
        writer: the writer whose chain is broken, or empty where it concerns all.
        number: the record's number within its writer's chain, from 1, or 0.
        kind: EDITED, DELETED, INSERTED, REORDERED, TRUNCATED, UNKNOWN_WRITER,
            KEY_LOST, BROUGHT_BACK, ALTERED_TABLE, FORGED_ROW or ROLLED_BACK.
    """

    writer: str
    number: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Outcome of a verification: how much was read, and what is wrong."""

    records: int
    writers: int
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class PositionedRecord:
    """A record in the order of all writers.

    Attributes:
        body: canonical JSON, or empty where the record is gone or does not verify.
        mac: its MAC.
        body_digest: SHA-256 of its body; empty where its leaf is of version 1.
        leaf: what the log's Merkle tree has of it; empty where the log's entry is gone.
        pruned: it is gone because its time was over.
    """

    position: int
    writer: str
    number: int
    body: str = field(repr=False)
    mac: bytes = b""
    body_digest: bytes = b""
    leaf: bytes = b""
    pruned: bool = False


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the audit.

    Attributes:
        records: by rising position.
        next: the position to ask for next.
        lag: how many records have no position yet.
        findings: what this server knows to be missing, wherever in the audit.
        first: the lowest position that a search looked at.
        last: the last position that there is, of a search.
        peaks: the peaks of the log's tree before the first position, where they were asked for.
    """

    records: Sequence[PositionedRecord]
    next: int
    lag: int
    findings: Sequence[Finding] = ()
    first: int = 0
    last: int = 0
    peaks: bytes = b""


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Which records are wanted, and where.

    Attributes:
        position: from here upwards; 0 stands for the last ones, downwards.
        before: only below this position, if above 0.
    """

    position: int
    limit: int
    before: int = 0
    wanted: AuditFilter = EVERYTHING


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint as a signed note (C2SP tlog-checkpoint), and when it was made.

    Attributes:
        text: empty where nothing was ever written, and ``time`` is None.
        findings: what the database lacks of it, by this server's own knowledge.
    """

    text: str
    time: datetime | None
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class AuditProof:
    """What is proved of the log that a checkpoint is of.

    Attributes:
        record: the one whose place ``inclusion`` proves; None where none was asked for.
        consistency: shows that the log continues an earlier state of itself.
    """

    checkpoint: str
    record: PositionedRecord | None
    inclusion: Sequence[bytes] = ()
    consistency: Sequence[bytes] = ()


class AuditQueries(Protocol):
    """Reads the audit. Raises AuditUnavailable, KeysUnavailable."""

    def verify(self, checkpoint: str = "", *, deadline: float | None = None) -> AuditReport:
        """Verifies every record as of now; gives up at ``deadline`` (``time.monotonic()``).

        Raises InvalidRequest where the checkpoint is none of this audit.
        """

    def tail(self, position: int, limit: int, *, peaks: bool = False) -> AuditPage:
        """Returns records from a position on; from 0, the last ``limit``."""

    def search(self, search: AuditSearch, *, deadline: float | None = None) -> AuditPage:
        """Returns records that a filter wants; gives up, and says where, before ``deadline``."""

    def checkpoint(self) -> SignedCheckpoint:
        """Returns the audit's state as of now."""

    def prove(self, position: int, old: int) -> AuditProof:
        """Proves a record's place, and that the log continues its first ``old`` entries.

        Raises InvalidRequest where there is no such position or size; 0: not asked for.
        """


class AuditService:
    """The use cases of auditors."""

    def __init__(self, admission: Admission, reader: AuditQueries) -> None:
        self._admission = admission
        self._reader = reader
        self._verifying = Lock()
        # Tokens must not wait for auditors: a search reads for seconds.
        self._searching = BoundedSemaphore(_SEARCHES)

    def verify_audit(self, call: Call, checkpoint: str = "") -> AuditReport:
        """Verifies numbering, chain, MAC and position of every audit record."""
        permit = self._admission.admit(call, Action.READ_AUDIT)
        report = self._admission.attempt(permit, lambda: self._verify(call.caller, checkpoint))
        self._admission.record(permit.event)
        return report

    def search_audit(self, call: Call, search: Callable[[], AuditSearch]) -> AuditPage:
        """Returns what a search finds in its time. ``search`` may raise InvalidRequest."""
        permit = self._admission.admit(call, Action.READ_AUDIT)
        page = self._admission.attempt(permit, lambda: self._search(call.caller, search()))
        self._admission.record(replace(permit.event, counts={"ok": len(page.records)}))
        return page

    def tail_audit(
        self, call: Call, position: int, limit: int, *, peaks: bool = False
    ) -> AuditPage:
        """Returns a page of the audit; ``limit`` 0 stands for 100 records."""
        permit = self._admission.admit(call, Action.READ_AUDIT)
        page = self._admission.attempt(permit, lambda: self._tail(position, limit, peaks))
        self._admission.record(replace(permit.event, counts={"ok": len(page.records)}))
        return page

    def checkpoint_audit(self, call: Call) -> SignedCheckpoint:
        """Returns a checkpoint, to be kept outside of the database."""
        permit = self._admission.admit(call, Action.READ_AUDIT)
        checkpoint = self._admission.attempt(permit, self._reader.checkpoint)
        self._admission.record(permit.event)
        return checkpoint

    def prove_audit(self, call: Call, position: int, old: int) -> AuditProof:
        """Returns what outsiders can check of a record's place, and of the log's growth."""
        permit = self._admission.admit(call, Action.READ_AUDIT)
        proof = self._admission.attempt(permit, lambda: self._prove(position, old))
        self._admission.record(permit.event)
        return proof

    def _prove(self, position: int, old: int) -> AuditProof:
        if min(position, old) < 0 or not max(position, old):
            raise InvalidRequest("a proof is of a position, from 1, or of a log's earlier size")
        return self._reader.prove(position, old)

    def _verify(self, caller: Caller, checkpoint: str) -> AuditReport:
        # One at a time: each reads the whole audit, and tokens must not wait for auditors.
        if not self._verifying.acquire(blocking=False):
            raise Unavailable(
                "another verification is running: try again later", reason=Reason.OVERLOADED
            )
        try:
            return self._reader.verify(checkpoint, deadline=caller.deadline)
        finally:
            self._verifying.release()

    def _search(self, caller: Caller, search: AuditSearch) -> AuditPage:
        _check_page(min(search.position, search.before), search.limit)
        search.wanted.check()
        if not self._searching.acquire(blocking=False):
            raise Unavailable(
                "too many searches of the audit are running: try again later",
                reason=Reason.OVERLOADED,
            )
        try:
            bounded = replace(search, limit=search.limit or _PAGE)
            return self._reader.search(bounded, deadline=caller.deadline)
        finally:
            self._searching.release()

    def _tail(self, position: int, limit: int, peaks: bool) -> AuditPage:
        _check_page(position, limit)
        if peaks and not position:
            raise InvalidRequest("peaks are those before a position: name it")
        return self._reader.tail(position, limit or _PAGE, peaks=peaks)


def _check_page(position: int, limit: int) -> None:
    if position < 0:
        raise InvalidRequest("positions begin at 1; 0 asks for the last records")
    if not 0 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"a page has 1 to {MAX_PAGE} records")
