"""Expiry over a store in memory and a clock that can be set forward."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from vault.errors import KeysUnavailable, Reason
from vault.model import TokenState
from vault.service.expiry import REAPER

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness

DAY = timedelta(days=1)
MAILS = [f"p{n}@x.org" for n in range(7)]


def test_a_token_expires_after_its_ttl_and_its_value_gets_another(house: ServiceHarness) -> None:
    old = house.tokenize("mail", MAILS[:1]).values[0]
    house.clock.ahead = 29 * DAY
    assert house.detokenize("mail", [old]).values == MAILS[:1]
    house.clock.ahead = 31 * DAY
    assert house.detokenize("mail", [old]).failures[0].reason is Reason.TOKEN_EXPIRED
    assert house.describe("mail", [old]).failures[0].reason is Reason.TOKEN_EXPIRED
    assert house.lookup("mail", MAILS[:1]).failures[0].reason is Reason.TOKEN_NOT_FOUND
    new = house.tokenize("mail", MAILS[:1]).values[0]
    assert new != old
    assert house.detokenize("mail", [new]).values == MAILS[:1]


def test_tokenizing_extends_and_looking_up_does_not(house: ServiceHarness) -> None:
    token = house.tokenize("mail", MAILS[:1]).values[0]
    house.clock.ahead = 20 * DAY
    assert house.lookup("mail", MAILS[:1]).values == [token]
    before = house.describe("mail", [token]).descriptions[0]
    assert house.tokenize("mail", MAILS[:1]).values == [token]
    after = house.describe("mail", [token]).descriptions[0]
    assert before is not None
    assert before.expires is not None
    assert before.created is not None
    assert before.expires == before.created + 30 * DAY
    assert after is not None
    assert after.expires is not None
    assert after.expires - before.expires > 19 * DAY
    house.clock.ahead = 40 * DAY
    assert house.detokenize("mail", [token]).values == MAILS[:1]


def test_a_field_without_a_ttl_never_expires(house: ServiceHarness) -> None:
    token = house.tokenize("ssn", ["123-45-6789"]).values[0]
    house.clock.ahead = 36_500 * DAY
    assert house.detokenize("ssn", [token]).values == ["123-45-6789"]
    assert house.expiry.reap() == 0


def test_the_reaper_leaves_tombstones_and_one_record_a_batch(house: ServiceHarness) -> None:
    tokens = house.tokenize("mail", MAILS).values
    records = len(house.work.events)
    assert house.expiry.reap() == 0
    assert len(house.work.events) == records

    house.clock.ahead = 31 * DAY
    assert [house.expiry.reap() for _ in range(4)] == [3, 3, 1, 0]

    tables = house.work._tables
    assert {row.state for row in tables.tokens.values()} == {TokenState.EXPIRED}
    assert {row.ciphertext for row in tables.tokens.values()} == {b""}
    assert tables.index == {}
    events = house.work.events[records:]
    assert [(event.rpc, event.principal, event.counts) for event in events] == [
        ("Expire", REAPER, {"ok": count}) for count in (3, 3, 1)
    ]
    assert {(event.field, event.key_versions) for event in events} == {("mail", (1,))}
    assert {event.policy_digest for event in events} == {house.policy.digest}
    assert not any(text in repr(events) for text in [*MAILS, *tokens])
    failures = house.detokenize("mail", tokens).failures
    assert {failure.reason for failure in failures.values()} == {Reason.TOKEN_EXPIRED}


def test_without_keys_nothing_is_reaped_and_nothing_recorded(house: ServiceHarness) -> None:
    house.tokenize("mail", MAILS[:1])
    house.clock.ahead = 31 * DAY
    house.keys.available = False
    with pytest.raises(KeysUnavailable):
        house.expiry.reap()
    assert len(house.work.events) == 1
    house.keys.available = True
    assert house.expiry.reap() == 1
