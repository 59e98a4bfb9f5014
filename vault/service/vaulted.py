"""The path of vaulted fields: tokens are rows, found by value or by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vault.errors import InvalidRequest, Reason
from vault.formats import token_recogniser
from vault.model import Failure, Scope, StoredToken
from vault.service.admission import FieldPermit
from vault.service.columns import (
    NOT_LIVE,
    Answers,
    ParsedColumn,
    laid_out,
    parse_column,
    parse_tokens,
)
from vault.service.conversion import Conversion, Parse, Work
from vault.service.deadline import in_time
from vault.service.ports import KeySource, Transaction
from vault.service.reading import describe_rows, open_rows, view_maker
from vault.service.results import TokenDescription
from vault.service.stored_rows import UNOPENED
from vault.service.token_creation import TokenRequest, ensure_tokens, matches_value
from vault.service.token_specs import FieldTokenSpec

__all__ = ["VaultedPath"]

_EXHAUSTED = Failure(
    Reason.FORMAT_SPACE_EXHAUSTED,
    "no free token of this format was found for the value; widen the field's format",
)


class VaultedPath:
    """One call's way to a vaulted field."""

    def __init__(self, keys: KeySource, permit: FieldPermit, token_spec: FieldTokenSpec) -> None:
        self._keys = keys
        self._space = permit.space
        self._field = permit.field
        self._view = permit.view
        self._deadline = permit.caller.deadline
        self._token_spec = token_spec

    def tokenize(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """As ``ConversionPath``."""
        column = self._parse(values, parse, share=self._field.scope is not Scope.NONE)

        def work(transaction: Transaction) -> Conversion[str]:
            tokens, versions = self._ensure(transaction, column.cores)
            return self._conversion(column, tokens, tokens, versions)

        return work

    def lookup(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """As ``ConversionPath``; the work raises InvalidRequest for a field of scope ``none``."""
        column = self._parse(values, parse)

        def work(transaction: Transaction) -> Conversion[str]:
            tokens, versions = self._live(transaction, column.cores)
            return self._conversion(column, tokens, tokens, versions)

        return work

    def detokenize(self, tokens: Sequence[str]) -> Work[str]:
        """As ``ConversionPath``."""
        show = view_maker(self._field, self._view)
        column = laid_out(self._parse_tokens(tokens), self._field, self._view)

        def work(transaction: Transaction) -> Conversion[str]:
            rows = transaction.tokens.find_by_token(self._space, column.cores)
            cores = in_time(column.cores, self._deadline)
            values = open_rows(self._keys, self._space, cores, rows)
            shown = [
                value if isinstance(value, Failure) else show(token, value)
                for token, value in zip(column.cores, values, strict=True)
            ]
            return self._conversion(column, shown, column.cores, _versions(rows.values()))

        return work

    def describe(self, tokens: Sequence[str]) -> Work[TokenDescription | None]:
        """As ``ConversionPath``."""
        column = self._parse_tokens(tokens)

        def work(transaction: Transaction) -> Conversion[TokenDescription | None]:
            rows = transaction.tokens.find_by_token(self._space, column.cores)
            described = describe_rows(self._field, column.cores, rows)
            answers, failures = column.place(described)
            return Conversion(answers, failures, column.cores, _versions(rows.values()))

        return work

    def _parse(self, values: Sequence[str], parse: Parse, *, share: bool = True) -> ParsedColumn:
        return parse_column(
            values,
            parse,
            parse_token=token_recogniser(self._field.format),
            share=share,
            deadline=self._deadline,
        )

    def _parse_tokens(self, tokens: Sequence[str]) -> ParsedColumn:
        return parse_tokens(tokens, self._field.format, self._deadline)

    def _ensure(
        self, transaction: Transaction, cores: Sequence[str]
    ) -> tuple[Answers, frozenset[int]]:
        """Returns each core's token, found or made, and the key versions behind them."""
        if not cores:
            return [], frozenset()
        version = self._token_spec.claim(transaction)
        ensured = ensure_tokens(
            transaction.tokens,
            self._keys,
            self._space,
            self._field,
            self._requests(cores),
            version,
            deadline=self._deadline,
        )
        tokens = [
            (UNOPENED if at in ensured.mismatched else _EXHAUSTED) if token is None else token
            for at, token in enumerate(ensured.tokens)
        ]
        return tokens, ensured.key_versions

    def _requests(self, cores: Sequence[str]) -> list[TokenRequest]:
        scope = self._field.scope
        if scope is Scope.NONE:
            return [TokenRequest(core, None) for core in cores]
        macs = self._keys.index(self._space).macs(scope.value, cores)
        return [TokenRequest(core, mac) for core, mac in zip(cores, macs, strict=True)]

    def _live(
        self, transaction: Transaction, cores: Sequence[str]
    ) -> tuple[Answers, frozenset[int]]:
        """Returns each core's live token, and the key versions behind them."""
        scope = self._field.scope
        if scope is Scope.NONE:
            raise InvalidRequest(
                "a value of this field has no token of its own (scope none): nothing to look up"
            )
        index = self._keys.index(self._space)
        macs = index.macs(scope.value, cores)
        rows = transaction.tokens.find_by_mac(self._space, scope, index.version, macs)
        tokens = [
            self._live_token(rows.get(mac), core)
            for core, mac in in_time(zip(cores, macs, strict=True), self._deadline)
        ]
        return tokens, _versions(rows.values())

    def _live_token(self, row: StoredToken | None, core: str) -> str | Failure:
        if row is None:
            return NOT_LIVE
        return row.token if matches_value(self._keys, self._space, row, core) else UNOPENED

    def _conversion(
        self, column: ParsedColumn, answers: Answers, tokens: Answers, versions: frozenset[int]
    ) -> Conversion[str]:
        rendered, failures = column.answer(self._field.format, answers)
        found = [token for token in tokens if isinstance(token, str)]
        return Conversion(rendered, failures, found, versions)


def _versions(rows: Iterable[StoredToken]) -> frozenset[int]:
    return frozenset(row.key_version for row in rows)
