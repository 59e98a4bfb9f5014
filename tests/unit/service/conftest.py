"""The use cases over a store in memory and fixed keys: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from vault.crypto.field_key import FieldKey, IndexKey, MacKey
from vault.errors import DecryptionFailed, KeysUnavailable
from vault.model import Caller, Principal, TokenSpace
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.encryption import EncryptionService
from vault.service.erasure.erase import ErasureResult, ErasureService
from vault.service.erasure.expiry import ExpiryService
from vault.service.erasure.spellings import SpellingPage, SpellingService
from vault.service.ports import unchanged
from vault.service.results import BytesResult, ColumnResult, DescribeResult
from vault.service.tokenization import TokenizationService
from vault.testing.store import MemoryUnitOfWork

POLICY = """
version: 1
fields:
  card:
    format: card
    min: 15
    keep: {last: 4}
    generator: ff3-1
    views: {last4: {show_last: 4}}
  ssn: {format: us_ssn, generator: ff1, views: {last4: {show_last: 4}}}
  name: {format: person_name, generator: random}
  mail: {format: email, generator: random, ttl: 30d}
  once: {format: us_ssn, generator: ff1, scope: none}
  account: {format: {alphabet: digits, min: 10, max: 20}, generator: ff3-1, storage: vaultless}
  tiny: {format: {alphabet: digits, min: 6, max: 6}, generator: ff1, storage: vaultless}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  steward: [{fields: ["*"], allow: [lookup, describe]}]
  support: [{fields: [card], allow: [detokenize], view: last4}]
  restorer: [{fields: ["*"], allow: [detokenize], view: full}]
  privacy: [{fields: ["*"], allow: [erase]}]
  crypto: [{fields: [ssn], allow: [encrypt, decrypt], view: full}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/steward", roles: [steward]}
  - {spiffe: "spiffe://example.org/support", roles: [support]}
  - {spiffe: "spiffe://example.org/restorer", roles: [restorer]}
  - {spiffe: "spiffe://example.org/privacy", roles: [privacy]}
  - {spiffe: "spiffe://example.org/crypto", roles: [crypto]}
"""


@dataclass
class FixedKeys:
    """A KeySource with two versions of every key, made of fixed bytes."""

    active_version: int = 1
    maker_version: int | None = None
    available: bool = True
    charged: list[int] = field(default_factory=list)

    def for_encryption(self, space: TokenSpace, count: int) -> FieldKey:
        self.charged.append(count)
        return self.active_field_key(space)

    def active_field_key(self, space: TokenSpace) -> FieldKey:
        return self.field_key(space, self.active_version)

    def token_field_key(self, space: TokenSpace) -> FieldKey:
        return self.field_key(space, self.maker_version or self.active_version)

    def field_key(self, space: TokenSpace, version: int) -> FieldKey:
        if not self.available:
            raise KeysUnavailable("keys have expired")
        if version not in (1, 2):
            raise DecryptionFailed
        return FieldKey(bytes([version]) * 32, space.tenant, space.field, version)

    def index_key(self, space: TokenSpace) -> IndexKey:
        return IndexKey(b"i" * 32, space.tenant, space.field, 1)

    def index_keys(self, space: TokenSpace) -> list[IndexKey]:
        return [IndexKey(b"i" * 32, space.tenant, space.field, each) for each in (1, 2)]

    def audit_key(self, tenant: str, version: int | None = None) -> MacKey:
        return MacKey(version or 1, b"a" * 32)


@dataclass
class Clock:
    """The store's clock, which a test may set forward."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class ServiceHarness:
    """The use cases and what stands below them."""

    policy: Policy
    keys: FixedKeys
    work: MemoryUnitOfWork
    tokens: TokenizationService
    encryption: EncryptionService
    erasure: ErasureService
    expiry: ExpiryService
    clock: Clock
    spellings: SpellingService
    admission: Admission

    def caller(self, name: str) -> Caller:
        """Returns an authenticated caller of the test policy."""
        principal = Principal("spiffe", f"spiffe://example.org/{name}")
        return Caller(principal, peer="ipv4:127.0.0.1", credential="01", request_id="r-1")

    def call(self, rpc: str, name: str) -> Call:
        """Returns a caller's call of an RPC under the test policy."""
        return Call(rpc, self.caller(name), self.policy)

    def tokenize(self, field: str, values: list[str], name: str = "pipeline") -> ColumnResult:
        return self.tokens.tokenize(self.call("Tokenize", name), field, values, "", unchanged)

    def detokenize(
        self, field: str, tokens: Sequence[str], name: str = "restorer", view: str = ""
    ) -> ColumnResult:
        call = self.call("Detokenize", name)
        return self.tokens.detokenize(call, field, tokens, view, unchanged)

    def lookup(self, field: str, values: list[str]) -> ColumnResult:
        return self.tokens.lookup(self.call("Lookup", "steward"), field, values, "", unchanged)

    def describe(self, field: str, tokens: Sequence[str]) -> DescribeResult:
        return self.tokens.describe(self.call("Describe", "steward"), field, tokens, unchanged)

    def encrypt(
        self, field: str, plaintexts: Sequence[bytes], context: bytes, name: str = "crypto"
    ) -> BytesResult:
        call = self.call("Encrypt", name)
        return self.encryption.encrypt(call, field, plaintexts, context, unchanged)

    def decrypt(
        self, field: str, ciphertexts: Sequence[bytes], context: bytes, name: str = "crypto"
    ) -> BytesResult:
        call = self.call("Decrypt", name)
        return self.encryption.decrypt(call, field, ciphertexts, context, unchanged)

    def erase(
        self,
        field: str,
        *,
        tokens: Sequence[str] = (),
        values: Sequence[str] = (),
        name: str = "privacy",
    ) -> ErasureResult:
        return self.erasure.erase(self.call("Erase", name), field, tokens, values, unchanged)

    def look(
        self,
        field: str,
        values: Sequence[str],
        *,
        count_only: bool = False,
        page_token: bytes = b"",
        name: str = "privacy",
    ) -> SpellingPage:
        return self.spellings.erase(
            self.call("EraseSpellings", name),
            field,
            values,
            unchanged,
            count_only=count_only,
            page_token=page_token,
        )


@pytest.fixture
def harness() -> ServiceHarness:
    clock = Clock()
    keys, work = FixedKeys(), MemoryUnitOfWork(clock)
    admission, policy = Admission(work, Budgets(keys)), parse_policy(POLICY, "test policy")
    return ServiceHarness(
        policy=policy,
        keys=keys,
        work=work,
        tokens=TokenizationService(admission, keys),
        encryption=EncryptionService(admission, keys),
        erasure=ErasureService(admission, keys),
        expiry=ExpiryService(work, keys, lambda: policy, batch=3),
        clock=clock,
        spellings=SpellingService(admission, keys, page=100),
        admission=admission,
    )
