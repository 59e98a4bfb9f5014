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


def test_an_erased_token_answers_so_and_its_value_gets_a_new_one(house: ServiceHarness) -> None:
    old, kept = house.tokenize("ssn", [SSN, OTHER]).values

    assert reasons(house.erase("ssn", tokens=[old]).failures) == {}

    for failures in (
        house.detokenize("ssn", [old]).failures,
        house.describe("ssn", [old]).failures,
    ):
        assert reasons(failures) == {0: Reason.TOKEN_ERASED}
    assert reasons(house.lookup("ssn", [SSN]).failures) == {0: Reason.TOKEN_NOT_FOUND}
    new = house.tokenize("ssn", [SSN]).values[0]
    assert new != old
    assert house.detokenize("ssn", [new, kept]).values == [SSN, OTHER]
    assert reasons(house.detokenize("ssn", [old]).failures) == {0: Reason.TOKEN_ERASED}


def test_nothing_of_the_value_is_left_in_the_store(house: ServiceHarness) -> None:
    token = house.tokenize("ssn", [SSN]).values[0].replace("-", "")
    house.erase("ssn", tokens=[token])

    row = house.work._tables.tokens[SPACE, token]
    assert (row.state, row.ciphertext) == (TokenState.ERASED, b"")
    assert house.work._tables.index == {}


def test_by_value_in_any_spelling(house: ServiceHarness) -> None:
    old = house.tokenize("ssn", [SSN]).values[0]

    result = house.erase("ssn", values=[OTHER, "123456789", "bad", SSN])

    assert result.total == 4
    assert reasons(result.failures) == {
        0: Reason.TOKEN_NOT_FOUND,
        2: house.tokenize("ssn", ["bad"]).failures[0].reason,
    }
    assert reasons(house.detokenize("ssn", [old]).failures) == {0: Reason.TOKEN_ERASED}
    assert reasons(house.erase("ssn", values=[SSN]).failures) == {0: Reason.TOKEN_NOT_FOUND}


def test_by_token_it_can_be_repeated(house: ServiceHarness) -> None:
    token = house.tokenize("ssn", [SSN]).values[0]

    for _ in range(2):
        result = house.erase("ssn", tokens=[token, "111-11-1111", "no token", token])
        assert reasons(result.failures) == dict.fromkeys((1, 2), Reason.TOKEN_NOT_FOUND)
        assert house.work.events[-1].counts == {"ok": 2, "TOKEN_NOT_FOUND": 2}


def test_an_expired_token_can_be_erased(house: ServiceHarness) -> None:
    first, second = house.tokenize("mail", ["a@x.org", "b@x.org"]).values
    house.clock.ahead = timedelta(days=31)
    assert house.expiry.reap() == 2
    house.tokenize("mail", ["c@x.org"])
    third = house.tokenize("mail", ["c@x.org"]).values[0]
    house.clock.ahead = timedelta(days=62)

    assert reasons(house.detokenize("mail", [first]).failures) == {0: Reason.TOKEN_EXPIRED}
    assert reasons(house.erase("mail", values=["c@x.org"]).failures) == {0: Reason.TOKEN_NOT_FOUND}
    assert reasons(house.erase("mail", tokens=[first, third]).failures) == {}

    assert reasons(house.detokenize("mail", [first, second, third]).failures) == {
        0: Reason.TOKEN_ERASED,
        1: Reason.TOKEN_EXPIRED,
        2: Reason.TOKEN_ERASED,
    }
    assert house.work._tables.index == {}


def test_scope_none_is_erased_by_token_only(house: ServiceHarness) -> None:
    first, second = house.tokenize("once", [SSN, SSN]).values

    with pytest.raises(InvalidRequest, match="name its tokens"):
        house.erase("once", values=[SSN])
    assert house.work.events[-1].reason == "INVALID_REQUEST"
    assert reasons(house.erase("once", tokens=[first]).failures) == {}
    assert house.detokenize("once", [first, second]).values == ["", SSN]


def test_of_a_vaultless_field_nothing_is_stored(house: ServiceHarness) -> None:
    both: list[tuple[list[str], list[str]]] = [(["0012345678"], []), ([], ["0012345678"])]
    for tokens, values in both:
        with pytest.raises(InvalidRequest, match="nothing is stored"):
            house.erase("account", tokens=tokens, values=values)


