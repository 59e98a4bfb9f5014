"""The use cases of those who freeze callers and lift freezes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from vault.errors import Denied, InvalidRequest, Reason, RequestError, StoreUnavailable
from vault.model import Action, FreezeChange, FreezeTarget
from vault.service.admission import Admission
from vault.service.call import Call
from vault.service.freezes.model import Freeze, person_of
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.service.ports import FreezeRow, FreezeStore, Transaction

__all__ = ["MAX_LISTED", "FreezeService", "FreezeStatus", "changed", "locked"]

Named: TypeAlias = Callable[[], FreezeTarget]
"""Returns whom a call names. May raise InvalidRequest."""

MAX_LISTED = 1000
_MAX_TEXT = 500
_MAX_NAME = 2048


@dataclass(frozen=True, slots=True)
class FreezeStatus:
    """What is known of one principal or person.

    Attributes:
        forged: whether its row is not ours; they are refused then.
    """

    freeze: Freeze
    forged: bool = False


class FreezeService:
    """Freezing by hand, lifting, looking on."""

    def __init__(self, admission: Admission, rows: FreezeRows, watch: FreezeWatch) -> None:
        self._admission = admission
        self._rows = rows
        self._watch = watch

    def freeze(self, call: Call, named: Named, reason: str) -> FreezeStatus:
        """Freezes somebody, who may never have called. ``named`` may raise InvalidRequest."""

        def step(target: FreezeTarget, found: Freeze | None) -> tuple[Freeze, bool]:
            before = found or Freeze(call.caller.tenant, target)
            return before, not before.frozen

        return self._change(call, named, reason, step, frozen=True)

    def lift(self, call: Call, named: Named, reason: str) -> FreezeStatus:
        """Lifts a freeze; for another person than the frozen one. As ``freeze``."""

        def step(target: FreezeTarget, found: Freeze | None) -> tuple[Freeze, bool]:
            # One whose row was removed, or is not ours, is frozen as far as servers know it.
            if found is not None and not (found.frozen or self._watch.is_frozen(target)):
                raise RequestError("they are not frozen", reason=Reason.FREEZE_NOT_FOUND)
            return replace(found or Freeze(call.caller.tenant, target), recent=()), True

        return self._change(call, named, reason, step, frozen=False)

    def list(self, call: Call) -> Sequence[FreezeStatus]:
        """Returns who is frozen, was, or touched honey tokens."""
        permit = self._admission.admit(call, Action.MANAGE_FREEZES)

        def work(transaction: Transaction) -> Sequence[FreezeStatus]:
            rows = transaction.freezes.all(call.caller.tenant)[:MAX_LISTED]
            transaction.audit.append(replace(permit.event, counts={"ok": len(rows)}))
            return [self._status(row) for row in rows]

        return self._admission.run(permit, work, lambda: permit.event)

    def _status(self, row: FreezeRow) -> FreezeStatus:
        freeze = self._rows.read(row)
        if freeze is not None:
            return FreezeStatus(freeze)
        target = FreezeTarget(row.kind, row.name)
        return FreezeStatus(Freeze(row.tenant, target, frozen=True), forged=True)

    def _change(
        self,
        call: Call,
        named: Named,
        reason: str,
        step: Callable[[FreezeTarget, Freeze | None], tuple[Freeze, bool]],
        *,
        frozen: bool,
    ) -> FreezeStatus:
        permit = self._admission.admit(call, Action.MANAGE_FREEZES)

        def check() -> FreezeTarget:
            target = named()
            _check(target, reason)
            if not frozen:
                _check_another(call, target)
            return target

        target = self._admission.attempt(permit, check)

        def work(transaction: Transaction) -> tuple[Freeze, FreezeRow]:
            store, tenant = transaction.freezes, call.caller.tenant
            row, now = locked(store, self._rows, Freeze(tenant, target))
            found, changes = step(target, self._rows.read(row))
            event = permit.event
            if changes:
                by = str(call.caller.principal)
                found = replace(changed(found, now, frozen=frozen), by=by, reason=reason)
                assert found.changed is not None
                event = replace(event, freeze=FreezeChange(target, frozen, found.changed))
            written = self._rows.written(found)
            store.update(written)
            transaction.audit.append(event)
            return found, written

        found, written = self._admission.run(permit, work, lambda: permit.event)
        self._watch.note(found, written)
        return FreezeStatus(found)


def locked(store: FreezeStore, rows: FreezeRows, empty: Freeze) -> tuple[FreezeRow, datetime]:
    """Locks and returns somebody's row, and the store's time. Raises StoreUnavailable.

    Args:
        empty: what is stored where nothing is known of them.
    """
    place = empty.tenant, *empty.target
    now, row = store.lock(*place)
    if row is None:
        store.insert(rows.written(empty))
        now, row = store.lock(*place)
    if row is None:
        raise StoreUnavailable("the database keeps no freeze", reason=Reason.INTERNAL)
    return row, now


def changed(freeze: Freeze, now: datetime, *, frozen: bool) -> Freeze:
    """Returns a freeze that begins or ends now: later than all before, whatever the clock says."""
    before = freeze.changed
    later = now if before is None else max(now, before + timedelta(microseconds=1))
    return replace(freeze, frozen=frozen, changed=later)


def _check_another(call: Call, target: FreezeTarget) -> None:
    caller = call.caller
    if caller.person is None:
        raise Denied(
            "freezes are lifted by people: log in, with a token that says who you are",
            reason=Reason.PERSON_REQUIRED,
        )
    if person_of(target) == caller.person or target.name == str(caller.principal):
        raise Denied("nobody lifts their own freeze", reason=Reason.SELF_UNFREEZE)


def _check(target: FreezeTarget, reason: str) -> None:
    if not 0 < len(target.name) <= _MAX_NAME or not target.name.isprintable():
        raise InvalidRequest("name a principal or a person")
    if not (reason.strip() and reason.isprintable()):
        raise InvalidRequest("say why, in one line")
    if len(reason) > _MAX_TEXT:
        raise InvalidRequest(f"a reason has at most {_MAX_TEXT} characters")
