"""What records add up to, as text that is read back, and what is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from vault.audit.checks.record_sums import RecordSums
from vault.audit.pruning.declaration import Pruning, is_prunable, pruning_body, read_pruning
from vault.audit.record import Opening, event_body, opening_body
from vault.model import Action, AuditEvent, ChargedBudget, FreezeChange, FreezeTarget

NOW = datetime(2026, 11, 28, 1, 2, 3, 4, tzinfo=UTC)
WRITER, REVEAL = UUID(int=7), str(UUID(int=9))
CALL = AuditEvent("Detokenize", "allowed", "p", "peer", "0a", "r", "d", field="f")
READ = replace(CALL, budget=ChargedBudget(Action.DETOKENIZE, "full"), counts={"ok": 4, "BAD": 1})
SHOWN = replace(CALL, grant=REVEAL, charged=3)


def body(event: AuditEvent, erasure: str = "") -> str:
    return event_body(event, server="s", writer=WRITER, number=2, now=NOW, erasure=erasure)


def sums_of(*events: AuditEvent) -> RecordSums:
    sums = RecordSums()
    for event in events:
        sums.add(body(event))
    return sums


def test_values_and_showings_are_added_up() -> None:
    sums = sums_of(READ, READ, CALL, SHOWN, SHOWN, replace(CALL, rpc="RevokeReveal", grant=REVEAL))
    assert sums.charged == {("default", "f", "detokenize", "full", "p"): 10}
    assert (sums.shown, sums.ended) == ({REVEAL: 6}, {REVEAL: "revoked"})


def test_a_review_is_kept_and_changes_no_text_without_one() -> None:
    sums = sums_of(SHOWN, replace(CALL, rpc="ReviewReveal", grant=REVEAL, break_glass=True))
    assert sums.reviewed == {REVEAL}
    assert RecordSums.from_text(sums.to_text()) == sums
    assert "reviews" not in sums_of(SHOWN).to_text()
    with pytest.raises(ValueError, match="reviews"):
        RecordSums.from_text('{"budgets":[],"reveals":[],"reviews":[1]}')


@pytest.mark.parametrize("outcome", ["denied", "failed"])
def test_what_was_not_answered_charged_nothing(outcome: str) -> None:
    sums = sums_of(replace(READ, outcome=outcome), replace(SHOWN, outcome=outcome))
    assert (sums.charged, sums.shown) == ({}, {})


def test_the_text_is_read_back_and_goes_on() -> None:
    sums = sums_of(READ, SHOWN, replace(CALL, rpc="DenyReveal", grant=str(UUID(int=3))))
    read = RecordSums.from_text(sums.to_text())
    assert (read, read.digest) == (sums, sums.digest)
    read.add(body(READ))
    assert read.charged == {("default", "f", "detokenize", "full", "p"): 10}
    assert RecordSums.from_text(RecordSums().to_text()) == RecordSums()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"budgets":[],"reveals":[[1,2,3]]}',
        '{"budgets":[["a","b","c","d","e",-1]],"reveals":[]}',
        '{"budgets":[["a","b","c","d",1]],"reveals":[]}',
        '{"budgets":[],"budgets":[],"reveals":[]}',
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RecordSums.from_text(text)


def test_only_records_of_calls_go() -> None:
    opening = opening_body(Opening(1, None), server="s", writer=WRITER, now=NOW)
    pruning = Pruning(9, NOW, 5, 4, bytes(32), "ab", "somebody")
    declared = pruning_body(pruning, server="s", writer=WRITER, number=2, now=NOW)
    assert is_prunable(body(CALL))
    freeze = FreezeChange(FreezeTarget.of_principal("p"), True, NOW)
    frozen = body(replace(CALL, freeze=freeze))
    touched = body(replace(CALL, touched=f"{REVEAL} 1"))
    honey = body(replace(CALL, honey_set=REVEAL))
    kept = (opening, declared, frozen, touched, honey, body(CALL, erasure="00"))
    assert not any(map(is_prunable, kept))
    assert is_prunable(body(replace(CALL, touched=f"{UUID(int=0)} 0")))
    # Whatever a caller says stands with its quotes escaped.
    assert is_prunable(body(replace(CALL, ticket='"erasure":"')))
    assert not is_prunable(opening.replace('"s"', r'"\"kind\":\"call\""'))


def test_a_declaration_is_read_back() -> None:
    pruning = Pruning(9, NOW.replace(microsecond=0), 5, 4, b"r" * 32, "ab", "somebody")
    text = pruning_body(pruning, server="s", writer=WRITER, number=2, now=NOW)
    assert read_pruning(text) == pruning
    assert read_pruning(body(CALL)) is None
    assert read_pruning(text.replace('"kept":4,', "")) is None
    with pytest.raises(ValueError, match=r"."):
        read_pruning(text.replace('"position":9', '"position":0'))