def test_exactly_one_list(house: ServiceHarness) -> None:
    token = house.tokenize("ssn", [SSN]).values[0]
    wrong: list[tuple[list[str], list[str]]] = [([token], [SSN]), ([], [])]
    for tokens, values in wrong:
        with pytest.raises(InvalidRequest, match="not by both"):
            house.erase("ssn", tokens=tokens, values=values)
    assert [event.outcome for event in house.work.events[-2:]] == ["failed", "failed"]
    assert house.detokenize("ssn", [token]).values == [SSN]


@pytest.mark.parametrize("name", ["pipeline", "steward", "restorer", "stranger"])
def test_who_has_no_right_erases_nothing(house: ServiceHarness, name: str) -> None:
    token = house.tokenize("ssn", [SSN]).values[0]
    with pytest.raises(Denied):
        house.erase("ssn", tokens=[token], name=name)
    assert house.detokenize("ssn", [token]).values == [SSN]


def test_a_row_that_does_not_open_is_erased_and_leads_nowhere(house: ServiceHarness) -> None:
    token = house.tokenize("ssn", ["123456789"]).values[0]
    row = house.work._tables.tokens[SPACE, token]
    house.work._tables.tokens[SPACE, token] = replace(row, ciphertext=b"not one of ours")

    by_value = house.erase("ssn", values=["123456789"])
    assert reasons(by_value.failures) == {0: Reason.DECRYPTION_FAILED}
    assert reasons(house.erase("ssn", tokens=[token]).failures) == {}

    assert house.work._tables.tokens[SPACE, token].ciphertext == b""
    assert reasons(house.lookup("ssn", ["123456789"]).failures) == {0: Reason.TOKEN_NOT_FOUND}
    new = house.tokenize("ssn", ["123456789"]).values[0]
    assert new not in ("", token)
    assert house.detokenize("ssn", [new]).values == ["123456789"]


def test_an_index_row_pointed_elsewhere_erases_nobody_else(house: ServiceHarness) -> None:
    mine, other = "123456789", "987654321"
    tokens = house.tokenize("ssn", [mine, other]).values
    index = house.work._tables.index
    first, second = index
    index[first], index[second] = index[second], index[first]

    result = house.erase("ssn", values=[mine])

    assert reasons(result.failures) == {0: Reason.DECRYPTION_FAILED}
    assert house.detokenize("ssn", tokens).values == [mine, other]


def test_a_value_can_be_erased_and_come_back_any_number_of_times(house: ServiceHarness) -> None:
    # FF1 makes the same tokens of a value in the same order, and each is left behind.
    seen = set()
    for _ in range(20):
        (token,) = house.tokenize("ssn", [SSN]).values
        assert token
        seen.add(token)
        assert house.erase("ssn", values=[SSN]).failures == {}
    assert len(seen) == 20


def test_the_record_names_counts_and_a_digest_and_no_value(house: ServiceHarness) -> None:
    token = house.tokenize("ssn", [SSN]).values[0]
    house.erase("ssn", values=[SSN, OTHER])
    event = house.work.events[-1]
    assert (event.rpc, event.outcome, event.field) == ("Erase", "allowed", "ssn")
    assert event.roles == ("privacy",)
    assert event.counts == {"ok": 1, "TOKEN_NOT_FOUND": 1}
    assert event.key_versions == (1,)
    # The same set of tokens gives the same digest, by whatever it was found.
    assert event.token_digest == house.work.events[0].token_digest
    assert not any(text in repr(event) for text in (SSN, "123456789", token))


def test_erasing_is_counted_by_limits(house: ServiceHarness) -> None:
    limit = "limits: [{fields: [ssn], actions: [erase], values: 2, per: 1h, by: principal}]\n"
    house.policy = parse_policy(house.policy.document.replace("roles:\n", limit + "roles:\n"), "p")
    tokens = house.tokenize("ssn", [SSN, OTHER, "111-22-3333"]).values
    house.erase("ssn", tokens=tokens[:2])
    with pytest.raises(LimitExceeded):
        house.erase("ssn", tokens=tokens[2:])
    assert house.detokenize("ssn", tokens[2:]).values == ["111-22-3333"]
