"""The path of vaulted fields: tokens are rows, found by value or by token."""

from __future__ import annotations

from collections.abc import Sequence

from vault.crypto.encoding import utf8_each
from vault.errors import InvalidRequest, Reason
from vault.formats import token_recogniser
from vault.model import Failure, Scope, StoredTokens
from vault.service.admission import FieldPermit
from vault.service.columns import (
    NO_TOKEN,
    NOT_LIVE,
    Answers,
    ParsedColumn,
    parse_column,
    parse_tokens,
    with_view_layouts,
)
from vault.service.conversion import Conversion, Parse, Work
from vault.service.ports import KeySource, Transaction
from vault.service.reading import TOMBSTONES, describe_rows, view_maker
from vault.service.results import TokenDescription
from vault.service.stored_rows import DECRYPTION_FAILED, match_each, open_each
from vault.service.token_creation import ensure_tokens
from vault.service.token_specs import FieldTokenSpec

__all__ = ["VaultedPath"]

_EXHAUSTED = Failure(
    Reason.FORMAT_SPACE_EXHAUSTED,
    "no free token of this format was found for the value; widen the field's format",
)


class VaultedPath:
    """Converts one call's column of a vaulted field."""

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
        column = with_view_layouts(self._parse_tokens(tokens), self._field, self._view)

        def work(transaction: Transaction) -> Conversion[str]:
            rows = transaction.tokens.find_by_token(self._space, column.cores)
            values = self._values_of(rows, len(column.cores))
            shown = [
                value if isinstance(value, Failure) else show(token, value)
                for token, value in zip(column.cores, values, strict=True)
            ]
            return self._conversion(column, shown, column.cores, frozenset(rows.key_versions))

        return work

    def describe(self, tokens: Sequence[str]) -> Work[TokenDescription | None]:
        """As ``ConversionPath``."""
        column = self._parse_tokens(tokens)

        def work(transaction: Transaction) -> Conversion[TokenDescription | None]:
            rows = transaction.tokens.rows_by_token(self._space, column.cores)
            described = describe_rows(self._field, column.cores, rows)
            answers, failures = column.place(described)
            versions = frozenset(row.key_version for row in rows.values())
            return Conversion(answers, failures, column.cores, versions)

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
            cores,
            version,
            deadline=self._deadline,
        )
        tokens = [
            (DECRYPTION_FAILED if at in ensured.mismatched else _EXHAUSTED)
            if token is None
            else token
            for at, token in enumerate(ensured.tokens)
        ]
        return tokens, ensured.key_versions

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
        own = match_each(self._keys, self._space, scope, rows, utf8_each(cores), self._deadline)
        tokens: list[str | Failure] = [NOT_LIVE] * len(cores)
        for at, token, matches in zip(rows.at, rows.tokens, own, strict=True):
            tokens[at] = token if matches else DECRYPTION_FAILED
        return tokens, frozenset(rows.key_versions)

    def _values_of(self, rows: StoredTokens, tokens: int) -> Answers:
        """Returns the value core behind each token that was asked for."""
        opened = open_each(self._keys, self._space, self._field.scope, rows, self._deadline)
        values: list[str | Failure] = [NO_TOKEN] * tokens
        for at, value, state in zip(rows.at, opened, rows.states, strict=True):
            gone = TOMBSTONES.get(state)
            values[at] = gone or (DECRYPTION_FAILED if value is None else value.decode())
        return values

    def _conversion(
        self, column: ParsedColumn, answers: Answers, tokens: Answers, versions: frozenset[int]
    ) -> Conversion[str]:
        rendered, failures = column.answer(self._field.format, answers)
        found = [token for token in tokens if isinstance(token, str)]
        return Conversion(rendered, failures, found, versions)
