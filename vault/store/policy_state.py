"""The policy in force, agreed on by every live server in Postgres.

Each server reports, again and again, which policy it has read and found good. A policy
comes into force once every live server reports it: no server is left that could not
follow. A server that has not reported for a while counts no longer, and must answer no
calls until it has reported again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, Engine

from vault.crypto.tweak import NEWEST_TWEAK_VERSION
from vault.errors import Reason, StoreUnavailable
from vault.store import sql
from vault.store.transaction import Parameters, execute, retried, transaction

__all__ = ["Agreement", "PolicyBoard", "SealedPolicy"]

_PATIENCE = 5.0  # seconds for one report


@dataclass(frozen=True, slots=True)
class SealedPolicy:
    """A policy file with the MAC of the server that reported it.

    Attributes:
        digest: SHA-256 of the document's bytes, lower-case hex.
        key_version: of the audit key, under which the MAC was made.
    """

    digest: str
    document: str = field(repr=False)
    key_version: int
    mac: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a report was answered with.

    Attributes:
        in_force: the policy in force.
        others: names of the live servers that report another policy than this one does.
    """

    in_force: SealedPolicy
    others: tuple[str, ...]


class PolicyBoard:
    """One server's place among those that agree on a tenant's policy."""

    def __init__(
        self, engine: Engine, tenant: str, server: UUID, name: str, stale: float = 15.0
    ) -> None:
        """Reports nothing yet.

        Args:
            server: this process, and no other.
            name: what to call it in messages.
            stale: seconds after which a server that is silent counts no longer.
        """
        self._engine = engine
        self._tenant = tenant
        self._server = server
        self._name = name
        self.stale = stale

    def report(self, held: SealedPolicy) -> Agreement:
        """Reports the policy this server has read; returns the one in force.

        Raises StoreUnavailable.
        """
        deadline = time.monotonic() + _PATIENCE

        def attempt() -> Agreement:
            with transaction(self._engine, deadline) as opened:
                return self._report(opened.connection, held)

        return retried(attempt, deadline)

    def leave(self) -> None:
        """Counts no longer. Raises StoreUnavailable."""
        deadline = time.monotonic() + _PATIENCE
        parameters = {"tenant": self._tenant, "server": self._server}
        with transaction(self._engine, deadline) as opened:
            execute(opened.connection, sql.LEAVE, parameters)

    def _report(self, connection: Connection, held: SealedPolicy) -> Agreement:
        parameters = {
            "tenant": self._tenant,
            "server": self._server,
            "name": self._name,
            "stale": self.stale,
            "newest": NEWEST_TWEAK_VERSION,
            "digest": held.digest,
            "document": held.document,
            "key_version": held.key_version,
            "mac": held.mac,
        }
        # Its row is locked from here on: reports follow each other, so that two servers
        # cannot each miss the other's.
        in_force = _in_force(connection, parameters)
        execute(connection, sql.REPORT, parameters)
        rows = execute(connection, sql.OTHERS, parameters)
        others = tuple(sorted(str(name) for (name,) in rows))
        if not others and in_force.digest != held.digest:
            execute(connection, sql.PUT_IN_FORCE, parameters)
            in_force = held
        return Agreement(in_force, others)


def _in_force(connection: Connection, parameters: Parameters) -> SealedPolicy:
    rows = execute(connection, sql.IN_FORCE, parameters)
    if not rows:
        execute(connection, sql.FIRST_IN_FORCE, parameters)
        rows = execute(connection, sql.IN_FORCE, parameters)
    if not rows:
        raise StoreUnavailable("the policy in force was not stored", reason=Reason.INTERNAL)
    digest, document, key_version, mac = rows[0]
    assert isinstance(key_version, int)
    assert isinstance(mac, bytes)
    return SealedPolicy(str(digest), str(document), key_version, mac)
