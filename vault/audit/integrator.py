"""Gives every record of every writer its position in the log, one integrator at a time.

Every server tries; an advisory lock lets one work at a time. A server that finds that
another has just done the work does nothing. What the lock would let through, the
log's primary key stops: no position is ever given twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import cast
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from vault.audit import integrator_sql as sql
from vault.audit.chain import KeyOf
from vault.audit.checkpoint import CheckpointLog
from vault.audit.integration_batch import WriterBacklog, merge_by_time, time_of, verified_prefix
from vault.audit.log import LogRoot, grown_trees, make_entries, make_root
from vault.audit.merkle import EMPTY, Tree
from vault.audit.record import Record
from vault.crypto.field_key import MacKey
from vault.errors import AuditUnavailable, Reason
from vault.postgres.advisory_locks import AdvisoryLock
from vault.postgres.failures import translate_for_audit, translated
from vault.postgres.transaction import execute
from vault.service.audit import Finding

__all__ = ["IntegrationStatus", "Integrator"]

_log = structlog.get_logger(__name__)
_execute = partial(execute, failure_of=translate_for_audit)

_RETRY_STALLED = 30.0  # seconds: a record that was put right is then integrated like any other
_OBSERVE_INTERVAL = 5.0  # seconds after which a server observes the log itself, whoever works
_STEPS = 10  # transactions of a round: a long backlog must not starve this process's calls
_LOGGED = 100  # bad records of one transaction that are logged one by one


@dataclass(frozen=True, slots=True)
class IntegrationStatus:
    """The state of the log after a round.

    Attributes:
        integrated: records that this round gave a position.
        waiting: records without a position, those of stalled writers too.
        oldest: seconds for which the oldest of them has waited, stalled writers left out.
        stalled: writers that are stopped, and the record that does not verify.
    """

    integrated: int = 0
    waiting: int = 0
    oldest: float = 0.0
    stalled: Mapping[UUID, Finding] = field(default_factory=dict)


_RootRow = tuple[int, int, bytes, bytes, bytes]
_RecordRow = tuple[UUID, int, int, bytes, bytes, str]


@dataclass(frozen=True, slots=True)
class _LogTip:
    """The log's tree, and the MAC of its root."""

    tree: Tree = EMPTY
    mac: bytes = b""


@dataclass(frozen=True, slots=True)
class _LogEnd:
    """The log's end, and how many more records there are by the heads; below 0: heads are gone."""

    tip: _LogTip
    pending: int


@dataclass(frozen=True, slots=True)
class _StepResult:
    """What a transaction did: the log's end after it, its entries, the bad records."""

    tip: _LogTip
    count: int = 0
    findings: Mapping[UUID, Finding] = field(default_factory=dict)


