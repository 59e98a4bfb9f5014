"""The path of vaultless fields: tokens are enciphered values, and nothing is stored of them."""

from __future__ import annotations

from collections.abc import Sequence

from vault.crypto.field_key import FieldKey
from vault.service.admission import FieldPermit
from vault.service.columnar.vaultless_column import (
    VAULTLESS_KEY_VERSIONS,
    detokenize_column,
    no_tokens,
    tokenize_column,
)
from vault.service.columns import parse_tokens
from vault.service.conversion import Conversion, Parse, Work
from vault.service.ports import KeySource, Transaction
from vault.service.results import TokenDescription
from vault.service.token_creation import VAULTLESS_KEY_VERSION
from vault.service.token_reading import describe_vaultless, view_maker
from vault.service.token_specs import FieldTokenSpec

__all__ = ["VaultlessPath"]


class VaultlessPath:
    """Converts one call's column of a vaultless field; only the tweak version needs Postgres."""

    def __init__(self, keys: KeySource, permit: FieldPermit, token_spec: FieldTokenSpec) -> None:
        self._keys = keys
        self._space = permit.space
        self._field = permit.field
        self._view = permit.view
        self._deadline = permit.caller.deadline
        self._token_spec = token_spec

    def tokenize(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """As ``ConversionPath``."""

        def work(transaction: Transaction) -> Conversion[str]:
            key, field = self._key(), self._field
            version = self._token_spec.tweak_version(transaction) or field.tweak_version
            deadline = self._deadline
            made = tokenize_column(key, field, version, values, parse, deadline=deadline)
            if not len(made.tokens):
                return made
            claimed = self._token_spec.claim(transaction)
            if claimed == version:
                return made
            return tokenize_column(key, field, claimed, values, parse, deadline=deadline)

        return work

    def lookup(self, values: Sequence[str], parse: Parse) -> Work[str]:
        """As ``ConversionPath``: what is looked up is handed out, so it is tokenized."""
        return self.tokenize(values, parse)

    def detokenize(self, tokens: Sequence[str]) -> Work[str]:
        """As ``ConversionPath``."""
        show = view_maker(self._field, self._view)

        def work(transaction: Transaction) -> Conversion[str]:
            key, field = self._key(), self._field
            version = self._token_spec.tweak_version(transaction)
            if version is None:
                return no_tokens(tokens)
            return detokenize_column(
                key, field, version, tokens, self._view, show, deadline=self._deadline
            )

        return work

    def describe(self, tokens: Sequence[str]) -> Work[TokenDescription | None]:
        """As ``ConversionPath``; issued tokens cannot be distinguished from others."""
        column = parse_tokens(tokens, self._field.format, self._deadline)

        def work(_: Transaction) -> Conversion[TokenDescription | None]:
            description = describe_vaultless(self._field)
            answers, failures = column.in_request_order([description] * len(column.cores))
            return Conversion(answers, failures, column.cores, VAULTLESS_KEY_VERSIONS)

        return work

    def _key(self) -> FieldKey:
        return self._keys.field_key(self._space, VAULTLESS_KEY_VERSION)
