"""The use cases over a real Postgres."""

from __future__ import annotations

from sqlalchemy import Engine

from vault.keys.keyring import Keyring
from vault.model import Caller, Principal
from vault.policy.reading.load import parse_policy
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.erasure.erase import ErasureResult, ErasureService
from vault.service.erasure.expiry import ExpiryService
from vault.service.erasure.spellings import SpellingPage, SpellingService
from vault.service.ports import unchanged
from vault.service.results import ColumnResult
from vault.service.tokenization import TokenizationService
from vault.store.data_keys import PostgresDataKeyStore
from vault.testing.keys import LocalKeyWrapper

POLICY = parse_policy(
    """
version: 1
fields:
  kept: {format: {alphabet: digits, min: 9, max: 9}, generator: ff1}
  dated: {format: {alphabet: digits, min: 9, max: 9}, generator: random, ttl: 365d}
  brief: {format: {alphabet: digits, min: 9, max: 9}, generator: random, ttl: 1s}
roles:
  all: [{fields: ["*"], allow: [tokenize, detokenize, lookup, describe, erase], view: full}]
principals:
  - {spiffe: "spiffe://example.org/all", roles: [all]}
""",
    "p.yaml",
)
CALLER = Caller(Principal("spiffe", "spiffe://example.org/all"), "peer", "01", "r")


def call(rpc: str) -> Call:
    return Call(rpc, CALLER, POLICY)


class ServiceHarness:
    """The use cases over Postgres, with keys of the test's own."""

    def __init__(self, work: PostgresUnitOfWork, side: Engine) -> None:
        keys = Keyring(PostgresDataKeyStore(side), LocalKeyWrapper(), POLICY.fields)
        keys.reload()
        admission = Admission(work, Budgets(keys))
        self.tokens = TokenizationService(admission, keys)
        self.erasure = ErasureService(admission, keys)
        self.expiry = ExpiryService(work, keys, lambda: POLICY, batch=50)

    def tokenize(self, field: str, values: list[str]) -> list[str]:
        result = self.tokens.tokenize(call("Tokenize"), field, values, "", unchanged)
        assert result.failures == {}
        return list(result.values)

    def detokenize(self, field: str, tokens: list[str]) -> ColumnResult:
        return self.tokens.detokenize(call("Detokenize"), field, tokens, "", unchanged)

    def lookup(self, field: str, values: list[str]) -> ColumnResult:
        return self.tokens.lookup(call("Lookup"), field, values, "", unchanged)

    def spellings(self, field: str, values: list[str]) -> SpellingPage:
        return SpellingService(self.erasure._admission, self.erasure._keys).erase(
            call("EraseSpellings"), field, values, unchanged
        )

    def erase(
        self, field: str, *, tokens: list[str] | None = None, values: list[str] | None = None
    ) -> ErasureResult:
        return self.erasure.erase(call("Erase"), field, tokens or [], values or [], unchanged)
