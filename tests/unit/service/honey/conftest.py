"""The use cases with honey tokens, over a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.service.conftest import Clock, FixedKeys
from vault.errors import TokenvaultError
from vault.model import Caller, Person, Principal
from vault.policy.reading.load import parse_policy
from vault.service.admission import Admission
from vault.service.budgets import Budgets
from vault.service.call import Call
from vault.service.encryption import EncryptionService
from vault.service.erasure.erase import ErasureService
from vault.service.erasure.spellings import SpellingService
from vault.service.freezes.counting import TouchCounter
from vault.service.freezes.rows import FreezeRows
from vault.service.freezes.watch import FreezeWatch
from vault.service.honey.alarm import Touch, TouchAlarm
from vault.service.honey.honey_tokens import HoneyService, HoneyStatus
from vault.service.honey.known import KnownHoney
from vault.service.honey.sets import HoneyRows
from vault.service.notices.notices import Notices, Subscription
from vault.service.ports import Transaction, unchanged
from vault.service.reveal.asking import RequestService
from vault.service.tokenization import TokenizationService
from vault.testing.store import MemoryUnitOfWork

POLICY = """
version: 1
fields:
  ssn: {format: us_ssn, generator: ff1}
  mail: {format: email, generator: random}
  account: {format: {alphabet: digits, min: 10, max: 20}, generator: ff3-1, storage: vaultless}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
  reader: [{fields: ["*"], allow: [detokenize], view: full}, {fields: ["*"], allow: [lookup, describe]}]
  bulk: [{fields: ["*"], allow: [detokenize], view: full}]
  privacy: [{fields: [ssn, mail], allow: [erase]}]
  keeper: [{fields: [ssn, account], allow: [manage_honey]}]
  fraud:
    - {fields: [ssn], allow: [request_reveal, detokenize], view: full, approvals: [{of: lead}], grant_ttl: 1h}
  lead: [{fields: [ssn], allow: [approve_reveal]}]
  justified: [{fields: [ssn], allow: [detokenize], view: full, purposes: [case], on_denied: mask}]
freezes:
  - {touches: 1}
  - {roles: [bulk], touches: 3, per: 1h}
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
  - {spiffe: "spiffe://example.org/reader", roles: [reader]}
  - {spiffe: "spiffe://example.org/bulk", roles: [bulk]}
  - {spiffe: "spiffe://example.org/privacy", roles: [privacy]}
  - {spiffe: "spiffe://example.org/keeper", roles: [keeper]}
  - {spiffe: "spiffe://example.org/fraud", roles: [fraud]}
  - {spiffe: "spiffe://example.org/justified", roles: [justified]}
  - {jwt: {issuer: "https://idp", audience: t, claim: groups, value: lead}, roles: [lead]}
  - {jwt: {issuer: "https://idp", audience: t, claim: groups, value: fraud}, roles: [fraud]}
"""  # noqa: E501
WITHOUT_FREEZES = POLICY.replace(POLICY[POLICY.index("freezes:") : POLICY.index("principals:")], "")


class Site:
    """One process, and what its periodic task does."""

    def __init__(self, policy: str = POLICY) -> None:
        self.policy = parse_policy(policy, "policy")
        self.keys, self.clock = FixedKeys(), Clock()
        self.work = MemoryUnitOfWork(self.clock)
        self.now = 100.0
        self.refused: list[str] = []
        rows = FreezeRows(self.keys)
        self.watch = FreezeWatch(rows, lambda _, why: self.refused.append(why), clock=self.time)
        self.known = KnownHoney(HoneyRows(self.keys), lambda _, why: self.refused.append(why))
        self.alarm = TouchAlarm(self.known, self.watch)
        admission = Admission(self.work, Budgets(self.keys), alarm=self.alarm)
        self.tokens = TokenizationService(admission, self.keys)
        self.erasure = ErasureService(admission, self.keys)
        self.spellings = SpellingService(admission, self.keys)
        self.encryption = EncryptionService(admission, self.keys)
        self.asking = RequestService(admission, self.keys)
        self.honey = HoneyService(admission, self.keys)
        notices = Notices(self.keys, "here", [Subscription("siem")])
        self.counter = TouchCounter(self.work, rows, self.watch, lambda: self.policy, notices)
        self.look()

    def time(self) -> float:
        return self.now

    def look(self) -> Sequence[Touch]:
        """One round of the task; returns the touches that it took."""
        self.now += 1
        touches = self.alarm.take()
        for touch in touches:
            self.counter.count([touch])
        self.now += 1

        def read(transaction: Transaction) -> None:
            self.watch.refresh(transaction.freezes.all("default"), self.now)
            unknown = self.known.unknown(transaction.honey.macs("default"))
            self.known.take(transaction.honey.rows("default", unknown))

        self.work.run(read)
        self.now += 1
        return touches

    def caller(self, name: str, person: Person | None = None) -> Caller:
        self.now += 1
        principal = Principal("spiffe", f"spiffe://example.org/{name}")
        return Caller(principal, "ipv4:127.0.0.1", "01", f"r-{self.now}", person=person)

    def call(self, rpc: str, name: str, person: Person | None = None) -> Call:
        return Call(rpc, self.caller(name, person), self.policy)

    def plant(self, field: str, values: list[str], honey: int = 1) -> list[str]:
        """Tokenizes values and declares the first of them honey."""
        call = self.call("Tokenize", "pipeline")
        tokens = list(self.tokens.tokenize(call, field, values, "", unchanged).values)
        self.add(field, tokens[:honey])
        self.look()
        return tokens

    def add(self, field: str, tokens: list[str], label: str = "crm") -> HoneyStatus:
        return self.honey.add(self.call("AddHoneyTokens", "keeper"), field, label, tokens)

    def read(self, tokens: Sequence[str], name: str = "reader", field: str = "ssn") -> list[str]:
        call = self.call("Detokenize", name)
        return list(self.tokens.detokenize(call, field, tokens, "", unchanged).values)

    def is_frozen(self, name: str, person: Person | None = None) -> bool:
        try:
            self.watch.check(self.caller(name, person))
        except TokenvaultError:
            return True
        return False

    def tamper(self, **changes: object) -> None:
        """As the database's owner, on the only set of honey tokens."""

        def write(transaction: Transaction) -> None:
            (set_id,) = transaction.honey.macs("default")
            (row,) = transaction.honey.rows("default", [set_id])
            transaction.honey.update(replace(row, **changes))  # type: ignore[arg-type]

        self.work.run(write)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def watching() -> Site:
    """A policy that freezes nobody."""
    return Site(WITHOUT_FREEZES)
