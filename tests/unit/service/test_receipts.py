"""Receipts as callers get them: with what was read under a rule that says so, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vault.errors import Denied
from vault.policy.reading.load import parse_policy
from vault.service.ports import unchanged

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness

RULES = """
  examiner:
    - {fields: [card], allow: [detokenize], view: full, receipt: true}
    - {fields: [ssn], allow: [decrypt], view: full, receipt: true}
  reader: [{fields: [card], allow: [detokenize], view: last4}]
  guarded:
    - {fields: [card], allow: [detokenize], view: full, receipt: true, purposes: [fraud], on_denied: mask}
principals:
  - {spiffe: "spiffe://example.org/examiner", roles: [examiner]}
  - {spiffe: "spiffe://example.org/reader", roles: [reader]}
  - {spiffe: "spiffe://example.org/guarded", roles: [guarded]}
"""  # noqa: E501
CARD = "5317250628844522"


@pytest.fixture
def ruled(harness: ServiceHarness) -> ServiceHarness:
    text = harness.policy.document.replace("principals:\n", RULES, 1)
    harness.policy = parse_policy(text, "ruled")
    return harness


def receipt(harness: ServiceHarness, who: str, token: str) -> str:
    call = harness.call("Detokenize", who)
    return harness.tokens.detokenize(call, "card", [token, "none"], "", unchanged).receipt


def test_who_reads_under_a_rule_that_says_so_gets_a_receipt(ruled: ServiceHarness) -> None:
    (token,) = ruled.tokenize("card", [CARD]).values
    before = len(ruled.work.events)
    assert receipt(ruled, "examiner", token) == f"receipt of record {before + 1}"
    assert ruled.work.events[-1].counts == {"ok": 1, "TOKEN_NOT_FOUND": 1}
    assert len(ruled.work.events) == before + 1
    assert receipt(ruled, "reader", token) == ""


def test_of_bytes_too(ruled: ServiceHarness) -> None:
    sealed = ruled.encrypt("ssn", [b"x"], b"").values
    opened = ruled.encryption.decrypt(
        ruled.call("Decrypt", "examiner"), "ssn", sealed, b"", unchanged
    )
    assert (opened.values, opened.receipt) == (
        [b"x"],
        f"receipt of record {len(ruled.work.events)}",
    )


def test_of_what_was_denied_there_is_none(ruled: ServiceHarness) -> None:
    assert receipt(ruled, "guarded", "4111111111111111") == ""
    with pytest.raises(Denied):
        receipt(ruled, "stranger", "4111111111111111")
