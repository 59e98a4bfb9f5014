"""Purposes and tickets as callers meet them, and what of them gets into the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vault.errors import Denied, Reason
from vault.model import Justification
from vault.policy.reading.load import parse_policy
from vault.service.ports import unchanged

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness
    from vault.model import AuditEvent

RULES = """
  investigator:
    - {fields: [card], allow: [detokenize], view: full, purposes: [fraud], ticket: 'F[0-9]+'}
  archivist: [{fields: [ssn], allow: [decrypt], view: full, purposes: [audit]}]
  reader: [{fields: [card], allow: [detokenize], view: last4}]
principals:
  - {spiffe: "spiffe://example.org/investigator", roles: [investigator]}
  - {spiffe: "spiffe://example.org/archivist", roles: [archivist]}
  - {spiffe: "spiffe://example.org/reader", roles: [reader]}
"""
CARD = "5317250628844522"


@pytest.fixture
def ruled(harness: ServiceHarness) -> ServiceHarness:
    text = harness.policy.document.replace("principals:\n", RULES, 1)
    harness.policy = parse_policy(text, "ruled")
    return harness


def reveal(
    harness: ServiceHarness, who: str, token: str, purpose: str = "", ticket: str = ""
) -> list[str]:
    call = harness.call("Detokenize", who)
    result = harness.tokens.detokenize(
        call, "card", [token], "", unchanged, Justification(purpose, ticket)
    )
    return list(result.values)


def last(harness: ServiceHarness) -> AuditEvent:
    return harness.work.events[-1]


def test_what_a_reveal_is_for_is_in_its_record(ruled: ServiceHarness) -> None:
    (token,) = ruled.tokenize("card", [CARD]).values
    assert reveal(ruled, "investigator", token, "fraud", "F12") == [CARD]
    assert (last(ruled).outcome, last(ruled).purpose, last(ruled).ticket) == (
        "allowed",
        "fraud",
        "F12",
    )


@pytest.mark.parametrize(
    ("purpose", "ticket", "reason", "recorded"),
    [
        ("", "", Reason.PURPOSE_REQUIRED, ""),
        ("", "F12", Reason.PURPOSE_REQUIRED, ""),
        ("audit", "F12", Reason.PURPOSE_NOT_ALLOWED, "audit"),
        (CARD, "F12", Reason.PURPOSE_NOT_ALLOWED, ""),
        ("fraud", "", Reason.TICKET_REQUIRED, "fraud"),
        ("fraud", CARD, Reason.TICKET_NOT_ALLOWED, "fraud"),
    ],
)
def test_a_refusal_keeps_no_more_than_names_that_the_policy_knows(
    ruled: ServiceHarness, purpose: str, ticket: str, reason: Reason, recorded: str
) -> None:
    (token,) = ruled.tokenize("card", [CARD]).values
    with pytest.raises(Denied) as caught:
        reveal(ruled, "investigator", token, purpose, ticket)
    assert caught.value.reason is reason
    assert CARD not in caught.value.message
    event = last(ruled)
    assert (event.outcome, event.reason) == ("denied", reason.value)
    assert (event.purpose, event.ticket) == (recorded, "")
    assert CARD not in str(event)


def test_a_ticket_that_no_rule_asks_for_stays_out_of_the_audit(ruled: ServiceHarness) -> None:
    (token,) = ruled.tokenize("card", [CARD]).values
    with pytest.raises(Denied) as caught:
        reveal(ruled, "reader", token, ticket=CARD)
    assert caught.value.reason is Reason.TICKET_NOT_ALLOWED
    assert last(ruled).ticket == ""
    assert reveal(ruled, "reader", token, "fraud") == ["************4522"]
    assert last(ruled).purpose == "fraud"


def test_decrypt_takes_a_purpose(ruled: ServiceHarness) -> None:
    sealed = ruled.encrypt("ssn", [b"x"], b"").values
    call = ruled.call("Decrypt", "archivist")
    with pytest.raises(Denied) as caught:
        ruled.encryption.decrypt(call, "ssn", sealed, b"", unchanged)
    assert caught.value.reason is Reason.PURPOSE_REQUIRED
    opened = ruled.encryption.decrypt(call, "ssn", sealed, b"", unchanged, Justification("audit"))
    assert opened.values == [b"x"]
    assert last(ruled).purpose == "audit"


def test_what_a_caller_claims_is_in_no_repr() -> None:
    assert CARD not in repr(Justification(CARD, CARD))
