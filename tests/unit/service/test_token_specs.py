"""When a field's token spec and tweak version are recorded, and what a recorded version decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from unittest.mock import patch

import pytest

from tests.unit.service.conftest import ServiceHarness
from vault.crypto.field_key import FieldKey, TweakInput
from vault.errors import PolicyError, Reason
from vault.model import Generator, TokenSpace
from vault.policy.reading.load import parse_policy
from vault.service.token_specs import check_token_specs

ACCOUNT = TokenSpace("default", "account")
VALUES = ["0012345678", "00123 45678", "1234567890123"]


def recorded(harness: ServiceHarness) -> dict[str, int]:
    """Returns the recorded tweak version of every used field."""
    specs = harness.work._tables.token_specs
    return {space.field: json.loads(spec)["tweak_inputs"] for space, spec in specs.items()}


def used_before(harness: ServiceHarness, field: str) -> None:
    """Records a field as releases did that knew one tweak version."""
    space = TokenSpace("default", field)
    harness.work._tables.token_specs[space] = harness.policy.fields[field].token_specs[1]


def account_tokens(version: int, digits: Sequence[str]) -> list[str]:
    """Returns vaultless tokens straight from the cipher, one by one."""
    key = FieldKey(bytes([1]) * 32, "default", "account", 1)
    tweak = TweakInput("field", "", 0)
    numerals = [[int(digit) for digit in text] for text in digits]
    made = [
        key.encipher(Generator.FF3_1, 10, [each], [tweak], tweak_version=version)[0]
        for each in numerals
    ]
    return ["".join(map(str, each)) for each in made]


@pytest.mark.parametrize("field", ["ssn", "name", "card", "account", "tiny", "once"])
def test_a_field_whose_values_were_all_refused_can_still_change(
    harness: ServiceHarness, field: str
) -> None:
    # 0x00 is refused by every format, also among so many that arrays are made.
    result = harness.tokenize(field, ["\x00"] * 100)
    assert len(result.failures) == 100
    assert recorded(harness) == {}


def test_a_batch_without_values_uses_no_field(harness: ServiceHarness) -> None:
    harness.tokenize("account", [])
    harness.tokenize("ssn", [])
    assert recorded(harness) == {}


def test_one_value_among_refused_ones_uses_the_field(harness: ServiceHarness) -> None:
    harness.tokenize("ssn", ["x", "123-45-6789"])
    harness.tokenize("account", ["x", "0012345678"])
    assert recorded(harness) == {"ssn": 1, "account": 2}


def test_a_lookup_that_hands_out_vaultless_tokens_uses_the_field(harness: ServiceHarness) -> None:
    harness.lookup("account", ["x"])
    harness.lookup("ssn", ["123456789"])
    assert recorded(harness) == {}
    harness.lookup("account", ["0012345678"])
    assert recorded(harness) == {"account": 2}


def test_values_that_would_be_their_own_tokens_use_no_field(harness: ServiceHarness) -> None:
    def identity(*args: object) -> list[str]:
        return list(args[3])  # type: ignore[call-overload,no-any-return]

    with patch("vault.service.columnar.vaultless_column.encipher_cores", identity):
        result = harness.tokenize("account", ["0012345678"])
    assert result.failures[0].reason is Reason.FORMAT_SPACE_EXHAUSTED
    assert recorded(harness) == {}


@pytest.mark.parametrize("times", [1, 40])
def test_a_vaultless_field_used_before_keeps_its_tokens(
    harness: ServiceHarness, times: int
) -> None:
    used_before(harness, "account")
    first, _, long = account_tokens(1, ["0012345678", "0012345678", "1234567890123"])
    expected = [first, f"{first[:5]} {first[5:]}", long] * times
    assert list(harness.tokenize("account", VALUES * times).values) == expected
    assert list(harness.lookup("account", VALUES * times).values) == expected
    assert list(harness.detokenize("account", expected).values) == VALUES * times
    assert recorded(harness) == {"account": 1}


@pytest.mark.parametrize("times", [1, 40])
def test_a_new_vaultless_field_binds_the_length(harness: ServiceHarness, times: int) -> None:
    first, _, long = account_tokens(2, ["0012345678", "0012345678", "1234567890123"])
    expected = [first, f"{first[:5]} {first[5:]}", long] * times
    assert list(harness.tokenize("account", VALUES * times).values) == expected
    assert list(harness.detokenize("account", expected).values) == VALUES * times


def test_a_vaulted_field_goes_on_with_the_version_it_began_with(harness: ServiceHarness) -> None:
    used_before(harness, "card")
    old = harness.tokenize("card", ["4111111111111111"]).values
    assert recorded(harness) == {"card": 1}
    assert harness.detokenize("card", old).values == ["4111111111111111"]
    harness.work._tables.token_specs.clear()
    harness.work._tables.tokens.clear()
    harness.work._tables.index.clear()
    harness.tokens._token_specs._known.clear()
    assert harness.tokenize("card", ["4111111111111111"]).values != old
    assert recorded(harness) == {"card": 2}


def test_a_field_of_ff3_1_without_a_token_answers_none(harness: ServiceHarness) -> None:
    result = harness.detokenize("account", ["0012345678", "nonsense"])
    assert result.values == ["", ""]
    assert {failure.reason for failure in result.failures.values()} == {Reason.TOKEN_NOT_FOUND}
    assert recorded(harness) == {}


def test_tokens_are_made_again_where_another_version_was_recorded_meanwhile(
    harness: ServiceHarness,
) -> None:
    """An older server is live, so the store records the older version."""
    specs = harness.policy.fields["account"].token_specs
    store = harness.work._tables.token_specs
    with patch(
        "vault.testing.store._TokenSpecs.record",
        lambda _self, space, _spec, **_: store.setdefault(space, specs[1]),
    ):
        made = harness.tokenize("account", ["0012345678"]).values
    assert made == account_tokens(1, ["0012345678"])
    assert harness.detokenize("account", made).values == ["0012345678"]


def test_a_record_of_a_version_that_nobody_knows_is_refused(harness: ServiceHarness) -> None:
    spec = harness.policy.fields["account"].token_spec.replace(
        '"tweak_inputs":2', '"tweak_inputs":3'
    )
    harness.work._tables.token_specs[ACCOUNT] = spec
    for call in (harness.tokenize, harness.detokenize, harness.lookup):
        with pytest.raises(PolicyError, match="account"):
            call("account", ["0012345678"])
    with pytest.raises(PolicyError, match="account"):
        check(harness)


def test_both_versions_are_token_specs_of_one_policy(harness: ServiceHarness) -> None:
    harness.tokenize("card", ["4111111111111111"])
    used_before(harness, "account")
    check(harness)
    changed = harness.policy.document.replace(
        "generator: ff3-1, storage: vaultless", "generator: ff3-1"
    )
    with pytest.raises(PolicyError, match="account"):
        harness.work.run(
            lambda transaction: check_token_specs(
                parse_policy(changed, "changed"), transaction.token_specs, "default"
            )
        )


def test_a_used_field_that_is_dropped_is_told_to_stay(harness: ServiceHarness) -> None:
    harness.tokenize("card", ["4111111111111111"])
    other = parse_policy("version: 1\nfields:\n  a: {format: us_ssn, generator: ff1}\n", "other")
    with pytest.raises(PolicyError, match=r"fields\.card: .*a used field must stay") as caught:
        harness.work.run(
            lambda transaction: check_token_specs(other, transaction.token_specs, "default")
        )
    assert "shape" not in caught.value.message


def check(harness: ServiceHarness) -> None:
    harness.work.run(
        lambda transaction: check_token_specs(harness.policy, transaction.token_specs, "default")
    )
