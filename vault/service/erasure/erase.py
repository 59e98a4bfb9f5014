"""Erase: the values behind tokens are destroyed, named by token or by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from vault.errors import InvalidRequest
from vault.formats import token_recogniser
from vault.model import Action, Failure, Scope, Storage, StoredToken, TokenState
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.columns import NO_TOKEN, NOT_LIVE, ParsedColumn, parse_column, parse_tokens
from vault.service.deadline import in_time
from vault.service.erasure.tombstones import tombstone, with_tokens
from vault.service.ports import KeySource, Transaction
from vault.service.results import outcome_counts
from vault.service.stored_rows import DECRYPTION_FAILED, matches_value

__all__ = ["ErasureResult", "ErasureService"]


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What was erased: of ``total`` items all that ``failures`` does not name."""

    total: int
    failures: Mapping[int, Failure]


class ErasureService:
    """The use case of those who erase."""

    def __init__(self, admission: Admission, keys: KeySource) -> None:
        self._admission = admission
        self._keys = keys

    def erase(
        self,
        call: Call,
        field: str,
        tokens: Sequence[str],
        values: Sequence[str],
        finish: Callable[[ErasureResult], R],
    ) -> R:
        """Erases what one of the two lists names; the other must be empty.

        By token: erasing again is no failure, and an expired token can be erased. By value:
        TOKEN_NOT_FOUND where it has no live token. Finishes as ``Admission.carry_out``.
        """
        permit = self._admission.admit_field(call, Action.ERASE, field, tokens=tokens)

        def work(transaction: Transaction) -> ErasureResult:
            _check(permit, tokens, values)
            if tokens:
                return self._by_token(transaction, permit, tokens)
            return self._by_value(transaction, permit, values)

        return self._admission.carry_out(permit, len(tokens) + len(values), work, finish)

    def _by_token(
        self, transaction: Transaction, permit: FieldPermit, tokens: Sequence[str]
    ) -> ErasureResult:
        column = parse_tokens(tokens, permit.field.format, permit.caller.deadline)
        rows = transaction.tokens.lock_by_token(permit.space, column.cores)
        found = [rows.get(core, NO_TOKEN) for core in column.cores]
        return self._erase(transaction, permit, column, found)

    def _by_value(
        self, transaction: Transaction, permit: FieldPermit, values: Sequence[str]
    ) -> ErasureResult:
        column = parse_column(
            values,
            permit.field.format.parse,
            parse_token=token_recogniser(permit.field.format),
            deadline=permit.caller.deadline,
        )
        scope, index = permit.field.scope, self._keys.index_key(permit.space)
        macs = index.macs(scope.value, column.cores)
        rows = transaction.tokens.lock_by_mac(permit.space, scope, index.version, macs)
        found = [
            self._checked(permit, rows.get(mac), core)
            for core, mac in in_time(zip(column.cores, macs, strict=True), permit.caller.deadline)
        ]
        return self._erase(transaction, permit, column, found)

    def _checked(
        self, permit: FieldPermit, row: StoredToken | None, core: str
    ) -> StoredToken | Failure:
        if row is None:
            return NOT_LIVE
        # An index row that somebody pointed elsewhere must not erase another value.
        return row if matches_value(self._keys, permit.space, row, core) else DECRYPTION_FAILED

    def _erase(
        self,
        transaction: Transaction,
        permit: FieldPermit,
        column: ParsedColumn,
        found: Sequence[StoredToken | Failure],
    ) -> ErasureResult:
        """Erases what was found and writes the call's audit record."""
        rows = {row.token: row for row in found if isinstance(row, StoredToken)}
        live = [row for row in rows.values() if row.state is not TokenState.ERASED]
        tombstone(transaction.tokens, self._keys, permit.space, TokenState.ERASED, live)
        failures = dict(column.failures)
        for index, slot, _ in column.items:
            outcome = found[slot]
            if isinstance(outcome, Failure):
                failures[index] = outcome
        failures = dict(sorted(failures.items()))
        event = replace(
            permit.event,
            counts=outcome_counts(column.size, failures),
            touched=self._admission.touched(permit, rows),
        )
        event = with_tokens(event, self._keys, rows.values(), rows.keys())
        transaction.audit.append(event, [row.token for row in live])
        return ErasureResult(column.size, failures)


def _check(permit: FieldPermit, tokens: Sequence[str], values: Sequence[str]) -> None:
    if bool(tokens) == bool(values):
        raise InvalidRequest("name what is to be erased by tokens or by values, not by both")
    if permit.field.storage is Storage.VAULTLESS:
        raise InvalidRequest("nothing is stored of this field (vaultless): nothing to erase")
    if values and permit.field.scope is Scope.NONE:
        raise InvalidRequest(
            "a value of this field cannot be found (scope none): name its tokens instead"
        )
