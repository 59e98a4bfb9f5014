"""The use cases of those who plant honey tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from vault.errors import InvalidRequest, Reason, RequestError
from vault.model import Action, Storage, TokenState
from vault.policy.decide import Deny
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.columns import parse_tokens
from vault.service.honey.sets import HoneyRows, HoneySet
from vault.service.ports import HoneyRow, KeySource, Transaction, unchanged
from vault.uuids import read_uuid

__all__ = ["MAX_LISTED", "HoneyService", "HoneyStatus"]

MAX_LISTED = 1000
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_MANAGES = (Action.MANAGE_HONEY,)


@dataclass(frozen=True, slots=True)
class HoneyStatus:
    """A set; ``forged`` where its row is not ours."""

    honey: HoneySet
    forged: bool = False


class HoneyService:
    """Declaring, retiring, looking on."""

    def __init__(self, admission: Admission, keys: KeySource) -> None:
        self._admission = admission
        self._rows = HoneyRows(keys)

    def add(self, call: Call, field: str, label: str, tokens: Sequence[str]) -> HoneyStatus:
        """Declares tokens that there are to be honey."""
        permit = self._admission.admit_field(call, Action.MANAGE_HONEY, field)
        cores = self._admission.attempt(permit, lambda: _checked(permit, label, tokens))
        made = HoneySet(
            tenant=call.caller.tenant,
            id=uuid4(),
            field=field,
            label=label,
            principal=str(call.caller.principal),
            created=datetime.now(UTC),
            tokens=frozenset(cores),
        )

        def work(transaction: Transaction) -> HoneyStatus:
            _check_live(transaction, permit, cores)
            transaction.honey.insert(self._rows.written(made))
            # No digest of the tokens: it would be that of the call that made them.
            counts = {"ok": len(cores)}
            transaction.audit.append(replace(permit.event, counts=counts, honey_set=str(made.id)))
            return HoneyStatus(made)

        return self._admission.carry_out(permit, len(tokens), work, unchanged)

    def retire(self, call: Call, wanted: str) -> HoneyStatus:
        """Has a set's tokens be honey no more."""
        permit = self._admission.admit_on_some_field(call, _MANAGES)
        noted = permit.event

        def work(transaction: Transaction) -> HoneyStatus:
            nonlocal noted
            noted, set_id = permit.event, read_uuid(wanted)
            row = None if set_id is None else transaction.honey.lock(call.caller.tenant, set_id)
            found = None if row is None else self._rows.read(row)
            if found is None or not self._may_manage(call, found.field):
                raise RequestError("there is no such set", reason=Reason.HONEY_SET_NOT_FOUND)
            retired = replace(found, active=False)
            transaction.honey.update(self._rows.written(retired))
            noted = replace(noted, field=found.field, honey_set=str(found.id))
            transaction.audit.append(noted)
            return HoneyStatus(retired)

        return self._admission.run(permit, work, lambda: noted)

    def list(self, call: Call) -> Sequence[HoneyStatus]:
        """Returns the sets of the fields that the caller may manage, the last first."""
        permit = self._admission.admit_on_some_field(call, _MANAGES)

        def work(transaction: Transaction) -> Sequence[HoneyStatus]:
            macs = transaction.honey.macs(call.caller.tenant)
            rows = transaction.honey.rows(call.caller.tenant, list(macs))
            found = [self._status(row) for row in rows if self._may_manage(call, row.field)]
            found.sort(key=lambda each: each.honey.created, reverse=True)
            transaction.audit.append(replace(permit.event, counts={"ok": len(found)}))
            return found[:MAX_LISTED]

        return self._admission.run(permit, work, lambda: permit.event)

    def _status(self, row: HoneyRow) -> HoneyStatus:
        honey = self._rows.read(row)
        if honey is not None:
            return HoneyStatus(honey)
        never = datetime.fromtimestamp(0, UTC)
        empty = HoneySet(row.tenant, row.id, row.field, "", "", never, frozenset(), False)
        return HoneyStatus(empty, forged=True)

    def _may_manage(self, call: Call, field: str) -> bool:
        decision = self._admission.judge(call, Action.MANAGE_HONEY, field)
        return not isinstance(decision, Deny)


def _checked(permit: FieldPermit, label: str, tokens: Sequence[str]) -> Sequence[str]:
    """Returns the token cores. Raises InvalidRequest."""
    if not _LABEL.fullmatch(label):
        raise InvalidRequest(
            "a label is a lower-case letter and up to 62 more of a-z, 0-9, _ and -"
        )
    column = parse_tokens(tokens, permit.field.format, permit.caller.deadline)
    if column.failures:
        raise InvalidRequest(
            f"item {min(column.failures)} is not of the form of this field's tokens"
        )
    return column.cores


def _check_live(transaction: Transaction, permit: FieldPermit, cores: Sequence[str]) -> None:
    """Raises InvalidRequest where a token of a vaulted field is none that is live."""
    if permit.field.storage is Storage.VAULTLESS:
        return
    rows = transaction.tokens.rows_by_token(permit.space, cores)
    live = sum(row.state is TokenState.LIVE for row in rows.values())
    if live < len(cores):
        raise InvalidRequest(
            f"{len(cores) - live} of the tokens are none, or are not live: tokenize values first"
        )
