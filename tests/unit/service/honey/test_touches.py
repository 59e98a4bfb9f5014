"""What a touch of a honey token is, what is answered, recorded and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.unit.service.honey.conftest import Site
from vault.errors import Denied, TokenvaultError
from vault.model import Justification, Person
from vault.policy.freezes import FreezeRule
from vault.service.honey.alarm import read_touched
from vault.service.ports import unchanged
from vault.service.reveal.request import RevealRequest

VALUES = ["219-09-9999", "219-09-9998", "219-09-9997", "219-09-9996"]
ANN = Person("https://idp", "oid", "ann")

NOTHING = "00000000-0000-0000-0000-000000000000 0"

Ask = Callable[[Site, Sequence[str]], object]


def detokenize(site: Site, tokens: Sequence[str]) -> object:
    return site.read(tokens)


def describe(site: Site, tokens: Sequence[str]) -> object:
    return site.tokens.describe(site.call("Describe", "reader"), "ssn", tokens, unchanged)


def lookup(site: Site, tokens: Sequence[str]) -> object:
    values = site.read(tokens, name="bulk")
    site.alarm.take()
    return site.tokens.lookup(site.call("Lookup", "reader"), "ssn", values, "", unchanged)


def erase(site: Site, tokens: Sequence[str]) -> object:
    return site.erasure.erase(site.call("Erase", "privacy"), "ssn", tokens, (), unchanged)


def erase_values(site: Site, tokens: Sequence[str]) -> object:
    values = site.read(tokens, name="bulk")
    site.alarm.take()
    return site.erasure.erase(site.call("Erase", "privacy"), "ssn", (), values, unchanged)


def count_spellings(site: Site, tokens: Sequence[str]) -> object:
    values = site.read(tokens, name="bulk")
    site.alarm.take()
    call = site.call("EraseSpellings", "privacy")
    return site.spellings.erase(call, "ssn", values, unchanged, count_only=True)


def request_reveal(site: Site, tokens: Sequence[str]) -> object:
    asked = RevealRequest("ssn", "", Justification(), "a case", tokens)
    return site.asking.request(site.call("RequestReveal", "fraud", ANN), asked)


def denied(site: Site, tokens: Sequence[str]) -> object:
    with pytest.raises(Denied):
        site.read(tokens, name="pipeline")
    return None


def denied_without_approval(site: Site, tokens: Sequence[str]) -> object:
    with pytest.raises(Denied):
        site.read(tokens, name="fraud")
    return None


def substituted(site: Site, tokens: Sequence[str]) -> object:
    return site.read(tokens, name="justified")


def failed(site: Site, tokens: Sequence[str]) -> object:
    asked = RevealRequest("ssn", "", Justification(), "", tokens)
    with suppress(TokenvaultError):
        site.asking.request(site.call("RequestReveal", "fraud", ANN), asked)
    return None


EVERY: list[Ask] = [
    detokenize,
    describe,
    lookup,
    erase,
    erase_values,
    count_spellings,
    request_reveal,
    denied,
    denied_without_approval,
    substituted,
    failed,
]


@pytest.mark.parametrize("ask", EVERY)
def test_every_call_with_a_honey_token_is_a_touch_and_no_other(watching: Site, ask: Ask) -> None:
    honey, *others = watching.plant("ssn", VALUES)
    ask(watching, others)
    assert watching.work.events[-1].touched == NOTHING
    assert watching.alarm.take() == []
    ask(watching, [*others, honey, honey])
    (touch,) = watching.alarm.take()
    (honey_set,) = touch.sets
    assert (touch.field, touch.tokens) == ("ssn", 1)
    assert watching.known.label(honey_set) == "crm"
    assert watching.work.events[-1].touched == f"{honey_set} 1"
    assert watching.work.events[-1].request_id == touch.caller.request_id


def test_records_of_touches_and_of_others_are_of_one_length(watching: Site) -> None:
    honey, other, *_ = watching.plant("ssn", VALUES)
    texts = []
    for token in (honey, other):
        watching.read([token])
        texts.append(watching.work.events[-1].touched)
    assert len(set(texts)) == 2
    assert len(set(map(len, texts))) == 1
    assert read_touched(texts[1]) == {}


def test_a_field_without_honey_tokens_says_nothing_of_them(watching: Site) -> None:
    watching.plant("ssn", VALUES)
    watching.read(["0000000000"], field="account")
    assert watching.work.events[-1].touched == ""


@pytest.mark.parametrize("ask", [detokenize, describe, lookup])
def test_a_touch_is_answered_like_any_other_call(watching: Site, ask: Ask) -> None:
    honey, other, *_ = watching.plant("ssn", VALUES)
    first, second = ask(watching, [honey]), ask(watching, [other])
    for name in ("failures", "view"):
        assert getattr(first, name, None) == getattr(second, name, None)
    assert type(first) is type(second)
    assert watching.read([honey, other]) == VALUES[:2]


def test_any_spelling_of_a_honey_token_is_a_touch(watching: Site) -> None:
    honey, *_ = watching.plant("ssn", VALUES)
    assert watching.read([honey.replace("-", "")]) == [VALUES[0].replace("-", "")]
    assert len(watching.alarm.take()) == 1


def test_tokenizing_a_planted_value_is_no_touch(site: Site) -> None:
    site.plant("ssn", VALUES)
    call = site.call("Tokenize", "pipeline")
    site.tokens.tokenize(call, "ssn", VALUES, "", unchanged)
    assert site.alarm.take() == []
    assert not site.is_frozen("pipeline")


@pytest.mark.parametrize("items", [1, 3, 200])
def test_columns_of_any_length_are_looked_through(watching: Site, items: int) -> None:
    values = [f"{n:010}" for n in range(items)]
    tokens = watching.plant("account", values)
    watching.read(tokens[1:], field="account") if items > 1 else None
    assert watching.alarm.take() == []
    watching.read(tokens[::-1], field="account")
    assert [touch.tokens for touch in watching.alarm.take()] == [1]


def test_a_touch_freezes_at_once_and_for_every_server_within_a_round(site: Site) -> None:
    honey, other, *_ = site.plant("ssn", VALUES)
    assert site.read([other]) == [VALUES[1]]
    assert not site.is_frozen("reader")
    assert site.read([honey]) == [VALUES[0]]
    assert site.is_frozen("reader")
    (touch,) = site.look()
    assert site.is_frozen("reader")
    event = site.work.events[-1]
    assert (event.rpc, event.principal, event.field) == ("Freeze", "tokenvault:honey", "ssn")
    assert event.freeze is not None
    assert (event.freeze.target, event.freeze.frozen) == (touch.target, True)


def test_who_touches_as_a_person_is_frozen_under_every_identity(site: Site) -> None:
    honey, *_ = site.plant("ssn", VALUES)
    request_reveal(site, [honey])
    site.look()
    assert site.is_frozen("another", ANN)
    assert not site.is_frozen("fraud")


def test_a_bulk_role_is_frozen_after_several_within_the_time(site: Site) -> None:
    tokens = site.plant("ssn", VALUES, honey=3)
    for token in tokens[:2]:
        site.read([token], name="bulk")
        site.look()
    assert not site.is_frozen("bulk")
    site.clock.ahead = timedelta(hours=2)
    site.read(tokens[:2], name="bulk")
    site.look()
    assert not site.is_frozen("bulk")
    site.read([tokens[0]], name="bulk")
    assert not site.is_frozen("bulk")
    site.look()
    assert site.is_frozen("bulk")


@pytest.mark.parametrize("softer", [FreezeRule(3, 3600), None])
def test_another_identity_of_the_same_person_does_not_soften_the_rule(
    site: Site, softer: FreezeRule | None
) -> None:
    honey, *_ = site.plant("ssn", VALUES)
    for name in ("reader", "bulk"):
        site.tokens.detokenize(site.call("Detokenize", name, ANN), "ssn", [honey], "", unchanged)
    strict, other = site.alarm.take()
    site.counter.count([strict, other._replace(rule=softer)])
    assert site.is_frozen("bulk", ANN)


def test_a_policy_without_freezes_counts_and_freezes_nobody(watching: Site) -> None:
    tokens = watching.plant("ssn", VALUES, honey=3)
    watching.read(tokens)
    watching.look()
    assert not watching.is_frozen("reader")
    rows = watching.work.run(lambda transaction: transaction.freezes.all("default"))
    assert [(row.touched, row.frozen) for row in rows] == [(3, False)]
    assert watching.work.events[-1].rpc == "Detokenize"


def test_a_call_that_is_tried_again_is_one_touch(watching: Site) -> None:
    honey, *_ = watching.plant("ssn", VALUES)
    call = watching.call("Detokenize", "reader")
    for _ in range(2):
        watching.tokens.detokenize(call, "ssn", [honey], "", unchanged)
    assert len(watching.alarm.take()) == 1


def test_no_token_is_in_what_may_be_logged(watching: Site) -> None:
    honey, *_ = watching.plant("ssn", VALUES)
    watching.read([honey])
    shown = repr([watching.alarm.take(), watching.known.__dict__, watching.work.events])
    assert honey not in shown
    assert honey.replace("-", "") not in shown


def test_those_who_may_lift_freezes_are_owed_a_notice(site: Site) -> None:
    honey, *_ = site.plant("ssn", VALUES)
    site.read([honey])
    (touch,) = site.look()
    due = site.work.run(lambda each: each.outbox.claim("siem", timedelta(minutes=1)))
    assert due is not None
    event = json.loads(due.row.event)
    assert (event["type"], event["subject"]) == (
        "tokenvault.honey.touched",
        touch.caller.request_id,
    )
    assert event["data"] == {
        "to": {"roles": []},
        "principal": "spiffe://example.org/reader",
        "person": None,
        "peer": "ipv4:127.0.0.1",
        "fields": ["ssn"],
        "rpcs": ["Detokenize"],
        "calls": 1,
        "tokens": 1,
        "sets": list(touch.sets),
        "frozen": True,
    }
    assert honey.replace("-", "") not in due.row.event
