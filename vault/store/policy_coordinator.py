"""The policy in force, agreed on by every live server in Postgres.

Each server reports, again and again, which policy it has read and found good. A policy
comes into force once every live server reports it: no server is left that could not
follow. A server that has not reported for a while no longer counts, and must answer no
calls until it has reported again. What comes into force is recorded in the audit by the
server that puts it there, in the same transaction: one record for all servers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine

from vault.crypto.tweak import NEWEST_TWEAK_VERSION
from vault.errors import Reason, StoreUnavailable
from vault.model import PolicyChange
from vault.postgres.transaction import OpenTransaction, Parameters, execute, retried, transaction
from vault.store import sql

__all__ = ["Agreement", "AuthenticatedPolicy", "PolicyCoordinator", "RecordChange"]

RecordChange = Callable[[OpenTransaction, PolicyChange], None]
"""Writes the audit record of a change, to be committed with it. Raises TokenvaultError."""

_PATIENCE = 5.0  # seconds for one report


@dataclass(frozen=True, slots=True)
class AuthenticatedPolicy:
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
        since: when it came into force, by the database's clock; None where that is unreadable.
        servers: names of the live servers, each with the digest of what it reports; a thousand
            at most.
    """

    in_force: AuthenticatedPolicy
    others: tuple[str, ...]
    since: datetime | None = None
    servers: tuple[tuple[str, str], ...] = ()


class PolicyCoordinator:
    """One server's place among those that agree on a tenant's policy."""

    def __init__(
        self,
        engine: Engine,
        tenant: str,
        server: UUID,
        name: str,
        record: RecordChange,
        stale_after: float = 15.0,
    ) -> None:
        """Reports nothing yet.

        Args:
            server: this process, and no other.
            name: what to call it in messages.
            record: has the audit say that a policy comes into force.
            stale_after: seconds after which a server that is silent no longer counts.
        """
        self._engine = engine
        self._tenant = tenant
        self._server = server
        self._name = name
        self._record = record
        self.stale_after = stale_after

    def report(self, proposed: AuthenticatedPolicy) -> Agreement:
        """Reports the policy this server has read; returns the one in force.

        Raises:
            StoreUnavailable: the database is unavailable.
            AuditUnavailable, KeysUnavailable: a change cannot be recorded, and is not made.
        """
        deadline = time.monotonic() + _PATIENCE

        def attempt() -> Agreement:
            with transaction(self._engine, deadline) as opened:
                return self._report(opened, proposed)

        return retried(attempt, deadline)

    def leave(self) -> None:
        """Stops being counted. Raises StoreUnavailable."""
        deadline = time.monotonic() + _PATIENCE
        parameters = {"tenant": self._tenant, "server": self._server}
        with transaction(self._engine, deadline) as opened:
            execute(opened.connection, sql.LEAVE, parameters)

    def _report(self, opened: OpenTransaction, proposed: AuthenticatedPolicy) -> Agreement:
        connection = opened.connection
        parameters: Parameters = {
            "tenant": self._tenant,
            "server": self._server,
            "name": self._name,
            "stale": self.stale_after,
            "newest": NEWEST_TWEAK_VERSION,
            "digest": proposed.digest,
            "document": proposed.document,
            "key_version": proposed.key_version,
            "mac": proposed.mac,
        }
        # Its row is locked from here on: reports follow each other, so that two servers
        # cannot each miss the other's.
        before = _in_force(connection, parameters)
        first = before is None and bool(execute(connection, sql.FIRST_IN_FORCE, parameters))
        found = before or _in_force(connection, parameters)
        if found is None:
            raise _not_stored()
        in_force, since = found
        execute(connection, sql.REPORT, parameters)
        rows = execute(connection, sql.SERVERS, parameters)
        servers = tuple(sorted((str(name), str(digest)) for name, digest in rows))
        others = tuple(name for name, digest in servers if digest != proposed.digest)
        replaced = "" if first else in_force.digest
        if not others and in_force.digest != proposed.digest:
            done = execute(connection, sql.PUT_IN_FORCE, parameters)
            if len(done) != 1:
                raise _not_stored()
            in_force, since = proposed, done[0][0] if isinstance(done[0][0], datetime) else None
        if replaced != in_force.digest:
            serving = tuple(name for name, digest in servers if digest == proposed.digest)
            change = PolicyChange(replaced, proposed.digest, serving, self._tenant)
            self._record(opened, change)
        return Agreement(in_force, others, since, servers)


def _not_stored() -> StoreUnavailable:
    return StoreUnavailable("the policy in force was not stored", reason=Reason.INTERNAL)


def _in_force(
    connection: Connection, parameters: Parameters
) -> tuple[AuthenticatedPolicy, datetime | None] | None:
    rows = execute(connection, sql.IN_FORCE, parameters)
    if not rows:
        return None
    digest, document, key_version, mac, since = rows[0]
    assert isinstance(key_version, int)
    assert isinstance(mac, bytes)
    authenticated = AuthenticatedPolicy(str(digest), str(document), key_version, mac)
    return authenticated, since if isinstance(since, datetime) else None
