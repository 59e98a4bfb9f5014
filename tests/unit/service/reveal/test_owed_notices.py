"""Which steps of a reveal owe somebody a notice, and that it has nothing of the values in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

import pytest

from tests.unit.service.reveal.test_reveal_service import (
    ANALYST,
    CARDS,
    LEAD,
    Harness,
    refusal,
)
from vault.model import NoticeType
from vault.service.notices.notices import Notices, Subscription
from vault.service.reveal.asking import RequestService
from vault.service.reveal.reveals import RevealService

Told: TypeAlias = "Sequence[dict[str, object]]"


@pytest.fixture
def harness() -> Harness:
    made = Harness()
    notices = Notices(made.keys, "/here", [Subscription("siem")])
    made.asking = RequestService(made.admission, made.keys, notices=notices)
    made.reveals = RevealService(made.admission, made.keys, notices=notices)
    return made


def told(harness: Harness) -> Told:
    return [json.loads(row.event) for row in harness.work.waiting]


def types(harness: Harness) -> list[object]:
    return [event["type"] for event in told(harness)]


def test_approvers_are_told_of_a_request_and_the_requester_of_the_grant(harness: Harness) -> None:
    made = harness.request()
    harness.approve(made)
    requested, granted = told(harness)
    ann = {
        "principal": "https://idp.example.org#ann",
        "person": {"issuer": "https://idp.example.org", "claim": "email", "value": "ann"},
    }
    assert requested["subject"] == str(made.reveal.id)
    assert requested["type"] == NoticeType.REVEAL_REQUESTED
    data = requested["data"]
    assert isinstance(data, dict)
    assert data == {
        "to": {"roles": ["lead"]},
        "reveal": str(made.reveal.id),
        "state": "open",
        "break_glass": False,
        "requester": ann,
        "action": "detokenize",
        "field": "card",
        "view": "full",
        "purpose": "fraud_case",
        "ticket": "",
        "tokens": 3,
        "times": 1,
        "ends": data["ends"],
        "decided_by": None,
    }
    assert granted["type"] == NoticeType.REVEAL_GRANTED
    assert granted["data"]["to"] == ann  # type: ignore[index]
    assert granted["data"]["decided_by"]["value"] == "lea"  # type: ignore[index]


def test_denials_and_revocations_are_told(harness: Harness) -> None:
    denied = harness.request()
    harness.reveals.deny(harness.call("DenyReveal", LEAD), str(denied.reveal.id), "no")
    grant = harness.granted()
    harness.reveals.revoke(harness.call("RevokeReveal", LEAD), grant, "enough")
    assert types(harness) == [
        NoticeType.REVEAL_REQUESTED,
        NoticeType.REVEAL_DENIED,
        NoticeType.REVEAL_REQUESTED,
        NoticeType.REVEAL_GRANTED,
        NoticeType.REVEAL_REVOKED,
    ]


def test_what_changes_nothing_for_others_is_told_nobody(harness: Harness) -> None:
    draft = harness.request(harness.cards[:1], more=True)
    assert types(harness) == []
    harness.request(harness.cards[1:], reveal=str(draft.reveal.id))
    again = harness.request(harness.cards[:1])
    assert again.reveal.id == draft.reveal.id  # it is covered
    harness.reveals.get(harness.call("GetReveal", LEAD), str(draft.reveal.id))
    harness.reveals.withdraw(harness.call("WithdrawReveal", ANALYST), str(draft.reveal.id))
    assert types(harness) == [NoticeType.REVEAL_REQUESTED]


def test_a_step_that_is_refused_tells_nobody(harness: Harness) -> None:
    made = harness.request()
    refusal(lambda: harness.approve(made, ANALYST))
    assert types(harness) == [NoticeType.REVEAL_REQUESTED]


def test_no_value_token_or_free_text_is_told(harness: Harness) -> None:
    made = harness.request(reason="SECRET words")
    harness.reveals.deny(harness.call("DenyReveal", LEAD), str(made.reveal.id), "SECRET words")
    everything = json.dumps(told(harness))
    for text in ("SECRET", *CARDS, *map(str, harness.cards)):
        assert text not in everything
