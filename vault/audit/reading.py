"""Reading the audit out of Postgres: verification, pages of the log, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause, text

from vault.audit.chain import KeyOf, is_genuine_record
from vault.audit.checkpoint import Checkpoint, CheckpointLog
from vault.audit.checkpoint_making import History, read_log, read_state
from vault.audit.checks.budget_check import BudgetCheck
from vault.audit.checks.freeze_check import FreezeCheck
from vault.audit.checks.honey_check import HoneyCheck
from vault.audit.checks.pruning_check import PruningCheck
from vault.audit.checks.reveal_check import RevealCheck
from vault.audit.erasure_check import ErasureCheck
from vault.audit.log import LogEntry, LogRoot
from vault.audit.log_check import LoggedMac
from vault.audit.memory import NOTHING_REMEMBERED, AuditMemory, RememberedAudit, find_missing
from vault.audit.merkle import Tree
from vault.audit.pruning.stored import pruned_through, read_retained
from vault.audit.record import Head, Record, Writer
from vault.audit.tree.hashes import SubtreeHashes
from vault.audit.tree.proving import prove_consistency, prove_inclusion
from vault.audit.tree.reading import read_tree
from vault.audit.verify import MAX_FINDINGS, AuditSnapshot, verify
from vault.errors import AuditUnavailable, InvalidRequest, Reason
from vault.postgres.failures import translate_for_audit, translated
from vault.service.audit import AuditReport, Finding

__all__ = ["Check", "LogPage", "LogProof", "LoggedRecord", "PostgresAuditReader"]

T = TypeVar("T")
Check = Callable[[Connection], Iterable[Finding]]
"""Checks something in the snapshot that is read. Raises what the driver raises."""

_FETCH = 1000  # records held in memory at once
_WRITERS = text("SELECT ordinal, writer, server FROM audit_writers ORDER BY ordinal")
_HEADS = text("SELECT writer, number, mac, key_version, head_mac FROM audit_heads")
_RECORD = "SELECT writer, number, key_version, previous, mac, body FROM audit_records"
_OPENINGS = text(f"{_RECORD} WHERE number = 1")
_RECORDS = text(f"{_RECORD} ORDER BY writer, number")
_LOG = text(
    "SELECT l.position, l.writer, l.number, l.mac, l.leaf, l.body_digest, r.mac,"
    " pg_catalog.sha256(pg_catalog.convert_to(r.body, 'UTF8')) FROM audit_log l"
    " LEFT JOIN audit_records r USING (writer, number) ORDER BY l.position"
)
_ROOT = "SELECT size, key_version, peaks, root, mac FROM audit_roots"
_ROOTS = text(f"{_ROOT} ORDER BY size")
_EXTENT = text(
    "SELECT (SELECT coalesce(max(position), 0) FROM audit_log),"
    " (SELECT least(coalesce(sum(number), 0), 1::bigint << 62)::bigint FROM audit_heads),"
    " set_config('statement_timeout', '10s', true), set_config('enable_seqscan', 'off', true)"
)
_BOUNDS = text(
    "SELECT set_config('statement_timeout', '10s', true), set_config('enable_seqscan', 'off', true)"
)
_LOGGED = text("""
SELECT u.writer, l.number FROM unnest(CAST(:writers AS uuid[])) AS u (writer)
CROSS JOIN LATERAL (
    SELECT number FROM audit_log WHERE writer = u.writer ORDER BY number DESC LIMIT 1
) l
""")
_POSITION = text(
    "SELECT position FROM audit_log WHERE writer = :writer AND number = :number LIMIT 1"
)
_PAGE = text("""
SELECT l.*, r.* FROM (
    SELECT position, writer, number, mac, leaf, body_digest FROM audit_log
    WHERE position >= :first ORDER BY position LIMIT :limit
) l LEFT JOIN LATERAL (
    SELECT writer, number, key_version, previous, mac, body FROM audit_records
    WHERE writer = l.writer AND number = l.number LIMIT 1
) r ON true
ORDER BY l.position
""")


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """An entry of the log with its record, None where it is gone, edited or another.

    Attributes:
        pruned: it is gone, and a pruning says that it may be.
    """

    entry: LogEntry
    record: Record | None
    pruned: bool = False


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of the log.

    Attributes:
        first: the first position wanted.
        records: those that are there, by position; one may be missing.
        lag: number of records that have no position yet.
        seen: the last position that this server knows was given.
        findings: what this server knows to be missing.
    """

    first: int
    records: Sequence[LoggedRecord]
    lag: int
    seen: int = 0
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class LogProof:
    """What is proved of a log, and the hashes that do so."""

    log: CheckpointLog
    origin: str
    record: LoggedRecord | None = None
    inclusion: Sequence[bytes] = ()
    consistency: Sequence[bytes] = ()


