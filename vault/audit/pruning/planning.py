"""What a pruning may drop: records that are all there, old enough, and under a checkpoint.

Whoever declares that records are gone must first have seen them: what the database's owner has
taken away before would otherwise pass for pruned from then on.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from vault.audit.chain import KeyOf, is_genuine_record
from vault.audit.checkpoint import CheckpointLog
from vault.audit.checks.record_sums import RecordSums
from vault.audit.integration_batch import time_of
from vault.audit.log import LogEntry
from vault.audit.merkle import EMPTY, Tree
from vault.audit.pruning.declaration import Pruning, is_prunable
from vault.audit.pruning.stored import Retained, read_retained
from vault.audit.record import Record
from vault.audit.tree.hashes import SubtreeHashes
from vault.audit.tree.proving import prove_consistency
from vault.audit.tree.reading import read_tree
from vault.errors import ConfigError
from vault.postgres.tampering import find_tampering

__all__ = ["Plan", "plan_pruning"]

_FETCH = 1000
_GROW = 10_000  # leaves held at once
_ENTRIES = text("""
SELECT l.position, l.writer, l.number, l.mac, l.leaf, l.body_digest,
       r.writer, r.number, r.key_version, r.previous, r.mac, r.body
FROM audit_log l LEFT JOIN audit_records r USING (writer, number)
WHERE l.position > :after AND l.position <= :end ORDER BY l.position
""")
_WAITING = text("""
SELECT r.body FROM audit_heads h LEFT JOIN LATERAL (
    SELECT number FROM audit_log WHERE writer = h.writer ORDER BY number DESC LIMIT 1
) l ON true
JOIN audit_records r ON r.writer = h.writer AND r.number = coalesce(l.number, 0) + 1
WHERE h.number > coalesce(l.number, 0)
""")


@dataclass(frozen=True)
class Plan:
    """What is to be pruned.

    Attributes:
        retained: what the pruning before left.
        pruning: what is declared; None where there is nothing that is old enough.
        sums: what all records up to its position add up to.
    """

    retained: Retained
    pruning: Pruning | None
    sums: RecordSums

    @property
    def position(self) -> int:
        """Up to which position records go."""
        return self.pruning.position if self.pruning is not None else self.retained.position


def plan_pruning(
    connection: Connection, key_of: KeyOf, before: datetime, log: CheckpointLog, operator: str
) -> Plan:
    """Reads what is to go, in a transaction that sees one moment.

    Args:
        before: only records from before that time.
        log: of a checkpoint that is kept elsewhere: nothing after it goes.

    Raises ConfigError where something is not in order, AuditUnavailable (INTERNAL) where the log
    is another than the checkpoint's, or shorter; KeysUnavailable.
    """
    if found := find_tampering(connection):
        raise _refused(f"the database was altered ({found[0]})")
    retained = read_retained(connection, key_of)
    if retained.findings:
        raise _refused(retained.findings[0].message)
    _refuse_waiting(connection, before)
    reading = _Reading(key_of, retained, _tree_of(connection, retained))
    with closing(_entries(connection, retained.position, log.size)) as entries:
        for row in entries:
            if not reading.take(LogEntry(*row[:6]), row[6:], before):
                break
    reading.grow()
    size = reading.tree.size
    if size == retained.position:
        return Plan(retained, None, retained.sums)
    if read_tree(connection, size).root() != reading.tree.root():
        raise _refused("the log's roots are not those of its entries")
    prove_consistency(connection, SubtreeHashes(), log, size)
    return Plan(retained, reading.declaration(before, operator), reading.sums)


def _tree_of(connection: Connection, retained: Retained) -> Tree:
    if retained.pruning is None:
        return EMPTY
    tree = read_tree(connection, retained.position)
    if tree.root() != retained.pruning.root:
        raise _refused("the log is not the one that was pruned before")
    return tree


def _refuse_waiting(connection: Connection, before: datetime) -> None:
    for (body,) in connection.execute(_WAITING):
        begun = time_of(body)
        if begun is None or begun < before:
            raise _refused("a record of that time has no place in the log yet")


def _entries(connection: Connection, after: int, end: int) -> Generator[Any, None, None]:
    result = connection.execute(
        _ENTRIES, {"after": after, "end": end}, execution_options={"yield_per": _FETCH}
    )
    with result as rows:
        yield from rows


class _Reading:
    """What was read so far: entries and their records, by position."""

    def __init__(self, key_of: KeyOf, retained: Retained, tree: Tree) -> None:
        self._key_of = key_of
        self._kept = retained.pruning.kept if retained.pruning is not None else 0
        self._prunable = 0
        self._leaves: list[bytes] = []
        self.tree = tree
        self.sums = retained.sums

    def take(self, entry: LogEntry, columns: Sequence[Any], before: datetime) -> bool:
        """Takes the next entry; returns whether its record is old enough."""
        position = self.tree.size + len(self._leaves) + 1
        record = Record(*columns) if columns[0] is not None else None
        if record is None or not self._is_genuine(position, entry, record):
            raise _refused(f"the record at position {position} is missing, or was edited")
        time = time_of(record.body)
        if time is None or time >= before:
            return False
        self.sums.add(record.body)
        if is_prunable(record.body):
            self._prunable += 1
        else:
            self._kept += 1
        self._leaves.append(entry.leaf)
        if len(self._leaves) >= _GROW:
            self.grow()
        return True

    def grow(self) -> None:
        """Adds the leaves that are held to the tree."""
        self.tree, self._leaves = self.tree.grown(self._leaves), []

    def declaration(self, before: datetime, operator: str) -> Pruning:
        """Returns what was read as a pruning declares it."""
        root, sums = self.tree.root(), self.sums.digest
        return Pruning(self.tree.size, before, self._prunable, self._kept, root, sums, operator)

    def _is_genuine(self, position: int, entry: LogEntry, record: Record) -> bool:
        return (
            entry.position == position
            and entry.leaf == entry.leaf_at(position)
            and record.mac == entry.mac
            and entry.is_of(record.body)
            and is_genuine_record(self._key_of, record)
        )


def _refused(why: str) -> ConfigError:
    return ConfigError(f"nothing was pruned: {why}. Run `tokenvault audit verify`")
