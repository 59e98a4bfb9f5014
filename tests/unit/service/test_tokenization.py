"""Tokenize, Detokenize, Lookup and Describe over a store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from vault.errors import (
    Denied,
    FieldNotFound,
    InvalidRequest,
    KeysUnavailable,
    PolicyError,
    Reason,
    StoreUnavailable,
)
from vault.model import TokenSpace
from vault.policy.reading.load import parse_policy
from vault.service import token_creation as token_creation
from vault.service.call import Call
from vault.service.ports import unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.service.conftest import ServiceHarness
    from vault.crypto.field_key import FieldKey
    from vault.policy.model import Field

CARD = "4929309216280000"
CARDS = ["5545-6340-8546-1876", "5317250628844522", "4916 4291 9510 4076"]


def test_a_column_round_trips_byte_for_byte(harness: ServiceHarness) -> None:
    tokenized = harness.tokenize("card", CARDS)

    assert tokenized.failures == {}
    assert all(token != card for token, card in zip(tokenized.values, CARDS, strict=True))
    assert harness.detokenize("card", tokenized.values, view="full").values == CARDS


def test_a_value_keeps_its_token_in_every_spelling(harness: ServiceHarness) -> None:
    dashed, plain = "5545-6340-8546-1876", "5545634085461876"

    first = harness.tokenize("card", [dashed]).values[0]
    second, again = harness.tokenize("card", [plain, dashed]).values

    assert again == first
    assert second == first.replace("-", "")
    assert harness.detokenize("card", [second], view="full").values == [plain]


def test_a_refusal_names_what_nobody_sees(harness: ServiceHarness) -> None:
    blank, double, plain = harness.tokenize(
        "card", ["4111111111111113\n", "4111\u20071111\u20071111\u20071111", "4111111111111113"]
    ).failures.values()

    assert blank.message.endswith("before or after it")
    assert double.message.endswith("only looks like another")
    assert "; " not in plain.message


def test_a_refusal_says_that_a_value_may_be_a_token(harness: ServiceHarness) -> None:
    token = harness.tokenize("card", ["4111 1111 1111 1111"]).values[0]

    (failure,) = harness.tokenize("card", [token]).failures.values()

    assert failure.reason is Reason.VALUE_NOT_IN_FORMAT
    assert failure.message.endswith("was it tokenized before?")
    assert token not in failure.message


def test_items_fail_alone(harness: ServiceHarness) -> None:
    values = ["", "4111111111111112", "5317250628844522", "41111111x1111111", "9" * 20]

    result = harness.tokenize("card", values)

    assert [bool(token) for token in result.values] == [False, False, True, False, False]
    assert {index: failure.reason for index, failure in result.failures.items()} == {
        0: Reason.VALUE_TOO_SHORT,
        1: Reason.VALUE_NOT_IN_FORMAT,
        3: Reason.VALUE_NOT_IN_FORMAT,
        4: Reason.VALUE_TOO_LONG,
    }
    assert not any(
        value and value in failure.message
        for value in values
        for failure in result.failures.values()
    )


def test_the_view_of_a_role_is_all_it_gets(harness: ServiceHarness) -> None:
    tokens = harness.tokenize("card", CARDS).values

    masked = harness.detokenize("card", tokens, name="support")

    assert masked.view == "last4"
    assert masked.values == ["****-****-****-1876", "************4522", "**** **** **** 4076"]
    with pytest.raises(Denied):
        harness.detokenize("card", tokens, name="support", view="full")
    with pytest.raises(Denied):
        harness.detokenize("ssn", ["123-45-6789"], name="support")
    with pytest.raises(Denied):
        harness.detokenize("card", tokens, name="pipeline")


def test_the_token_view_answers_live_tokens_only(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", ["123-45-6789"]).values[0]

    result = harness.detokenize("ssn", [token, "999-99-9999"], view="token")

    assert result.values == [token, ""]
    assert result.failures[1].reason is Reason.TOKEN_NOT_FOUND


def test_a_string_nobody_issued_is_one_and_the_same_failure(harness: ServiceHarness) -> None:
    other_field = harness.tokenize("once", ["123-45-6789"]).values[0]
    strings = ["", "no token at all", "123-45-6789", other_field]

    failures = harness.detokenize("ssn", strings, view="full").failures

    assert len(failures) == len(strings)
    assert len(set(failures.values())) == 1
    assert failures[0].reason is Reason.TOKEN_NOT_FOUND


def test_scope_none_gives_every_item_a_new_token(harness: ServiceHarness) -> None:
    values = ["123-45-6789"] * 3

    tokens = [*harness.tokenize("once", values).values, *harness.tokenize("once", values).values]

    assert len(set(tokens)) == 6
    assert harness.detokenize("once", tokens, view="full").values == values * 2
    with pytest.raises(InvalidRequest):
        harness.lookup("once", values)


def test_vaultless_tokens_store_nothing_and_come_back(harness: ServiceHarness) -> None:
    values = ["0012345678", "00-1234-5678-90"]

    tokens = harness.tokenize("account", values)

    assert tokens.failures == {}
    assert [len(token) for token in tokens.values] == [10, 15]
    assert harness.detokenize("account", tokens.values, view="full").values == values
    assert harness.lookup("account", values).values == tokens.values
    assert (
        harness.work.run(
            lambda tx: tx.tokens.rows_by_token(TokenSpace("default", "account"), tokens.values)
        )
        == {}
    )


def test_a_vaultless_token_of_an_impossible_length_is_no_token(harness: ServiceHarness) -> None:
    result = harness.detokenize("account", ["123", "1" * 30], view="full")

    assert {failure.reason for failure in result.failures.values()} == {Reason.TOKEN_NOT_FOUND}
    assert result.values == ["", ""]


def test_a_vaultless_fixed_point_is_refused_both_ways(harness: ServiceHarness) -> None:
    def identity(*args: object) -> list[str]:
        return list(args[3])  # type: ignore[call-overload,no-any-return]

    with patch("vault.service.columnar.vaultless_column.encipher_cores", identity):
        result = harness.tokenize("tiny", ["123456"])

    assert result.values == [""]
    assert result.failures[0].reason is Reason.FORMAT_SPACE_EXHAUSTED


def test_a_vaulted_token_never_equals_its_value_and_collisions_are_retried(
    harness: ServiceHarness,
) -> None:
    real, calls = token_creation.encipher_cores, []

    def stubborn(
        key: FieldKey,
        field: Field,
        tweak_version: int,
        cores: Sequence[str],
        counters: Sequence[int],
        deadline: float | None,
    ) -> list[str]:
        calls.append(list(counters))
        if counters[0] == 0:
            return list(cores)  # the fixed point
        if counters[0] == 1:
            return ["111223333"] * len(cores)  # two values, one token
        return real(key, field, tweak_version, cores, counters, deadline)

    with patch.object(token_creation, "encipher_cores", stubborn):
        result = harness.tokenize("ssn", ["123456789", "987654321"])

    assert result.failures == {}
    assert len(set(result.values)) == 2
    assert calls == [[0, 0], [1, 1], [2]]
    assert harness.detokenize("ssn", result.values, view="full").values == [
        "123456789",
        "987654321",
    ]


def test_a_full_format_space_ends_after_bounded_attempts(harness: ServiceHarness) -> None:
    with patch.object(
        token_creation, "encipher_cores", lambda _key, _field, _version, cores, *_: list(cores)
    ):
        result = harness.tokenize("ssn", ["123456789"])

    assert result.failures[0].reason is Reason.FORMAT_SPACE_EXHAUSTED
    assert harness.keys.charged == [1] * token_creation.MAX_ATTEMPTS


def test_names_of_any_length_get_tokens(harness: ServiceHarness) -> None:
    names = ["Ek", "O'Neal", "Zóphoníasson", "李小龍", "Ivan Martin", "X"]

    tokens = harness.tokenize("name", names)

    assert tokens.failures == {}
    assert harness.detokenize("name", tokens.values, view="full").values == names


def test_lookup_finds_and_creates_nothing(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", ["123-45-6789"]).values[0]

    result = harness.lookup("ssn", ["123456789", "987-65-4321", "bad"])

    assert result.values == [token.replace("-", ""), "", ""]
    assert result.failures[1].reason is Reason.TOKEN_NOT_FOUND
    assert result.failures[2].reason is not Reason.TOKEN_NOT_FOUND
    assert harness.lookup("ssn", ["987-65-4321"]).failures[0].reason is Reason.TOKEN_NOT_FOUND


def test_describe_tells_all_but_the_value(harness: ServiceHarness) -> None:
    token = harness.tokenize("ssn", ["123-45-6789"]).values[0]

    result = harness.describe("ssn", [token, "000-00-0000"])

    described = result.descriptions[0]
    assert described is not None
    assert (described.format, described.generator, described.storage, described.key_version) == (
        "us_ssn",
        "ff1",
        "vaulted",
        1,
    )
    assert described.created is not None
    assert result.descriptions[1] is None
    assert result.failures[1].reason is Reason.TOKEN_NOT_FOUND


def test_a_new_key_version_keeps_old_tokens_and_seals_new_ones(harness: ServiceHarness) -> None:
    old = harness.tokenize("ssn", ["123-45-6789"]).values

    harness.keys.active_version = 2
    again = harness.tokenize("ssn", ["123-45-6789", "111-22-3333"])

    assert again.values[0] == old[0]
    assert [
        entry.key_version for entry in harness.describe("ssn", again.values).descriptions if entry
    ] == [1, 2]
    assert harness.detokenize("ssn", again.values, view="full").values == [
        "123-45-6789",
        "111-22-3333",
    ]


def test_every_call_leaves_one_record_without_values(harness: ServiceHarness) -> None:
    tokens = harness.tokenize("card", [*CARDS, "bad"]).values
    harness.detokenize("card", tokens[:1], name="support")
    with pytest.raises(Denied):
        harness.detokenize("card", tokens[:1], name="pipeline")
    with pytest.raises(FieldNotFound):
        harness.tokenize("4916429195104076", ["x"])
    with pytest.raises(Denied):
        harness.tokenize("card", CARDS, name="stranger")

    events = harness.work.events

    assert [(event.rpc, event.outcome, event.reason, event.field) for event in events] == [
        ("Tokenize", "allowed", "", "card"),
        ("Detokenize", "allowed", "", "card"),
        ("Detokenize", "denied", "DENIED", "card"),
        ("Tokenize", "denied", "FIELD_NOT_FOUND", ""),
        ("Tokenize", "denied", "DENIED", "card"),
    ]
    assert events[0].counts == {"ok": 3, "VALUE_NOT_IN_FORMAT": 1}
    assert events[1].view == "last4"
    assert events[0].key_versions == (1,)
    assert events[0].policy_digest == harness.policy.digest
    assert len(events[0].token_digest) == 32
    written = repr(events) + str(events[0].token_digest)
    assert not any(text in written for text in [*CARDS, *tokens[:3], "4916429195104076"])


def test_keys_gone_fails_the_call_audited_and_nothing_is_written(harness: ServiceHarness) -> None:
    harness.keys.available = False

    with pytest.raises(KeysUnavailable):
        harness.tokenize("account", ["0012345678"])

    assert harness.work.events[-1].outcome == "failed"
    assert harness.work.events[-1].reason == "KEYS_UNAVAILABLE"


def test_a_used_field_keeps_its_token_spec(harness: ServiceHarness) -> None:
    harness.tokenize("ssn", ["123-45-6789"])
    changed = harness.policy.document.replace(
        "format: us_ssn, generator: ff1, views", "format: us_ssn, generator: random, views"
    )
    policy = parse_policy(changed, "changed")

    with pytest.raises(PolicyError, match="ssn"):
        harness.tokens.tokenize(
            Call("Tokenize", harness.caller("pipeline"), policy),
            "ssn",
            ["987-65-4321"],
            "",
            unchanged,
        )


def test_an_index_row_pointed_at_another_token_is_noticed(harness: ServiceHarness) -> None:
    mine, other = "123456789", "987654321"
    harness.tokenize("ssn", [mine, other])
    index = harness.work._tables.index
    first, second = (key for key in index if key[0].field == "ssn")
    index[first], index[second] = index[second], index[first]

    for result in (harness.tokenize("ssn", [mine, other]), harness.lookup("ssn", [mine, other])):
        assert result.values == ["", ""]
        assert {failure.reason for failure in result.failures.values()} == {
            Reason.DECRYPTION_FAILED
        }


def test_a_call_that_ran_out_of_time_leaves_a_record(harness: ServiceHarness) -> None:
    late = StoreUnavailable("too late", reason=Reason.DEADLINE_EXCEEDED)

    with (
        patch.object(token_creation, "encipher_cores", side_effect=late),
        pytest.raises(StoreUnavailable),
    ):
        harness.tokenize("ssn", ["123456789"])

    assert harness.work.events[-1].reason == "DEADLINE_EXCEEDED"


def test_nothing_is_recorded_where_the_store_itself_is_away(harness: ServiceHarness) -> None:
    away = StoreUnavailable("away")

    with (
        patch.object(token_creation, "encipher_cores", side_effect=away),
        pytest.raises(StoreUnavailable),
    ):
        harness.tokenize("ssn", ["123456789"])

    assert harness.work.events == ()


def test_after_a_restore_a_value_gets_its_lost_token_again(harness: ServiceHarness) -> None:
    lost = harness.tokenize("card", ["4111111111111111"])
    harness.work._tables = type(harness.work._tables)()  # as if restored from before
    harness.keys.active_version, harness.keys.maker_version = 2, 1
    again = harness.tokenize("card", ["4111111111111111"])
    assert again.values == lost.values
    (described,) = harness.describe("card", list(again.values)).descriptions
    assert described is not None
    assert described.key_version == 2
    assert harness.detokenize("card", list(again.values)).values == ["4111111111111111"]