class PostgresAuditReader:
    """Reads the audit as of one moment."""

    def __init__(
        self,
        engine: Engine,
        key_of: KeyOf,
        memory: AuditMemory = lambda: NOTHING_REMEMBERED,
        checks: Sequence[Check] = (),
    ) -> None:
        """Takes what returns the audit key of a version (see ``verify``).

        Args:
            memory: returns what this process knows of the audit by itself.
            checks: run on what lies around the audit, in the snapshot that is read.
        """
        self._engine = engine
        self._key_of = key_of
        self._memory = memory
        self._checks = checks
        self._history = History()
        self._hashes = SubtreeHashes()

    @translated(translate_for_audit)
    def verify(
        self, checkpoint: Checkpoint | None = None, *, deadline: float | None = None
    ) -> AuditReport:
        """Verifies the whole audit as of now.

        Raises AuditUnavailable (DEADLINE_EXCEEDED at ``deadline``), KeysUnavailable.
        """
        remembered = self._memory()
        with self._snapshot() as connection:
            around = self._run_checks(connection)
            snapshot = _snapshot(connection, deadline)
            with closing(ErasureCheck(connection, self._key_of, deadline)) as erasures:
                freezes = FreezeCheck(connection, self._key_of)
                honey = HoneyCheck(connection, self._key_of)
                pruning = PruningCheck(read_retained(connection, self._key_of))
                records = erasures.inspect(iter(snapshot.records))
                records = honey.inspect(freezes.inspect(records))
                snapshot = replace(snapshot, records=records, pruning=pruning)
                report = verify(snapshot, self._key_of, checkpoint, remembered)
                budgets = BudgetCheck(connection, self._key_of).findings(pruning.sums)
                reveals = RevealCheck(connection, self._key_of).findings(pruning.sums)
                undone = [*erasures.findings(), *budgets, *reveals]
                undone += [*freezes.findings(), *honey.findings()]
        return replace(report, findings=[*around, *undone, *report.findings][:MAX_FINDINGS])

    @translated(translate_for_audit)
    def quick_check(self, writers: Sequence[UUID]) -> tuple[Sequence[Finding], dict[UUID, int]]:
        """Returns what is wrong around the audit, and at the ends of this process's chains.

        With it the number of each writer's last record in the log. Raises AuditUnavailable.
        """
        remembered = self._memory()
        with self._snapshot() as connection:
            connection.execute(_BOUNDS)
            rows = connection.execute(_LOGGED, {"writers": list(writers)})
            logged = {row[0]: row[1] for row in rows}
            return self._quick_check(connection, remembered), logged

    @translated(translate_for_audit)
    def checkpoint(self) -> tuple[Checkpoint | None, Sequence[Finding]]:
        """Returns heads and log as of now, None where nothing was ever written.

        With them what ``quick_check`` finds. What this server knows is in the checkpoint, whether
        or not the database has it. Verify all else first: a checkpoint says what is there,
        not that it is right. Raises AuditUnavailable, also (INTERNAL) where a head or the log's
        root is not a server's, and where the checkpoint would contradict an earlier one of its
        origin: nothing forged must leave under our signature. Raises KeysUnavailable.
        """
        remembered = self._memory()
        with self._snapshot() as connection:
            missing = find_missing(connection, remembered)
            findings = [*self._run_checks(connection), *missing]
            now, heads, log = read_state(connection, remembered, self._key_of)
            if not heads and log is None:
                return None, findings
            origin = self._history.origin(connection, complete=not missing)
        return Checkpoint(now, heads, log, origin), findings

    @translated(translate_for_audit)
    def note_origin(self) -> None:
        """Notes which history this process begins with. Raises AuditUnavailable."""
        with self._snapshot() as connection:
            self._history.origin(connection, complete=True)

    @translated(translate_for_audit)
    def position_of(self, writer: str, number: int) -> int | None:
        """Returns where a record stands in the log. Raises AuditUnavailable."""
        with self._snapshot() as connection:
            connection.execute(_BOUNDS)
            found = {"writer": UUID(writer), "number": number}
            position: int | None = connection.execute(_POSITION, found).scalar_one_or_none()
            return position

    @translated(translate_for_audit)
    def page(self, first: int, limit: int, *, quick_check: bool = True) -> LogPage:
        """Returns entries from a position on; from 0, the last ``limit``.

        Args:
            quick_check: return findings too.

        Raises AuditUnavailable, KeysUnavailable.
        """
        remembered = self._memory()
        with self._snapshot() as connection:
            last, written, *_ = connection.execute(_EXTENT).one()
            seen = max(last, remembered.log.size if remembered.log else 0)
            first = first or max(1, seen - limit + 1)
            rows = connection.execute(_PAGE, {"first": first, "limit": limit}).all()
            findings = self._quick_check(connection, remembered) if quick_check else ()
            records = self._logged_all(connection, rows)
        return LogPage(first, records, max(0, written - last), seen, findings)

    @translated(translate_for_audit)
    def tree(self, size: int) -> Tree:
        """Returns the tree of the log's first ``size`` entries.

        Raises InvalidRequest where there are not as many, AuditUnavailable.
        """
        with self._snapshot() as connection:
            connection.execute(_BOUNDS)
            return read_tree(connection, size)

    @translated(translate_for_audit)
    def prove(self, position: int, old: int) -> LogProof:
        """Proves a record to be in the log, and the log to continue itself; 0: not asked for.

        Raises InvalidRequest where the log has no such position or size; AuditUnavailable and
        KeysUnavailable as ``checkpoint``, and (INTERNAL) where nothing can be proved.
        """
        remembered = self._memory()
        with self._snapshot() as connection:
            connection.execute(_BOUNDS)
            found = LogProof(*self._log(connection, remembered))
            log = found.log
            if position:
                row = connection.execute(_PAGE, {"first": position, "limit": 1}).one_or_none()
                entry = LogEntry(*row[:6]) if row is not None else None
                if row is None or entry is None or entry.position != position:
                    raise InvalidRequest(f"the log has no position {position}")
                path = prove_inclusion(connection, self._hashes, log, position, entry.leaf)
                (record,) = self._logged_all(connection, [row])
                found = replace(found, record=record, inclusion=path)
            if old:
                path = prove_consistency(connection, self._hashes, log, old)
                found = replace(found, consistency=path)
        return found

    @translated(translate_for_audit)
    def log(self) -> tuple[CheckpointLog, str]:
        """Returns the log as of now and its origin, to be signed. Raises as ``prove``."""
        remembered = self._memory()
        with self._snapshot() as connection:
            return self._log(connection, remembered)

    def _log(
        self, connection: Connection, remembered: RememberedAudit
    ) -> tuple[CheckpointLog, str]:
        log = read_log(connection, remembered.log, self._key_of)
        if log is None:
            raise InvalidRequest("the log has no positions so far")
        complete = not find_missing(connection, remembered)
        return log, self._history.origin(connection, complete=complete)

    def _quick_check(
        self, connection: Connection, remembered: RememberedAudit
    ) -> Sequence[Finding]:
        return [*self._run_checks(connection), *find_missing(connection, remembered)]

    def _run_checks(self, connection: Connection) -> Sequence[Finding]:
        return [finding for check in self._checks for finding in check(connection)]

    def _logged_all(self, connection: Connection, rows: Sequence[Any]) -> list[LoggedRecord]:
        gone = any(row[6] is None for row in rows)
        pruned = pruned_through(connection, self._key_of) if gone else 0
        return [self._logged(LogEntry(*row[:6]), row[6:], pruned) for row in rows]

    def _logged(self, entry: LogEntry, columns: Sequence[Any], pruned: int) -> LoggedRecord:
        if columns[0] is None:
            return LoggedRecord(entry, None, entry.position <= pruned and entry.number > 1)
        record = Record(*columns)
        genuine = (
            record.mac == entry.mac
            and entry.leaf == entry.leaf_at(entry.position)
            and entry.is_of(record.body)
            and is_genuine_record(self._key_of, record)
        )
        return LoggedRecord(entry, record if genuine else None)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Opens a read-only transaction that sees heads and records as of one moment."""
        with self._engine.connect() as connection:
            yield connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )


def _in_time(rows: Iterator[T], deadline: float | None) -> Iterator[T]:
    for count, row in enumerate(rows):
        if count % _FETCH == 0 and deadline is not None and time.monotonic() > deadline:
            raise AuditUnavailable(
                "the audit is too long to be verified before the deadline: allow more time",
                reason=Reason.DEADLINE_EXCEEDED,
            )
        yield row


def _snapshot(connection: Connection, deadline: float | None) -> AuditSnapshot:
    def stream(statement: TextClause) -> Iterator[Any]:
        yield from connection.execute(statement, execution_options={"yield_per": _FETCH})

    return AuditSnapshot(
        writers=[Writer(*row) for row in connection.execute(_WRITERS)],
        heads={row.writer: Head(*row) for row in connection.execute(_HEADS)},
        openings=[Record(*row) for row in connection.execute(_OPENINGS)],
        records=_in_time((Record(*row) for row in stream(_RECORDS)), deadline),
        log=_in_time((LoggedMac(LogEntry(*row[:6]), *row[6:]) for row in stream(_LOG)), deadline),
        roots=(LogRoot(*row) for row in stream(_ROOTS)),
    )
