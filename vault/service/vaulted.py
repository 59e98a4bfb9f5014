"""The path of vaulted fields: tokens are rows, found by value or by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vault.errors import InvalidRequest, Reason
from vault.formats.columnar.text_column import TextColumn, utf8_of
from vault.model import Failure, Scope, StoredTokens
from vault.service.admission import FieldPermit
from vault.service.columnar.vaulted_column import (
    VaultedColumn,
    parse_vaulted_tokens,
    parse_vaulted_values,
)
from vault.service.columns import NO_TOKEN, NOT_LIVE, parse_tokens
from vault.service.conversion import Conversion, Parse, Work
from vault.service.ports import KeySource, Transaction
from vault.service.results import TokenDescription
from vault.service.stored_rows import DECRYPTION_FAILED, match_each, open_each
from vault.service.token_creation import ensure_tokens
from vault.service.token_reading import NOT_READABLE, describe_rows, view_maker
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
        share = self._field.scope is not Scope.NONE
        column = parse_vaulted_values(
            self._field, values, parse, share=share, deadline=self._deadline
        )

        def work(transaction: Transaction) -> Conversion[str]:
            return self._tokens(column, *self._ensure(transaction, column.cores))

        return work

    def lookup(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """As ``ConversionPath``; the work raises InvalidRequest for a field of scope ``none``."""
        column = parse_vaulted_values(self._field, values, parse, deadline=self._deadline)

        def work(transaction: Transaction) -> Conversion[str]:
            return self._tokens(column, *self._live(transaction, column.cores))

        return work

    def detokenize(self, tokens: Sequence[str]) -> Work[str]:
        """As ``ConversionPath``."""
        column = parse_vaulted_tokens(self._field, tokens, self._deadline)
        column = column.with_view_layouts(self._field, self._view)

        def work(transaction: Transaction) -> Conversion[str]:
            rows = transaction.tokens.find_by_token(self._space, column.cores)
            values, failures = self._values_of(rows, len(column.cores))
            shown = self._shown(column, values, failures)
            answers, failed = column.render(self._field.format, shown, failures)
            return Conversion(answers, failed, column.cores, frozenset(rows.key_versions))

        return work

    def describe(self, tokens: Sequence[str]) -> Work[TokenDescription | None]:
        """As ``ConversionPath``."""
        column = parse_tokens(tokens, self._field.format, self._deadline)

        def work(transaction: Transaction) -> Conversion[TokenDescription | None]:
            rows = transaction.tokens.rows_by_token(self._space, column.cores)
            described = describe_rows(self._field, column.cores, rows)
            answers, failures = column.in_request_order(described)
            versions = frozenset(row.key_version for row in rows.values())
            return Conversion(answers, failures, column.cores, versions)

        return work

    def _ensure(
        self, transaction: Transaction, cores: Sequence[str]
    ) -> tuple[Sequence[str], dict[int, Failure], frozenset[int]]:
        """Returns each core's token, found or made, failures by slot, and the key versions."""
        if not cores:
            return [], {}, frozenset()
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
        failures = {
            slot: DECRYPTION_FAILED if slot in ensured.mismatched else _EXHAUSTED
            for slot, token in enumerate(ensured.tokens)
            if not token
        }
        return ensured.tokens, failures, ensured.key_versions

    def _live(
        self, transaction: Transaction, cores: Sequence[str]
    ) -> tuple[Sequence[str], dict[int, Failure], frozenset[int]]:
        """Returns each core's live token, failures by slot, and the key versions."""
        scope = self._field.scope
        if scope is Scope.NONE:
            raise InvalidRequest(
                "a value of this field has no token of its own (scope none): nothing to look up"
            )
        index = self._keys.index_key(self._space)
        values = utf8_of(cores)
        macs = index.macs_of_utf8(scope.value, values)
        rows = transaction.tokens.find_by_mac(self._space, scope, index.version, macs)
        own = match_each(self._keys, self._space, scope, rows, values, self._deadline)
        tokens = [""] * len(cores)
        failures = dict.fromkeys(range(len(cores)), NOT_LIVE)
        for at, token, matches in zip(rows.at, rows.tokens, own, strict=True):
            if matches:
                tokens[at] = token
                del failures[at]
            else:
                failures[at] = DECRYPTION_FAILED
        return tokens, failures, frozenset(rows.key_versions)

    def _values_of(
        self, rows: StoredTokens, slots: int
    ) -> tuple[Sequence[bytes], dict[int, Failure]]:
        """Returns the value core behind each token that was asked for, and failures by slot."""
        opened = open_each(self._keys, self._space, self._field.scope, rows, self._deadline)
        values: list[bytes | None] = [None] * slots
        for at, value in zip(rows.at, opened, strict=True):
            values[at] = value
        found = [value for value in values if value is not None]
        if len(found) == slots:
            return found, {}
        stored = dict(zip(rows.at, rows.states, strict=True))
        failures = {
            slot: NOT_READABLE.get(stored[slot], DECRYPTION_FAILED) if slot in stored else NO_TOKEN
            for slot, value in enumerate(values)
            if value is None
        }
        return [value or b"" for value in values], failures

    def _shown(
        self, column: VaultedColumn, values: Sequence[bytes], failures: Mapping[int, Failure]
    ) -> Sequence[str]:
        """Returns the permitted view of values, by slot."""
        if column.rows is None:
            cores: Sequence[str] = [value.decode() for value in values]
        else:
            cores = TextColumn.from_utf8_strings(values)
        if self._view == "full":
            return cores
        show = view_maker(self._field, self._view)
        return [
            "" if slot in failures else show(token, core)
            for slot, (token, core) in enumerate(zip(column.cores, cores, strict=True))
        ]

    def _tokens(
        self,
        column: VaultedColumn,
        tokens: Sequence[str],
        failures: dict[int, Failure],
        versions: frozenset[int],
    ) -> Conversion[str]:
        answers, failed = column.render(self._field.format, tokens, failures)
        found = [token for token in tokens if token] if failures else tokens
        return Conversion(answers, failed, found, versions)
