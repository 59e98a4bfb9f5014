"""What a checkpoint says: the database's word, as far as it is a server's and no server's else.

A log must never sign two checkpoints of one origin that contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from vault.audit.chain import KeyOf
from vault.audit.checkpoint import CheckpointHead, CheckpointLog
from vault.audit.log import LogRoot
from vault.audit.memory import RememberedAudit, has_log
from vault.audit.origin import read_origin
from vault.audit.record import Head
from vault.crypto.key_versions import verifies_under
from vault.errors import AuditUnavailable, Reason

__all__ = ["History", "read_log", "read_state"]

_NOW = text("SELECT now()")
_LISTED_HEADS = text(
    "SELECT h.writer, h.number, h.mac, h.key_version, h.head_mac FROM audit_heads h"
    " JOIN audit_writers w USING (writer) ORDER BY w.ordinal"
)
_LAST_ROOT = text(
    "SELECT size, key_version, peaks, root, mac FROM audit_roots ORDER BY size DESC LIMIT 1"
)


class History:
    """Which history a process is part of: that of the origin it began with."""

    def __init__(self) -> None:
        self._origin: str | None = None

    def origin(self, connection: Connection, *, complete: bool) -> str:
        """Returns the origin of the database, if what this process knows is of its history.

        A promotion of a standby begins an origin and loses nothing; a restore may lose records
        that this process knows, and would sign into a history that has others.

        Args:
            complete: the database has all that this process knows.

        Raises AuditUnavailable (INTERNAL).
        """
        found = read_origin(connection)
        if self._origin is None or complete:
            self._origin = found
        elif self._origin != found:
            raise _refused(
                "the database was restored under this server, which knows what it lacks now:"
                " restart it"
            )
        return found


def read_state(
    connection: Connection, remembered: RememberedAudit, key_of: KeyOf
) -> tuple[datetime, Sequence[CheckpointHead], CheckpointLog | None]:
    """Returns the time, the heads and the log, each the later of what database and process know.

    Raises AuditUnavailable (INTERNAL) where a head or the root is not a server's, and where
    the database's log is another than the process saw. Raises KeysUnavailable.
    """
    now = connection.execute(_NOW).scalar_one()
    heads = {
        head.writer: _genuine(head, key_of)
        for head in (Head(*row) for row in connection.execute(_LISTED_HEADS))
    }
    for known in remembered.chains:
        held = heads.get(known.writer)
        if held is None or held.number <= known.number:
            heads[known.writer] = CheckpointHead(known.writer, known.number, known.mac)
    return now, list(heads.values()), read_log(connection, remembered.log, key_of)


def read_log(
    connection: Connection, seen: CheckpointLog | None, key_of: KeyOf
) -> CheckpointLog | None:
    """Returns the log, the later of what the database has and a process saw.

    Raises as ``read_state``.
    """
    row = connection.execute(_LAST_ROOT).one_or_none()
    root = LogRoot(*row) if row is not None else None
    if root is not None and root.tree(key_of) is None:
        raise _refused("the log's root was edited: run `tokenvault audit verify`")
    if seen is not None and (root is None or root.size <= seen.size):
        return seen
    if seen is not None and not has_log(connection, seen):
        raise _refused("the log is not the one that this server saw: run `tokenvault audit verify`")
    return CheckpointLog(root.size, root.root) if root is not None else None


def _genuine(head: Head, key_of: KeyOf) -> CheckpointHead:
    if not verifies_under(key_of, head.key_version, head.verifies):
        raise _refused(
            f"the head of writer {head.writer} was edited: run `tokenvault audit verify`"
        )
    return CheckpointHead(head.writer, head.number, head.mac)


def _refused(why: str) -> AuditUnavailable:
    return AuditUnavailable(why, reason=Reason.INTERNAL)
