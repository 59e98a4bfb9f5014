"""Tokenize, Detokenize, Lookup and Describe: admit the caller, convert the column, record it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from vault.errors import RequestError
from vault.model import (
    NO_JUSTIFICATION,
    Action,
    AuditEvent,
    Failure,
    Justification,
    OnDenied,
    Storage,
)
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.conversion import Conversion, ConversionPath, Work
from vault.service.ports import KeySource, Transaction
from vault.service.regions import format_for_region
from vault.service.results import ColumnResult, DescribeResult, outcome_counts
from vault.service.reveal.grants import Grants, HeldGrant
from vault.service.reveal.rows import Refused
from vault.service.substitutes import substituted
from vault.service.token_specs import FieldTokenSpec, KnownTokenSpecs
from vault.service.vaulted import VaultedPath
from vault.service.vaultless import VaultlessPath

__all__ = ["TokenizationService"]

T = TypeVar("T")
R = TypeVar("R")
Finish: TypeAlias = Callable[[ColumnResult], R]

_PATHS: Mapping[Storage, Callable[[KeySource, FieldPermit, FieldTokenSpec], ConversionPath]] = {
    Storage.VAULTED: VaultedPath,
    Storage.VAULTLESS: VaultlessPath,
}


class TokenizationService:
    """The use cases of tokens. Stateless but for the record of used fields' token specs."""

    def __init__(
        self, admission: Admission, keys: KeySource, refused: Refused = lambda _, __: None
    ) -> None:
        """Takes what decides and audits, the keys, and what reports grants that are not ours."""
        self._admission = admission
        self._keys = keys
        self._grants = Grants(admission, keys, refused)
        self._token_specs = KnownTokenSpecs()

    def tokenize(
        self, call: Call, field: str, values: Sequence[str], region: str, finish: Finish[R]
    ) -> R:
        """Returns each value's token, making those that do not exist yet.

        Args:
            region: of the whole batch, for a format whose values are of regions; empty for
                the policy's.
            finish: as in ``Admission.carry_out``.
        """
        permit = self._admission.admit_field(call, Action.TOKENIZE, field)

        def prepare(path: ConversionPath) -> Work[str]:
            return path.tokenize(values, format_for_region(permit.field, region).parse)

        return self._convert(permit, len(values), prepare, _column(permit, finish))

    def lookup(
        self, call: Call, field: str, values: Sequence[str], region: str, finish: Finish[R]
    ) -> R:
        """Returns each value's live token and creates nothing; ``region`` as in ``tokenize``."""
        permit = self._admission.admit_field(call, Action.LOOKUP, field)

        def prepare(path: ConversionPath) -> Work[str]:
            return path.lookup(values, format_for_region(permit.field, region).parse)

        return self._convert(permit, len(values), prepare, _column(permit, finish))

    def detokenize(
        self,
        call: Call,
        field: str,
        tokens: Sequence[str],
        view: str,
        finish: Finish[R],
        justification: Justification = NO_JUSTIFICATION,
    ) -> R:
        """Returns a view of the value behind each token.

        Where a rule's conditions deny the call, and its ``on_denied`` says so, every item fails
        with a substitute.
        """
        try:
            permit = self._admission.admit_field(
                call, Action.DETOKENIZE, field, view, justification, tokens
            )
            return self._convert(
                permit, len(tokens), lambda path: path.detokenize(tokens), _column(permit, finish)
            )
        except RequestError as error:
            on_denied = OnDenied(error.on_denied)
            if on_denied is OnDenied.ERROR:
                raise
            failure = replace(Failure.from_error(error), on_denied=on_denied)
        return finish(substituted(tokens, failure))

    def describe(
        self,
        call: Call,
        field: str,
        tokens: Sequence[str],
        finish: Callable[[DescribeResult], R],
    ) -> R:
        """Returns what is known about each token, never its value."""
        permit = self._admission.admit_field(call, Action.DESCRIBE, field, tokens=tokens)
        return self._convert(
            permit,
            len(tokens),
            lambda path: path.describe(tokens),
            lambda made: finish(DescribeResult(made.answers, made.failures)),
        )

    def _convert(
        self,
        permit: FieldPermit,
        items: int,
        prepare: Callable[[ConversionPath], Work[T]],
        finish: Callable[[Conversion[T]], R],
    ) -> R:
        """Converts a column on its field's path, and writes the call's audit record."""
        token_spec = self._token_specs.for_field(permit.space, permit.field)
        path = _PATHS[permit.field.storage](self._keys, permit, token_spec)
        # What needs no transaction is done before there is one to hold open.
        convert = self._admission.attempt(permit, lambda: prepare(path))

        def work(
            transaction: Transaction, event: AuditEvent, grant: HeldGrant | None
        ) -> Conversion[T]:
            made = convert(transaction)
            if grant is not None:
                event = replace(event, charged=grant.charge(made.tokens))
            return self._record(transaction, event, permit, made)

        answer = self._grants.carry_out(permit, items, work, finish, permit.tokens)
        token_spec.remember()
        return answer

    def _record(
        self,
        transaction: Transaction,
        so_far: AuditEvent,
        permit: FieldPermit,
        made: Conversion[T],
    ) -> Conversion[T]:
        event = replace(
            so_far,
            counts=outcome_counts(len(made.answers), made.failures),
            key_versions=tuple(sorted(made.key_versions)),
            token_digest=self._keys.audit_key(permit.caller.tenant).mac(made.token_set()),
            touched=self._admission.touched(permit, made.tokens),
        )
        if permit.receipt:
            return replace(made, receipt=transaction.audit.append_with_receipt(event))
        transaction.audit.append(event)
        return made


def _column(permit: FieldPermit, finish: Finish[R]) -> Callable[[Conversion[str]], R]:
    return lambda made: finish(ColumnResult(made.answers, made.failures, permit.view, made.receipt))
