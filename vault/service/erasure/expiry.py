"""Expiry: live tokens past their time become tombstones, a batch at a time."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from vault.model import AuditEvent, TokenState
from vault.policy.model import Policy
from vault.service.erasure.tombstones import tombstone, with_tokens
from vault.service.ports import KeySource, Transaction, UnitOfWork

__all__ = ["REAPER", "ExpiryService"]

REAPER = "tokenvault:reaper"
"""The principal in the audit. No caller has this name: theirs are SPIFFE IDs or have a ``#``."""


class ExpiryService:
    """Expires tokens: what the server does without a caller.

    Args:
        policy: returns the policy in force, for the record.
        batch: most tokens in one transaction.
    """

    def __init__(
        self, work: UnitOfWork, keys: KeySource, policy: Callable[[], Policy], batch: int
    ) -> None:
        self._work = work
        self._keys = keys
        self._policy = policy
        self._batch = batch

    def reap(self) -> int:
        """Makes tombstones of one batch of one field, with its audit record; returns how many.

        0 means that none is left, or that another server is doing it.
        Raises StoreUnavailable, KeysUnavailable or AuditUnavailable.
        """
        digest = self._policy().digest

        def step(transaction: Transaction) -> int:
            taken = transaction.tokens.lock_expired(self._batch)
            if taken is None:
                return 0
            space, rows = taken
            tombstone(transaction.tokens, self._keys, space, TokenState.EXPIRED, rows.values())
            event = AuditEvent(
                rpc="Expire",
                outcome="allowed",
                principal=REAPER,
                peer="",
                credential="",
                request_id=secrets.token_hex(16),
                policy_digest=digest,
                tenant=space.tenant,
                field=space.field,
                counts={"ok": len(rows)},
            )
            event = with_tokens(event, self._keys, rows.values(), rows.keys())
            transaction.audit.append(event, rows.keys())
            return len(rows)

        return self._work.run(step)
