"""Counting touches of honey tokens, and freezing whoever touched as many as the policy says."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vault.model import Action, AuditEvent, FreezeChange, NoticeType
from vault.policy.freezes import strictest_of
from vault.policy.model import Policy
from vault.service.freezes.freezes import changed, locked
from vault.service.freezes.model import Freeze
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.service.honey.alarm import Touch
from vault.service.notices.notices import Notice, Notices
from vault.service.ports import FreezeRow, Transaction, UnitOfWork

__all__ = ["HONEY", "TouchCounter"]

HONEY = "tokenvault:honey"
"""Who freezes because of honey tokens."""


class TouchCounter:
    """The counts of all servers, one row for each who touched."""

    def __init__(
        self,
        work: UnitOfWork,
        rows: FreezeRows,
        watch: FreezeWatch,
        policy: Callable[[], Policy],
        notices: Notices,
    ) -> None:
        self._work = work
        self._rows = rows
        self._watch = watch
        self._policy = policy
        self._notices = notices

    def count(self, touches: Sequence[Touch], deadline: float | None = None) -> bool:
        """Counts touches of one target; returns whether that froze them.

        With the audit's record and a notice, in one transaction. Raises StoreUnavailable,
        KeysUnavailable, AuditUnavailable.
        """
        last = touches[-1]
        policy = self._policy()

        def work(transaction: Transaction) -> tuple[Freeze, FreezeRow] | None:
            store = transaction.freezes
            row, now = locked(store, self._rows, Freeze(last.caller.tenant, last.target))
            found = self._rows.read(row)
            if found is None:
                return None  # not ours: whoever it names is frozen
            freeze = _counted(found, touches, now)
            if freeze.frozen and not found.frozen:
                transaction.audit.append(_event(last, freeze, policy.digest))
            written = self._rows.written(freeze)
            store.update(written)
            notice = _notice(policy, touches, now, frozen=freeze.frozen)
            self._notices.add(transaction.outbox, last.caller.tenant, notice)
            return freeze, written

        done = self._work.run(work, deadline=deadline)
        if done is not None:
            self._watch.note(*done)
        return done is not None and done[0].frozen


def _counted(found: Freeze, touches: Sequence[Touch], now: datetime) -> Freeze:
    tokens = sum(touch.tokens for touch in touches)
    # Who has two identities has a rule for each, and does not get to choose.
    rule = strictest_of(touch.rule for touch in touches if touch.rule is not None)
    freeze = replace(found, touched=found.touched + tokens)
    if rule is None or found.frozen:
        return freeze
    since = now - timedelta(seconds=rule.seconds)
    times = [*(each for each in found.recent if each > since), *[now] * tokens]
    freeze = replace(freeze, recent=tuple(times[-rule.touches :]))
    if len(freeze.recent) < rule.touches:
        return freeze
    frozen = changed(freeze, now, frozen=True)
    return replace(frozen, by=HONEY, reason=f"touched honey tokens ({tokens})", recent=())


def _notice(policy: Policy, touches: Sequence[Touch], now: datetime, *, frozen: bool) -> Notice:
    caller = touches[-1].caller
    person = None if caller.person is None else caller.person._asdict()
    sets = sorted({each for touch in touches for each in touch.sets})
    return Notice(
        NoticeType.HONEY_TOUCHED,
        caller.request_id,
        now,
        {
            "to": {"roles": _guards(policy)},
            "principal": str(caller.principal),
            "person": person,
            "peer": caller.peer,
            "fields": sorted({touch.field for touch in touches}),
            "rpcs": sorted({touch.rpc for touch in touches}),
            "calls": len(touches),
            "tokens": sum(touch.tokens for touch in touches),
            "sets": sets,
            "frozen": frozen,
        },
    )


def _guards(policy: Policy) -> Sequence[str]:
    """Returns the roles that may lift a freeze."""
    return sorted(
        name
        for name in policy.roles
        if policy.rights_with((name,)).allows(Action.MANAGE_FREEZES, None)
    )


def _event(touch: Touch, freeze: Freeze, digest: str) -> AuditEvent:
    assert freeze.changed is not None
    return AuditEvent(
        rpc="Freeze",
        outcome="allowed",
        principal=HONEY,
        peer="",
        credential="",
        request_id=secrets.token_hex(16),
        policy_digest=digest,
        tenant=touch.caller.tenant,
        field=touch.field,
        freeze=FreezeChange(touch.target, True, freeze.changed),
    )
