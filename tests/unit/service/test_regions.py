"""A region for a whole batch of phone numbers: what it decides, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vault.errors import InvalidRequest, Reason
from vault.policy.load import parse_policy
from vault.policy.model import Policy

if TYPE_CHECKING:
    from tests.unit.service.conftest import House
    from vault.service.results import ColumnResult

POLICY = """
version: 1
fields:
  phone: {format: phone, generator: ff1}
  german: {format: phone, region: DE, generator: ff1, storage: vaultless}
  american: {format: phone, region: US, generator: random}
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
    "ZA": ["011 784 3000"],
    "AU": ["02 9374 4000", "0011 49 30 901820"],
}
REGIONS = [(region, text) for region, texts in DIALLED.items() for text in texts]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(POLICY, "test policy")


def tokenize(
    house: House, policy: Policy, field: str, values: list[str], region: str
) -> ColumnResult:
    return house.tokens.tokenize(house.caller("pipeline"), policy, field, values, region)


@pytest.mark.parametrize("field", ["phone", "german", "american"])
@pytest.mark.parametrize(("region", "text"), REGIONS)
def test_a_number_of_any_region_comes_back_without_saying_which(
    house: House, policy: Policy, field: str, region: str, text: str
) -> None:
    result = tokenize(house, policy, field, [text], region)

    assert result.failures == {}
    assert result.values[0] != text
    back = house.tokens.detokenize(house.caller("pipeline"), policy, field, result.values, "full")
    assert back.values == [text]


@pytest.mark.parametrize("field", ["phone", "german", "american"])
def test_the_digits_dialled_have_one_token_whatever_the_region(
    house: House, policy: Policy, field: str
) -> None:
    # Both countries have this number, as they dial it.
    german, austrian = (
        tokenize(house, policy, field, [text], region).values[0]
        for text, region in (("0699 0123 4567", "DE"), ("0699 01234567", "AT"))
    )
    lookup = house.tokens.lookup(
        house.caller("pipeline"), policy, field, ["069901234567"], region="AT"
    )

    assert austrian.replace(" ", "") == german.replace(" ", "") == lookup.values[0]


def test_the_region_decides_what_is_accepted(house: House, policy: Policy) -> None:
    values = ["415 555 2671", "030 901820"]
    failed = {
        region: tokenize(house, policy, "phone", values, region).failures for region in ("US", "")
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
    house: House, policy: Policy, field: str, region: str, message: str
) -> None:
    caller = house.caller("pipeline")
    for call in (house.tokens.tokenize, house.tokens.lookup):
        with pytest.raises(InvalidRequest, match=message) as caught:
            call(caller, policy, field, ["415 555 2671"], region)
        assert region not in caught.value.message or region == "US"
        last = house.work.events[-1]
        assert (last.outcome, last.reason, last.field) == ("failed", "INVALID_REQUEST", field)


def test_a_caller_without_the_right_learns_nothing_about_regions(
    house: House, policy: Policy
) -> None:
    stranger = replace(house.caller("pipeline"), principal=house.caller("support").principal)
    with pytest.raises(Exception, match="does not allow"):
        house.tokens.tokenize(stranger, policy, "ssn", ["1"], "ZZ")
