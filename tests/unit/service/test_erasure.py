"""Erase over a store in memory: what goes, what stays, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from vault.errors import Denied, InvalidRequest, LimitExceeded, Reason
from vault.model import TokenSpace, TokenState
from vault.policy.reading.load import parse_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.service.conftest import ServiceHarness
    from vault.model import Failure

SSN, OTHER = "123-45-6789", "987-65-4321"
SPACE = TokenSpace("default", "ssn")


def reasons(failures: Mapping[int, Failure]) -> dict[int, Reason]:
    return {index: failure.reason for index, failure in failures.items()}


def test_an_erased_token_answers_so_and_its_value_gets_a_new_one(harness: ServiceHarness) -> None:
    old, kept = harness.tokenize("ssn", [SSN, OTHER]).values

    assert reasons(harness.erase("ssn", tokens=[old]).failures) == {}

    for failures in (
        harness.detokenize("ssn", [old]).failures,
        harness.describe("ssn", [old]).failures,
    ):
        assert reasons(failures) == {0: Reason.TOKEN_ERASED}
    assert reasons(harness.lookup("ssn", [SSN]).failures) == {0: Reason.TOKEN_NOT_FOUND}
    new = harness.tokenize("ssn", [SSN]).values[0]
    assert new != old
    assert harness.detokenize("ssn", [new, kept]).values == [SSN, OTHER]
    assert reasons(harness.detokenize("ssn", [old]).failures) == {0: Reason.TOKEN_ERASED}


def test_nothing_of_the_value_is_left_in_the_store(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", [SSN]).values[0].replace("-", "")
    harness.erase("ssn", tokens=[token])

    row = harness.work._tables.tokens[SPACE, token]
    assert (row.state, row.ciphertext) == (TokenState.ERASED, b"")
    assert harness.work._tables.index == {}


def test_by_value_in_any_spelling(harness: ServiceHarness) -> None:
    old = harness.tokenize("ssn", [SSN]).values[0]

    result = harness.erase("ssn", values=[OTHER, "123456789", "bad", SSN])

    assert result.total == 4
    assert reasons(result.failures) == {
        0: Reason.TOKEN_NOT_FOUND,
        2: harness.tokenize("ssn", ["bad"]).failures[0].reason,
    }
    assert reasons(harness.detokenize("ssn", [old]).failures) == {0: Reason.TOKEN_ERASED}
    assert reasons(harness.erase("ssn", values=[SSN]).failures) == {0: Reason.TOKEN_NOT_FOUND}


def test_by_token_it_can_be_repeated(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", [SSN]).values[0]

    for _ in range(2):
        result = harness.erase("ssn", tokens=[token, "111-11-1111", "no token", token])
        assert reasons(result.failures) == dict.fromkeys((1, 2), Reason.TOKEN_NOT_FOUND)
        assert harness.work.events[-1].counts == {"ok": 2, "TOKEN_NOT_FOUND": 2}


def test_an_expired_token_can_be_erased(harness: ServiceHarness) -> None:
    first, second = harness.tokenize("mail", ["a@x.org", "b@x.org"]).values
    harness.clock.ahead = timedelta(days=31)
    assert harness.expiry.reap() == 2
    harness.tokenize("mail", ["c@x.org"])
    third = harness.tokenize("mail", ["c@x.org"]).values[0]
    harness.clock.ahead = timedelta(days=62)

    assert reasons(harness.detokenize("mail", [first]).failures) == {0: Reason.TOKEN_EXPIRED}
    assert reasons(harness.erase("mail", values=["c@x.org"]).failures) == {
        0: Reason.TOKEN_NOT_FOUND
    }
    assert reasons(harness.erase("mail", tokens=[first, third]).failures) == {}

    assert reasons(harness.detokenize("mail", [first, second, third]).failures) == {
        0: Reason.TOKEN_ERASED,
        1: Reason.TOKEN_EXPIRED,
        2: Reason.TOKEN_ERASED,
    }
    assert harness.work._tables.index == {}


def test_scope_none_is_erased_by_token_only(harness: ServiceHarness) -> None:
    first, second = harness.tokenize("once", [SSN, SSN]).values

    with pytest.raises(InvalidRequest, match="name its tokens"):
        harness.erase("once", values=[SSN])
    assert harness.work.events[-1].reason == "INVALID_REQUEST"
    assert reasons(harness.erase("once", tokens=[first]).failures) == {}
    assert harness.detokenize("once", [first, second]).values == ["", SSN]


def test_of_a_vaultless_field_nothing_is_stored(harness: ServiceHarness) -> None:
    both: list[tuple[list[str], list[str]]] = [(["0012345678"], []), ([], ["0012345678"])]
    for tokens, values in both:
        with pytest.raises(InvalidRequest, match="nothing is stored"):
            harness.erase("account", tokens=tokens, values=values)


def test_exactly_one_list(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", [SSN]).values[0]
    wrong: list[tuple[list[str], list[str]]] = [([token], [SSN]), ([], [])]
    for tokens, values in wrong:
        with pytest.raises(InvalidRequest, match="not by both"):
            harness.erase("ssn", tokens=tokens, values=values)
    assert [event.outcome for event in harness.work.events[-2:]] == ["failed", "failed"]
    assert harness.detokenize("ssn", [token]).values == [SSN]


@pytest.mark.parametrize("name", ["pipeline", "steward", "restorer", "stranger"])
def test_who_has_no_right_erases_nothing(harness: ServiceHarness, name: str) -> None:
    token = harness.tokenize("ssn", [SSN]).values[0]
    with pytest.raises(Denied):
        harness.erase("ssn", tokens=[token], name=name)
    assert harness.detokenize("ssn", [token]).values == [SSN]


def test_a_row_that_does_not_open_is_erased_and_leads_nowhere(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", ["123456789"]).values[0]
    row = harness.work._tables.tokens[SPACE, token]
    harness.work._tables.tokens[SPACE, token] = replace(row, ciphertext=b"not one of ours")

    by_value = harness.erase("ssn", values=["123456789"])
    assert reasons(by_value.failures) == {0: Reason.DECRYPTION_FAILED}
    assert reasons(harness.erase("ssn", tokens=[token]).failures) == {}

    assert harness.work._tables.tokens[SPACE, token].ciphertext == b""
    assert reasons(harness.lookup("ssn", ["123456789"]).failures) == {0: Reason.TOKEN_NOT_FOUND}
    new = harness.tokenize("ssn", ["123456789"]).values[0]
    assert new not in ("", token)
    assert harness.detokenize("ssn", [new]).values == ["123456789"]


def test_an_index_row_pointed_elsewhere_erases_nobody_else(harness: ServiceHarness) -> None:
    mine, other = "123456789", "987654321"
    tokens = harness.tokenize("ssn", [mine, other]).values
    index = harness.work._tables.index
    first, second = index
    index[first], index[second] = index[second], index[first]

    result = harness.erase("ssn", values=[mine])

    assert reasons(result.failures) == {0: Reason.DECRYPTION_FAILED}
    assert harness.detokenize("ssn", tokens).values == [mine, other]


def test_a_value_can_be_erased_and_come_back_any_number_of_times(harness: ServiceHarness) -> None:
    # FF1 makes the same tokens of a value in the same order, and each is left behind.
    seen = set()
    for _ in range(20):
        (token,) = harness.tokenize("ssn", [SSN]).values
        assert token
        seen.add(token)
        assert harness.erase("ssn", values=[SSN]).failures == {}
    assert len(seen) == 20


def test_the_record_names_counts_and_a_digest_and_no_value(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", [SSN]).values[0]
    harness.erase("ssn", values=[SSN, OTHER])
    event = harness.work.events[-1]
    assert (event.rpc, event.outcome, event.field) == ("Erase", "allowed", "ssn")
    assert event.roles == ("privacy",)
    assert event.counts == {"ok": 1, "TOKEN_NOT_FOUND": 1}
    assert event.key_versions == (1,)
    # The same set of tokens gives the same digest, by whatever it was found.
    assert event.token_digest == harness.work.events[0].token_digest
    assert not any(text in repr(event) for text in (SSN, "123456789", token))


def test_erasing_is_counted_by_limits(harness: ServiceHarness) -> None:
    limit = "limits: [{fields: [ssn], actions: [erase], values: 2, per: 1h, by: principal}]\n"
    harness.policy = parse_policy(
        harness.policy.document.replace("roles:\n", limit + "roles:\n"), "p"
    )
    tokens = harness.tokenize("ssn", [SSN, OTHER, "111-22-3333"]).values
    harness.erase("ssn", tokens=tokens[:2])
    with pytest.raises(LimitExceeded):
        harness.erase("ssn", tokens=tokens[2:])
    assert harness.detokenize("ssn", tokens[2:]).values == ["111-22-3333"]
