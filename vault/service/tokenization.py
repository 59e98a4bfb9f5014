"""Tokenize, Detokenize, Lookup and Describe.

Each reads like the policy: admit the caller, parse the column, do the work and write
its audit record in one transaction, answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from vault.crypto.field_key import FieldKey
from vault.errors import InvalidRequest, Reason
from vault.formats import Format, Parsed, token_recogniser
from vault.model import Action, Failure, Scope, Storage, StoredToken
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.columns import NO_TOKEN, NOT_LIVE, Answers, Column, laid_out, parse_column
from vault.service.deadline import in_time
from vault.service.ports import KeySource, Transaction
from vault.service.reading import (
    describe_rows,
    describe_vaultless,
    open_rows,
)
from vault.service.regions import format_for_region
from vault.service.results import (
    ColumnResult,
    DescribeResult,
    TokenDescription,
    outcome_counts,
    token_set_message,
)
from vault.service.stored_rows import UNOPENED
from vault.service.token_creation import (
    VAULTLESS_KEY_VERSION,
    TokenRequest,
    ensure_tokens,
    matches_value,
)
from vault.service.token_specs import FieldShape, TokenSpecRecord
from vault.service.vaultless import Conversion, detokenize_column, no_tokens, tokenize_column

__all__ = ["TokenizationService"]

_EXHAUSTED = Failure(
    Reason.FORMAT_SPACE_EXHAUSTED,
    "no free token of this format was found for the value; widen the field's format",
)
R = TypeVar("R")
Finish: TypeAlias = Callable[[ColumnResult], R]
Work = Callable[[Transaction], ColumnResult]
Parse = Callable[[str], Parsed]

_VAULTLESS = frozenset({VAULTLESS_KEY_VERSION})


class TokenizationService:
    """The use cases of tokens. Stateless but for the record of used fields' shapes."""

    def __init__(self, admission: Admission, keys: KeySource) -> None:
        self._admission = admission
        self._keys = keys
        self._token_specs = TokenSpecRecord()

    def tokenize(
        self,
        call: Call,
        field: str,
        values: Sequence[str],
        region: str,
        finish: Finish[R],
    ) -> R:
        """Returns each value's token, making those that do not exist yet.

        Args:
            region: of the whole batch, for a format whose values are of regions; empty for
                the policy's.
            finish: as in ``Admission.carry_out``.
        """
        permit = self._admission.admit_field(call, Action.TOKENIZE, field)
        shape = self._token_specs.of(permit.space, permit.field)
        parse = self._format_of(permit, region).parse
        work = self._prepared(permit, lambda: self._making(permit, shape, values, parse))
        result = self._admission.carry_out(permit, len(values), work, finish)
        shape.remember()
        return result

    def detokenize(
        self,
        call: Call,
        field: str,
        tokens: Sequence[str],
        view: str,
        finish: Finish[R],
    ) -> R:
        """Returns a view of the value behind each token."""
        permit = self._admission.admit_field(call, Action.DETOKENIZE, field, view)
        shape = self._token_specs.of(permit.space, permit.field)
        work = self._prepared(permit, lambda: self._revealing(permit, shape, tokens))
        result = self._admission.carry_out(permit, len(tokens), work, finish)
        shape.remember()
        return result

    def lookup(
        self, call: Call, field: str, values: Sequence[str], region: str, finish: Finish[R]
    ) -> R:
        """Returns each value's live token and creates nothing; ``region`` as in ``tokenize``."""
        permit = self._admission.admit_field(call, Action.LOOKUP, field)
        shape = self._token_specs.of(permit.space, permit.field)
        parse = self._format_of(permit, region).parse
        work = self._prepared(permit, lambda: self._finding(permit, shape, values, parse))
        result = self._admission.carry_out(permit, len(values), work, finish)
        shape.remember()
        return result

    def describe(
        self,
        call: Call,
        field: str,
        tokens: Sequence[str],
        finish: Callable[[DescribeResult], R],
    ) -> R:
        """Returns what is known about each token, never its value."""
        permit = self._admission.admit_field(call, Action.DESCRIBE, field)
        column = self._admission.attempt(permit, lambda: _parse_tokens(permit, tokens))

        def work(transaction: Transaction) -> DescribeResult:
            entries, versions = self._descriptions_of(transaction, permit, column.cores)
            states = [entry if isinstance(entry, Failure) else "" for entry in entries]
            answer = self._answer(transaction, permit, column, states, column.cores, versions)
            described: list[TokenDescription | None] = [None] * column.size
            for index, slot, _ in column.places:
                entry = entries[slot]
                described[index] = None if isinstance(entry, Failure) else entry
            return DescribeResult(described, answer.failures)

        return self._admission.carry_out(permit, column.size, work, finish)

    def _format_of(self, permit: FieldPermit, region: str) -> Format:
        return self._admission.attempt(permit, lambda: format_for_region(permit.field, region))

    def _prepared(self, permit: FieldPermit, prepare: Callable[[], Work]) -> Work:
        """Parses a column before there is a transaction to hold open for it."""
        return self._admission.attempt(permit, prepare)

    def _making(
        self, permit: FieldPermit, shape: FieldShape, values: Sequence[str], parse: Parse
    ) -> Work:
        """Returns the work of Tokenize."""
        if permit.field.storage is Storage.VAULTLESS:
            return self._enciphering(permit, shape, values, parse)
        column = parse_column(
            values,
            parse,
            parse_token=token_recogniser(permit.field.format),
            share=permit.field.scope is not Scope.NONE,
            deadline=permit.caller.deadline,
        )

        def work(transaction: Transaction) -> ColumnResult:
            tokens, versions = self._tokens_of(transaction, permit, shape, column.cores)
            return self._answer(transaction, permit, column, tokens, tokens, versions)

        return work

    def _finding(
        self, permit: FieldPermit, shape: FieldShape, values: Sequence[str], parse: Parse
    ) -> Work:
        """Returns the work of Lookup."""
        if permit.field.storage is Storage.VAULTLESS:
            return self._enciphering(permit, shape, values, parse)
        column = parse_column(
            values,
            parse,
            parse_token=token_recogniser(permit.field.format),
            deadline=permit.caller.deadline,
        )

        def work(transaction: Transaction) -> ColumnResult:
            tokens, versions = self._live_tokens_of(transaction, permit, column.cores)
            return self._answer(transaction, permit, column, tokens, tokens, versions)

        return work

    def _revealing(self, permit: FieldPermit, shape: FieldShape, tokens: Sequence[str]) -> Work:
        """Returns the work of Detokenize."""
        show, field = _view(permit), permit.field
        if field.storage is Storage.VAULTLESS:

            def decipher(transaction: Transaction, key: FieldKey) -> Conversion:
                version = shape.version(transaction)
                if version is None:
                    return no_tokens(tokens)
                deadline = permit.caller.deadline
                return detokenize_column(
                    key, field, version, tokens, permit.view, show, deadline=deadline
                )

            return self._vaultless(permit, decipher)
        column = laid_out(_parse_tokens(permit, tokens), field, permit.view)

        def work(transaction: Transaction) -> ColumnResult:
            rows = transaction.tokens.find_by_token(permit.space, column.cores)
            cores = in_time(column.cores, permit.caller.deadline)
            values = open_rows(self._keys, permit.space, cores, rows)
            shown = [
                value if isinstance(value, Failure) else show(token, value)
                for token, value in zip(column.cores, values, strict=True)
            ]
            return self._answer(transaction, permit, column, shown, column.cores, _versions(rows))

        return work

    def _enciphering(
        self, permit: FieldPermit, shape: FieldShape, values: Sequence[str], parse: Parse
    ) -> Work:
        """Returns the work of Tokenize and Lookup on a vaultless field: both hand out tokens."""
        field = permit.field

        def encipher(transaction: Transaction, key: FieldKey) -> Conversion:
            version = shape.version(transaction) or field.tweak_version
            deadline = permit.caller.deadline
            made = tokenize_column(key, field, version, values, parse, deadline=deadline)
            if not len(made.tokens):
                return made
            claimed = shape.claim(transaction)
            if claimed == version:
                return made
            return tokenize_column(key, field, claimed, values, parse, deadline=deadline)

        return self._vaultless(permit, encipher)

    def _vaultless(
        self, permit: FieldPermit, convert: Callable[[Transaction, FieldKey], Conversion]
    ) -> Work:
        def work(transaction: Transaction) -> ColumnResult:
            key = self._keys.version(permit.space, VAULTLESS_KEY_VERSION)
            made = convert(transaction, key)
            counts = outcome_counts(len(made.texts), made.failures)
            self._record(transaction, permit, counts, made.token_set(), _VAULTLESS)
            return ColumnResult(made.texts, made.failures, permit.view)

        return work

    def _tokens_of(
        self,
        transaction: Transaction,
        permit: FieldPermit,
        shape: FieldShape,
        cores: Sequence[str],
    ) -> tuple[Answers, frozenset[int]]:
        if not cores:
            return [], frozenset()
        version = shape.claim(transaction)
        wanted = self._wanted(permit, cores)
        minted = ensure_tokens(
            transaction.tokens,
            self._keys,
            permit.space,
            permit.field,
            wanted,
            version,
            deadline=permit.caller.deadline,
        )
        tokens = [
            (UNOPENED if at in minted.unopened else _EXHAUSTED) if token is None else token
            for at, token in enumerate(minted.tokens)
        ]
        return tokens, minted.key_versions

    def _wanted(self, permit: FieldPermit, cores: Sequence[str]) -> list[TokenRequest]:
        if permit.field.scope is Scope.NONE:
            return [TokenRequest(core, None) for core in cores]
        macs = self._keys.index(permit.space).macs(permit.field.scope.value, cores)
        return [TokenRequest(core, mac) for core, mac in zip(cores, macs, strict=True)]

    def _live_tokens_of(
        self, transaction: Transaction, permit: FieldPermit, cores: Sequence[str]
    ) -> tuple[Answers, frozenset[int]]:
        field = permit.field
        if field.scope is Scope.NONE:
            raise InvalidRequest(
                "a value of this field has no token of its own (scope none): nothing to look up"
            )
        index = self._keys.index(permit.space)
        macs = index.macs(field.scope.value, cores)
        rows = transaction.tokens.find_by_mac(permit.space, field.scope, index.version, macs)
        tokens = [
            self._live_token(permit, rows.get(mac), core)
            for core, mac in in_time(zip(cores, macs, strict=True), permit.caller.deadline)
        ]
        return tokens, _versions(rows)

    def _live_token(self, permit: FieldPermit, row: StoredToken | None, core: str) -> str | Failure:
        if row is None:
            return NOT_LIVE
        return row.token if matches_value(self._keys, permit.space, row, core) else UNOPENED

    def _descriptions_of(
        self, transaction: Transaction, permit: FieldPermit, tokens: Sequence[str]
    ) -> tuple[Sequence[TokenDescription | Failure], frozenset[int]]:
        if permit.field.storage is Storage.VAULTLESS:
            return [describe_vaultless(permit.field)] * len(tokens), _VAULTLESS
        rows = transaction.tokens.find_by_token(permit.space, tokens)
        return describe_rows(permit.field, tokens, rows), _versions(rows)

    def _answer(
        self,
        transaction: Transaction,
        permit: FieldPermit,
        column: Column,
        answers: Answers,
        tokens: Answers,
        versions: Iterable[int],
    ) -> ColumnResult:
        """Renders the answers and writes the call's audit record."""
        rendered, failures = column.answer(permit.field.format, answers)
        message = token_set_message(token for token in tokens if isinstance(token, str))
        counts = outcome_counts(column.size, failures)
        self._record(transaction, permit, counts, message, versions)
        return ColumnResult(rendered, failures, permit.view)

    def _record(
        self,
        transaction: Transaction,
        permit: FieldPermit,
        counts: Mapping[str, int],
        token_set: bytes | memoryview,
        versions: Iterable[int],
    ) -> None:
        event = replace(
            permit.event,
            counts=counts,
            key_versions=tuple(sorted(versions)),
            token_digest=self._keys.audit(permit.caller.tenant).mac(token_set),
        )
        transaction.audit.append(event)


def _parse_tokens(permit: FieldPermit, tokens: Sequence[str]) -> Column:
    return parse_column(
        tokens,
        permit.field.format.parse_token,
        malformed=NO_TOKEN,
        deadline=permit.caller.deadline,
    )


def _versions(rows: Mapping[bytes, StoredToken] | Mapping[str, StoredToken]) -> frozenset[int]:
    return frozenset(row.key_version for row in rows.values())


def _view(permit: FieldPermit) -> Callable[[str, str], str]:
    """Returns what turns (token core, value core) into the core of the permitted view."""
    if permit.view == "full":
        return lambda _token, value: value
    if permit.view == "token":
        return lambda token, _value: token
    view = permit.field.views[permit.view]
    return lambda _token, value: view.apply(value)
