from __future__ import annotations

import pytest

from vault.dev.callers import choose_callers
from vault.errors import ConfigError
from vault.policy.reading.load import parse_policy

HEAD = """version: 1
fields:
  ssn: {format: us_ssn, generator: ff1, storage: vaulted}
roles:
  pipeline: [{fields: [ssn], allow: [tokenize]}]
  fraud_lead: [{fields: [ssn], allow: [lookup]}]
principals:
"""


def test_each_role_gets_the_principal_that_holds_least_beside_it() -> None:
    policy = parse_policy(
        HEAD + '  - {spiffe: "spiffe://bank.example/boss", roles: [pipeline, fraud_lead]}\n'
        '  - {spiffe: "spiffe://bank.example/etl", roles: [pipeline]}\n',
        "p.yaml",
    )
    domain, identities = choose_callers(policy)
    assert domain == "bank.example"
    assert identities == {
        "pipeline": "spiffe://bank.example/etl",
        "fraud_lead": "spiffe://bank.example/boss",
    }


def test_a_role_without_a_principal_is_named_after_itself() -> None:
    policy = parse_policy(
        HEAD + '  - {spiffe: "spiffe://example.org/etl", roles: [pipeline]}\n', "p.yaml"
    )
    assert choose_callers(policy).identities["fraud_lead"] == "spiffe://example.org/fraud-lead"


def test_principals_of_two_trust_domains_are_refused() -> None:
    policy = parse_policy(
        HEAD + '  - {spiffe: "spiffe://a.example/etl", roles: [pipeline]}\n'
        '  - {spiffe: "spiffe://b.example/lead", roles: [fraud_lead]}\n',
        "p.yaml",
    )
    with pytest.raises(ConfigError, match="2 trust domains"):
        choose_callers(policy)