class Integrator:
    """One server process's part in the integration. For one thread."""

    def __init__(
        self,
        engine: Engine,
        key: Callable[[], MacKey],
        key_of: KeyOf,
        *,
        batch: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes where the active audit key is, and that of a version (see ``verify``).

        Args:
            batch: most records of one transaction.
            clock: seconds on a monotonic clock.
        """
        self._engine = engine
        self._key = key
        self._key_of = key_of
        self._batch = batch
        self._clock = clock
        self._tip = _LogTip()
        self._status = IntegrationStatus()
        self._observed_at = -float("inf")
        self._stalled: dict[UUID, Finding] = {}
        self._retry = -float("inf")

    def last_log(self) -> CheckpointLog | None:
        """Returns the log as of the last round, None for an empty one. For any thread."""
        tree = self._tip.tree
        return CheckpointLog(tree.size, tree.root()) if tree.size else None

    def integrate(self) -> IntegrationStatus:
        """Runs one round: integrates what there is, unless another server does.

        Raises:
            AuditUnavailable: the database is unavailable, or the log itself was tampered with
                (reason INTERNAL): this process integrates nothing then.
            KeysUnavailable: the audit key is unavailable.
        """
        integrated = 0
        for _ in range(_STEPS):
            done = self._step()
            integrated += done
            if not done or not self._status.waiting:
                break
        return replace(self._status, integrated=integrated)

    @translated(translate_for_audit)
    def _step(self) -> int:
        """Runs one transaction; returns how many records it integrated."""
        with self._engine.begin() as connection:
            alone = _execute(connection, sql.BEGIN, {"lock": int(AdvisoryLock.INTEGRATION)})[0][-1]
            end = self._read_end(connection)
            others_work = not alone or end.tip.tree.size > self._tip.tree.size
            done = _StepResult(end.tip)
            if not others_work or self._clock() - self._observed_at >= _OBSERVE_INTERVAL:
                if alone:
                    done = self._integrate(connection, end)
                self._observe(connection, end.pending - done.count, done.findings)
        # Only what is committed is remembered.
        self._tip = done.tip
        return done.count

    # -- the log's end ----------------------------------------------------------------

    def _read_end(self, connection: Connection) -> _LogEnd:
        known = self._tip.tree.size
        rows = _execute(connection, sql.TIP, {"known": known})
        written, last = cast("tuple[int, int]", rows[0][:2])
        roots = [LogRoot(*cast("_RootRow", row[2:])) for row in rows if row[2] is not None]
        if known and (not roots or roots[0].size != known or roots[0].mac != self._tip.mac):
            size = roots[-1].size if roots else 0
            raise _tampered(f"the log was put back from {known} entries to {size}, or rewritten")
        tip = _LogTip()
        if roots:
            tree = roots[-1].tree(self._key_of)
            if tree is None:
                raise _tampered(f"the log's root over {roots[-1].size} entries was edited")
            tip = _LogTip(tree, roots[-1].mac)
        if last != tip.tree.size:
            raise _tampered(f"the log's last entry is {last}, its last root is of {tip.tree.size}")
        return _LogEnd(tip, written - last)

    # -- the work ---------------------------------------------------------------------

    def _integrate(self, connection: Connection, end: _LogEnd) -> _StepResult:
        retry = self._clock() >= self._retry
        if not (end.pending or retry):
            return _StepResult(end.tip)
        writers = self._backlogs(connection, () if retry else self._stalled)
        if retry:
            self._retry = self._clock() + _RETRY_STALLED
            self._stalled.clear()
        good: list[Record] = []
        findings: dict[UUID, Finding] = {}
        fetched = self._fetch(connection, writers)
        for writer in writers:
            records, finding = verified_prefix(writer, fetched.get(writer.writer, ()), self._key_of)
            good += records
            if finding is not None:
                findings[writer.writer] = finding
        tip = self._append(connection, end.tip, merge_by_time(good)) if good else end.tip
        return _StepResult(tip, len(good), findings)

    def _backlogs(self, connection: Connection, without: Iterable[UUID]) -> list[WriterBacklog]:
        parameters = {"stalled": list(without), "most": self._batch}
        rows = _execute(connection, sql.BACKLOGS, parameters)
        return [WriterBacklog(*cast("tuple[UUID, int, int, bytes]", row)) for row in rows]

    def _fetch(
        self, connection: Connection, writers: Sequence[WriterBacklog]
    ) -> Mapping[UUID, Sequence[Record]]:
        if not writers:
            return {}
        parameters = {
            "writers": [writer.writer for writer in writers],
            "after": [writer.integrated for writer in writers],
            "heads": [writer.head for writer in writers],
            "most": max(1, self._batch // len(writers)),
        }
        rows = _execute(connection, sql.RECORDS, parameters)
        records = [Record(*cast("_RecordRow", row)) for row in rows]
        grouped = groupby(records, lambda record: record.writer)
        return {writer: list(own) for writer, own in grouped}

    def _append(self, connection: Connection, tip: _LogTip, records: Sequence[Record]) -> _LogTip:
        entries = make_entries(tip.tree.size + 1, records)
        trees = grown_trees(tip.tree, [entry.leaf for entry in entries])
        roots = [make_root(self._key(), tree) for tree in trees]
        parameters: dict[str, object] = {
            "positions": [entry.position for entry in entries],
            "writers": [entry.writer for entry in entries],
            "numbers": [entry.number for entry in entries],
            "macs": [entry.mac for entry in entries],
            "leaves": [entry.leaf for entry in entries],
            "digests": [entry.body_digest for entry in entries],
            "sizes": [root.size for root in roots],
            "key_versions": [root.key_version for root in roots],
            "peaks": [root.peaks for root in roots],
            "roots": [root.root for root in roots],
            "root_macs": [root.mac for root in roots],
        }
        expected = parameters["positions"], parameters["sizes"]
        done = [tuple(map(_sorted, row)) for row in _execute(connection, sql.APPEND, parameters)]
        if done != [expected]:
            raise _tampered("the database did not add all entries to the log")
        return _LogTip(trees[-1], roots[-1].mac)

    # -- what is reported -----------------------------------------------------------------

    def _observe(
        self, connection: Connection, waiting: int, findings: Mapping[UUID, Finding]
    ) -> None:
        known = self._status.stalled.values()
        new = [finding for finding in findings.values() if finding not in known]
        for finding in new[:_LOGGED]:
            _log.error(
                "audit record not integrated",
                writer=finding.writer,
                number=finding.number,
                kind=finding.kind,
                problem=finding.message,
            )
        self._stalled.update(findings)
        oldest = self._oldest(connection) if waiting > 0 else 0.0
        self._status = IntegrationStatus(0, max(0, waiting), oldest, dict(self._stalled))
        self._observed_at = self._clock()

    def _oldest(self, connection: Connection) -> float:
        rows = _execute(connection, sql.WAITING, {"stalled": list(self._stalled)})
        begun = [(now, time_of(str(body))) for now, body in rows]
        ages = [(cast("datetime", now) - then).total_seconds() for now, then in begun if then]
        return max([0.0, *ages])


def _sorted(numbers: object) -> list[int]:
    return sorted(cast("list[int]", numbers))


def _tampered(what: str) -> AuditUnavailable:
    return AuditUnavailable(f"{what}: run `tokenvault audit verify`", reason=Reason.INTERNAL)
