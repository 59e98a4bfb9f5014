"""Expiry over a store in memory and a clock that can be set forward."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from vault.errors import KeysUnavailable, Reason
from vault.model import TokenState
from vault.service.erasure.expiry import REAPER

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness

DAY = timedelta(days=1)
MAILS = [f"p{n}@x.org" for n in range(7)]


def test_a_token_expires_after_its_ttl_and_its_value_gets_another(harness: ServiceHarness) -> None:
    old = harness.tokenize("mail", MAILS[:1]).values[0]
    harness.clock.ahead = 29 * DAY
    assert harness.detokenize("mail", [old]).values == MAILS[:1]
    harness.clock.ahead = 31 * DAY
    assert harness.detokenize("mail", [old]).failures[0].reason is Reason.TOKEN_EXPIRED
    assert harness.describe("mail", [old]).failures[0].reason is Reason.TOKEN_EXPIRED
    assert harness.lookup("mail", MAILS[:1]).failures[0].reason is Reason.TOKEN_NOT_FOUND
    new = harness.tokenize("mail", MAILS[:1]).values[0]
    assert new != old
    assert harness.detokenize("mail", [new]).values == MAILS[:1]


def test_tokenizing_extends_and_looking_up_does_not(harness: ServiceHarness) -> None:
    token = harness.tokenize("mail", MAILS[:1]).values[0]
    harness.clock.ahead = 20 * DAY
    assert harness.lookup("mail", MAILS[:1]).values == [token]
    before = harness.describe("mail", [token]).descriptions[0]
    assert harness.tokenize("mail", MAILS[:1]).values == [token]
    after = harness.describe("mail", [token]).descriptions[0]
    assert before is not None
    assert before.expires is not None
    assert before.created is not None
    assert before.expires == before.created + 30 * DAY
    assert after is not None
    assert after.expires is not None
    assert after.expires - before.expires > 19 * DAY
    harness.clock.ahead = 40 * DAY
    assert harness.detokenize("mail", [token]).values == MAILS[:1]


def test_a_field_without_a_ttl_never_expires(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", ["123-45-6789"]).values[0]
    harness.clock.ahead = 36_500 * DAY
    assert harness.detokenize("ssn", [token]).values == ["123-45-6789"]
    assert harness.expiry.reap() == 0


def test_the_reaper_leaves_tombstones_and_one_record_a_batch(harness: ServiceHarness) -> None:
    tokens = harness.tokenize("mail", MAILS).values
    records = len(harness.work.events)
    assert harness.expiry.reap() == 0
    assert len(harness.work.events) == records

    harness.clock.ahead = 31 * DAY
    assert [harness.expiry.reap() for _ in range(4)] == [3, 3, 1, 0]

    tables = harness.work._tables
    assert {row.state for row in tables.tokens.values()} == {TokenState.EXPIRED}
    assert {row.ciphertext for row in tables.tokens.values()} == {b""}
    assert tables.index == {}
    events = harness.work.events[records:]
    assert [(event.rpc, event.principal, event.counts) for event in events] == [
        ("Expire", REAPER, {"ok": count}) for count in (3, 3, 1)
    ]
    assert {(event.field, event.key_versions) for event in events} == {("mail", (1,))}
    assert {event.policy_digest for event in events} == {harness.policy.digest}
    assert not any(text in repr(events) for text in [*MAILS, *tokens])
    failures = harness.detokenize("mail", tokens).failures
    assert {failure.reason for failure in failures.values()} == {Reason.TOKEN_EXPIRED}


def test_without_keys_nothing_is_reaped_and_nothing_recorded(harness: ServiceHarness) -> None:
    harness.tokenize("mail", MAILS[:1])
    harness.clock.ahead = 31 * DAY
    harness.keys.available = False
    with pytest.raises(KeysUnavailable):
        harness.expiry.reap()
    assert len(harness.work.events) == 1
    harness.keys.available = True
    assert harness.expiry.reap() == 1
