"""A region for a whole batch of phone numbers: what it decides, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vault.errors import InvalidRequest, Reason
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.service.call import Call
from vault.service.ports import unchanged

if TYPE_CHECKING:
    from tests.unit.service.conftest import ServiceHarness
    from vault.service.results import ColumnResult

POLICY = """
version: 1
fields:
  phone: {format: phone, generator: ff1}
  german: {format: phone, region: DE, generator: ff1, storage: vaultless}
  american: {format: phone, region: US, generator: random}
  restored: {format: phone, region: US, generator: ff1, storage: vaultless}
  russian: {format: phone, region: RU, generator: ff1, storage: vaultless}
  japanese: {format: phone, region: JP, generator: ff1, storage: vaultless}
  ssn: {format: us_ssn, generator: ff1}
roles:
  all: [{fields: ["*"], allow: [tokenize, lookup, detokenize], view: full}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [all]}
"""
# Region and numbers as dialled in it; some with another region's international prefix.
DIALLED = {
    "DE": ["030 901820", "0049 30 901820", "+49 30/901820"],
    "US": ["(415) 555-2671", "1 415 555 2671", "011 49 30 901820"],
    "GB": ["020 7946 0958", "00 49 30 901820"],
    "JP": ["090-1234-5678", "010 49 30 901820"],
    "RU": ["8 (999) 739-60-69", "810 49 30 901820"],
    "AU": ["02 9374 4000"],
}
REGIONS = [(region, text) for region, texts in DIALLED.items() for text in texts]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(POLICY, "test policy")


def tokenize(
    harness: ServiceHarness, policy: Policy, field: str, values: list[str], region: str
) -> ColumnResult:
    return harness.tokens.tokenize(
        Call("Tokenize", harness.caller("pipeline"), policy), field, values, region, unchanged
    )


@pytest.mark.parametrize("field", ["phone", "german", "american"])
@pytest.mark.parametrize(("region", "text"), REGIONS)
def test_a_number_of_any_region_comes_back_without_saying_which(
    harness: ServiceHarness, policy: Policy, field: str, region: str, text: str
) -> None:
    result = tokenize(harness, policy, field, [text], region)

    assert result.failures == {}
    assert result.values[0] != text
    back = harness.tokens.detokenize(
        Call("Detokenize", harness.caller("pipeline"), policy),
        field,
        result.values,
        "full",
        unchanged,
    )
    assert back.values == [text]


# A token of these might begin as an international number of the field's region does, if it kept
# no more than the zeros and a digit.
@pytest.mark.parametrize(
    ("field", "region", "pattern"),
    [
        ("restored", "DE", "0171 {:07d}"),
        ("restored", "DE", "0151 1{:07d}"),
        ("restored", "JP", "090-2{:07d}"),
        ("russian", "", "8 (999) {:07d}"),
        ("russian", "", "999 {:07d}"),
        ("japanese", "", "011-2{:06d}"),
        ("japanese", "", "0120-{:06d}"),
        ("german", "RU", "8 (912) {:07d}"),
    ],
)
def test_every_number_comes_back_from_a_vaultless_field(
    harness: ServiceHarness, policy: Policy, field: str, region: str, pattern: str
) -> None:
    numbers = range(0, 1_000_000, 1999)
    values = [pattern.format(number) for number in numbers]
    result = tokenize(harness, policy, field, values, region)
    taken = [at for at in range(len(values)) if at not in result.failures]
    assert len(taken) > 50
    tokens = [result.values[at] for at in taken]
    back = harness.tokens.detokenize(
        Call("Detokenize", harness.caller("pipeline"), policy), field, tokens, "full", unchanged
    )
    assert back.failures == {}
    assert back.values == [values[at] for at in taken]


@pytest.mark.parametrize(
    ("field", "region", "text"),
    [
        ("american", "ZA", "011 784 3000"),
        ("american", "IN", "011 2345 6789"),
        ("american", "GB", "0113 496 0000"),
        ("german", "AU", "0011 49 30 901820"),
    ],
)
def test_a_number_that_the_field_would_take_for_another_countrys_is_refused(
    harness: ServiceHarness, policy: Policy, field: str, region: str, text: str
) -> None:
    refused = tokenize(harness, policy, field, [text], region).failures[0]
    assert refused.reason is Reason.VALUE_NOT_IN_FORMAT
    assert "own region (0" in refused.message
    assert "a field without a region" in refused.message
    assert tokenize(harness, policy, "phone", [text], region).failures == {}


@pytest.mark.parametrize("field", ["phone", "german", "american"])
def test_the_digits_dialled_have_one_token_whatever_the_region(
    harness: ServiceHarness, policy: Policy, field: str
) -> None:
    # Both countries have this number, as they dial it.
    german, austrian = (
        tokenize(harness, policy, field, [text], region).values[0]
        for text, region in (("0699 0123 4567", "DE"), ("0699 01234567", "AT"))
    )
    lookup = harness.tokens.lookup(
        Call("Lookup", harness.caller("pipeline"), policy),
        field,
        ["069901234567"],
        "AT",
        unchanged,
    )

    assert austrian.replace(" ", "") == german.replace(" ", "") == lookup.values[0]


def test_the_region_decides_what_is_accepted(harness: ServiceHarness, policy: Policy) -> None:
    values = ["415 555 2671", "030 901820"]
    failed = {
        region: tokenize(harness, policy, "phone", values, region).failures for region in ("US", "")
    }
    assert [sorted(failures) for failures in failed.values()] == [[1], [0, 1]]
    assert failed["US"][1].reason is Reason.VALUE_NOT_IN_FORMAT
    assert "in US" in failed["US"][1].message


@pytest.mark.parametrize(
    ("field", "region", "message"),
    [
        ("phone", "ZZ", "two-letter"),
        ("phone", "xx", "two-letter"),
        ("phone", "4111111111111111", "two-letter"),
        ("ssn", "US", "only fields of format phone"),
    ],
)
def test_a_region_that_does_not_fit_fails_the_call_and_is_audited(
    harness: ServiceHarness, policy: Policy, field: str, region: str, message: str
) -> None:
    call = Call("Tokenize", harness.caller("pipeline"), policy)
    for use_case in (harness.tokens.tokenize, harness.tokens.lookup):
        with pytest.raises(InvalidRequest, match=message) as caught:
            use_case(call, field, ["415 555 2671"], region, unchanged)
        assert region not in caught.value.message or region == "US"
        last = harness.work.events[-1]
        assert (last.outcome, last.reason, last.field) == ("failed", "INVALID_REQUEST", field)


def test_a_caller_without_the_right_learns_nothing_about_regions(
    harness: ServiceHarness, policy: Policy
) -> None:
    stranger = replace(harness.caller("pipeline"), principal=harness.caller("support").principal)
    with pytest.raises(Exception, match="does not allow"):
        harness.tokens.tokenize(Call("Tokenize", stranger, policy), "ssn", ["1"], "ZZ", unchanged)
