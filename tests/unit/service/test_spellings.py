"""EraseSpellings over a store in memory: what is one thing in several spellings, and pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from vault.errors import Denied, InvalidRequest, LimitExceeded, Reason
from vault.model import TokenSpace, TokenState
from vault.policy.reading.load import parse_policy
from vault.service.erasure.spellings import SpellingService
from vault.service.ports import unchanged

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness

SPELLINGS = ["anna@company.org", "Anna@Company.ORG", "anna@COMPANY.org"]
OTHERS = ["anne@company.org", "anna@company.com"]


def test_every_spelling_is_erased_and_nobody_else(harness: ServiceHarness) -> None:
    tokens = harness.tokenize("mail", SPELLINGS).values
    others = harness.tokenize("mail", OTHERS).values
    assert len(set(tokens)) == 3

    page = harness.look("mail", ["ANNA@company.Org", "nobody@company.org", "no address"])

    assert dict(page.found) == {0: 3}
    assert (page.tokens, page.looked_at, page.following) == (3, 5, b"")
    assert {at: each.reason for at, each in page.failures.items()} == {
        2: Reason.VALUE_NOT_IN_FORMAT
    }
    answer = harness.detokenize("mail", [*tokens, *others])
    assert {each.reason for each in answer.failures.values()} == {Reason.TOKEN_ERASED}
    assert list(answer.failures) == [0, 1, 2]
    assert answer.values[3:] == OTHERS


def test_an_erasure_by_value_leaves_other_spellings_and_they_are_counted(
    harness: ServiceHarness,
) -> None:
    tokens = harness.tokenize("mail", SPELLINGS).values
    assert harness.erase("mail", values=SPELLINGS[:1]).failures == {}

    page = harness.look("mail", [SPELLINGS[0], SPELLINGS[1]], count_only=True)

    assert (dict(page.found), page.tokens) == ({0: 2, 1: 2}, 2)
    assert harness.detokenize("mail", tokens[1:]).values == SPELLINGS[1:]


def test_a_token_to_which_no_index_leads_is_found(harness: ServiceHarness) -> None:
    """Whoever owns the database takes the index row away, and the value gets a second token."""
    (first,) = harness.tokenize("ssn", ["123-45-6789"]).values
    harness.work._tables.index.clear()
    (second,) = harness.tokenize("ssn", ["123-45-6789"]).values
    assert first != second
    assert harness.erase("ssn", values=["123-45-6789"]).failures == {}
    assert harness.detokenize("ssn", [first]).values == ["123-45-6789"]

    assert harness.look("ssn", ["123456789"], count_only=True).tokens == 1
    assert harness.look("ssn", ["123456789"]).tokens == 1

    assert list(harness.detokenize("ssn", [first, second]).failures) == [0, 1]


def test_values_without_an_index_are_found_too(harness: ServiceHarness) -> None:
    tokens = harness.tokenize("once", ["123-45-6789", "123-45-6789", "987-65-4321"]).values
    assert dict(harness.look("once", ["123456789"]).found) == {0: 2}
    assert harness.detokenize("once", tokens).values == ["", "", "987-65-4321"]


def test_a_field_is_worked_through_in_pages(harness: ServiceHarness) -> None:
    mails = [f"p{n}@company.org" for n in range(230)]
    harness.tokenize("mail", mails)
    wanted, token, seen, found = [mails[7].upper(), mails[90]], b"", [], 0
    while True:
        page = harness.look("mail", wanted, page_token=token)
        seen.append(page.looked_at)
        found += page.tokens
        assert not any(mail.encode() in page.following for mail in mails)
        token = page.following
        if not token:
            break
    assert sum(seen) in {229, 230}  # what was erased on a page's end is not seen again
    assert (len(seen), found) == (3, 2)


def test_a_page_goes_on_for_the_same_question_only(harness: ServiceHarness) -> None:
    harness.tokenize("mail", [f"p{n}@company.org" for n in range(150)])
    harness.tokenize("ssn", ["123-45-6789"])
    token = harness.look("mail", ["p1@company.org"], count_only=True).following
    assert token
    for field, values, count_only, page_token in (
        ("mail", ["p2@company.org"], True, token),
        ("mail", ["p1@company.org", "p2@company.org"], True, token),
        ("mail", ["p1@company.org"], False, token),
        ("ssn", ["123-45-6789"], True, token),
        ("mail", ["p1@company.org"], True, token[:-1] + bytes([token[-1] ^ 1])),
        ("mail", ["p1@company.org"], True, b"x"),
    ):
        with pytest.raises(InvalidRequest, match="page_token"):
            harness.look(field, values, count_only=count_only, page_token=page_token)


def test_a_call_ends_before_its_deadline_with_a_page(harness: ServiceHarness) -> None:
    harness.tokenize("mail", [f"p{n}@company.org" for n in range(20)])
    caller = replace(harness.caller("privacy"), deadline=0.0)
    call = replace(harness.call("EraseSpellings", "privacy"), caller=caller)
    service = SpellingService(harness.spellings._admission, harness.keys, page=10)
    page = service.erase(call, "mail", ["p1@company.org"], unchanged, count_only=True)
    assert (page.looked_at, bool(page.following)) == (10, True)


def test_rows_that_do_not_open_or_have_expired_are_passed_over(harness: ServiceHarness) -> None:
    bad, *_ = harness.tokenize("mail", SPELLINGS).values
    core = harness.policy.fields["mail"].format.parse_token(bad).core
    space = TokenSpace("default", "mail")
    row = harness.work._tables.tokens[space, core]
    harness.work._tables.tokens[space, core] = replace(row, ciphertext=b"not one of ours")
    assert harness.look("mail", SPELLINGS[:1], count_only=True).tokens == 2
    harness.clock.ahead = timedelta(days=31)
    assert harness.look("mail", SPELLINGS[:1]).looked_at == 0
    assert harness.work._tables.tokens[space, core].state is TokenState.LIVE


def test_who_may_erase_may_and_limits_count_a_question_once(harness: ServiceHarness) -> None:
    with pytest.raises(Denied):
        harness.look("mail", SPELLINGS, name="steward")
    for values in ([], ["0012345678"]):
        with pytest.raises(InvalidRequest):
            harness.look("account", values)
    limit = "limits: [{fields: [mail], actions: [erase], values: 3, per: 1h, by: principal}]\n"
    harness.policy = parse_policy(
        harness.policy.document.replace("roles:\n", limit + "roles:\n"), "p"
    )
    harness.tokenize("mail", [f"p{n}@company.org" for n in range(150)])
    page = harness.look("mail", SPELLINGS)
    assert page.following
    assert harness.look("mail", SPELLINGS, page_token=page.following).following == b""
    with pytest.raises(LimitExceeded):
        harness.look("mail", SPELLINGS[:1])


def test_each_page_is_a_record_without_values(harness: ServiceHarness) -> None:
    harness.tokenize("mail", SPELLINGS)
    digest = harness.work.events[-1].token_digest
    harness.look("mail", ["ANNA@company.org", "x"])
    event = harness.work.events[-1]
    assert (event.rpc, event.outcome, event.field) == ("EraseSpellings", "allowed", "mail")
    assert event.counts == {"ok": 1, "VALUE_NOT_IN_FORMAT": 1}
    assert event.token_digest == digest
    assert "anna" not in repr(event).lower()
