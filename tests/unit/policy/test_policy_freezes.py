"""When who touches honey tokens is frozen: how it is read, compared, and for whom it holds."""

from __future__ import annotations

import pytest

from vault.cli.policy_diff_lines import diff_lines
from vault.model import Principal
from vault.policy.diff import diff
from vault.policy.freezes import FreezeRule
from vault.policy.lint import lint
from vault.policy.model import Policy
from vault.policy.reading.load import InvalidPolicy, parse_policy

TEXT = """version: 1
fields: {ssn: {format: us_ssn, generator: ff1}}
roles:
  reader: [{fields: [ssn], allow: [detokenize], view: full}]
  bulk: [{fields: [ssn], allow: [detokenize], view: full}]
  nightly: [{fields: [ssn], allow: [detokenize], view: full}]
  guard: [{allow: [manage_freezes]}]
principals:
  - {spiffe: "spiffe://example.org/reader", roles: [reader]}
  - {spiffe: "spiffe://example.org/bulk", roles: [bulk, reader]}
  - {spiffe: "spiffe://example.org/both", roles: [bulk, nightly]}
  - {spiffe: "spiffe://example.org/guard", roles: [guard]}
"""
ONE, BULK = "{touches: 1}", "{roles: [bulk], touches: 20, per: 1d}"
NIGHTLY = "{roles: [nightly], touches: 5, per: 1h}"
PEOPLE = '  - {jwt: {issuer: "https://i", audience: a, claim: groups, value: g}, roles: [guard]}\n'


def policy(*entries: str, more: str = "") -> Policy:
    freezes = "freezes:\n" + "".join(f"  - {each}\n" for each in entries) if entries else ""
    return parse_policy(TEXT + more + freezes, "policy.yaml")


def rule(of: Policy, name: str) -> tuple[int, int] | None:
    found = of.freeze_rule(Principal("spiffe", f"spiffe://example.org/{name}"))
    return None if found is None else (found.touches, found.seconds)


def test_an_entry_holds_for_its_roles_and_the_one_without_for_all_others() -> None:
    made = policy(ONE, BULK, NIGHTLY)
    assert made.freezes[0] == FreezeRule(1)
    assert rule(made, "reader") == (1, 0)
    assert rule(made, "bulk") == (20, 86400)
    assert rule(made, "both") == (5, 3600)
    assert rule(made, "stranger") == (1, 0)


def test_without_an_entry_for_it_nobody_is_frozen() -> None:
    assert rule(policy(), "reader") is None
    assert rule(policy(BULK), "reader") is None


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["{touches: 0}"], "1"),
        (["{touches: 1001, per: 1h}"], "from 1 to 1000"),
        (["{touches: 2}"], "add per"),
        (["{touches: 1, per: 1h}"], "remove per"),
        (["{per: 1h}"], "touches"),
        ([ONE, "{touches: 2, per: 1h}"], "an entry without roles already"),
        ([BULK, BULK], "'bulk' has an entry already"),
        (["{roles: [nobody], touches: 1}"], "there is no role 'nobody'"),
        (["{roles: [], touches: 1}"], "name a role"),
        (["{touches: 1, within: 1h}"], "unknown key"),
    ],
)
def test_what_is_wrong_is_said(entries: list[str], said: str) -> None:
    with pytest.raises(InvalidPolicy, match="freezes") as caught:
        policy(*entries)
    assert said in caught.value.message


def test_a_freeze_that_nobody_could_lift_is_warned_of() -> None:
    def warned(of: Policy) -> list[str]:
        return [each.message for each in lint(of) if each.path == "freezes"]

    assert warned(policy()) == []
    assert warned(policy(ONE, more=PEOPLE)) == []
    (said,) = warned(policy(ONE))
    assert said.startswith("nobody can lift a freeze")


def test_a_new_policy_says_who_is_frozen_otherwise() -> None:
    old, new = policy(ONE), policy(ONE, BULK)
    found = diff(old, new)
    assert [str(each.holder).rpartition("/")[2] for each in found.freezes] == ["both", "bulk"]
    lines = list(diff_lines(found, old, new))
    assert "  ~ spiffe://example.org/bulk: 1 touch -> 20 touches per 1d" in lines
    assert list(diff_lines(diff(old, policy()), old, policy()))[0:2] == [
        "freezes for touching honey tokens",
        "  ~ spiffe://example.org/both: 1 touch -> never",
    ]
    assert not diff(old, policy(ONE))
