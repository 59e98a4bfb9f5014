from __future__ import annotations

import time
from pathlib import Path

import pytest

from vault.config import JwtIssuerSettings
from vault.dev.device_logins import Approval
from vault.dev.issuer import JwtIssuer, choose_jwt_callers
from vault.errors import ConfigError
from vault.model import Group, Person
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.rpc.authn.jwt_identity import JwtIdentifier, TrustedIssuer
from vault.rpc.authn.jwt_keys import FileKeys

IDP = "https://idp.bank.example"


def policy(*principals: str) -> Policy:
    return parse_policy(
        """version: 1
fields:
  ssn: {format: us_ssn, generator: ff1, storage: vaulted}
roles:
  pipeline: [{fields: [ssn], allow: [tokenize]}]
  fraud_lead: [{fields: [ssn], allow: [lookup]}]
principals:
"""
        + "".join(f"  - {each}\n" for each in principals),
        "p.yaml",
    )


def group(value: str, roles: str, *, audience: str = "tv", claim: str = "groups") -> str:
    who = f"{{issuer: '{IDP}', audience: {audience}, claim: {claim}, value: {value}}}"
    return f"{{jwt: {who}, roles: [{roles}]}}"


def test_each_role_gets_the_group_that_holds_least_beside_it() -> None:
    made = choose_jwt_callers(
        policy(group("boss", "pipeline, fraud_lead"), group("etl", "pipeline"))
    )
    assert made.groups == {
        "pipeline": Group(IDP, "tv", "groups", "etl"),
        "fraud_lead": Group(IDP, "tv", "groups", "boss"),
    }
    (settings,) = made.settings(Path("/x/jwks.json"))
    assert settings[:3] == (IDP, "tv", "groups")


def test_a_subject_may_stand_beside_groups() -> None:
    made = choose_jwt_callers(
        policy(group("job-7", "pipeline", claim="sub"), group("lead", "fraud_lead"))
    )
    assert made.groups["pipeline"] == Group(IDP, "tv", "sub", "job-7")
    assert made.issuers[IDP].claim == "groups"


def test_a_policy_without_jwt_gets_tokens_that_it_refuses() -> None:
    made = choose_jwt_callers(policy('{spiffe: "spiffe://example.org/etl", roles: [pipeline]}'))
    assert made.groups["fraud_lead"].value == "fraud-lead"
    assert len(made.settings(Path("/x"))) == 1


@pytest.mark.parametrize("other", [{"audience": "tv2"}, {"claim": "roles"}])
def test_two_audiences_or_claims_of_an_issuer_are_refused(other: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="one JWT issuer"):
        choose_jwt_callers(policy(group("a", "pipeline"), group("b", "fraud_lead", **other)))


@pytest.mark.parametrize("claim", ["groups", "/realm_access/roles", "/a~1b/c", "sub"])
def test_tokens_say_groups_where_the_server_looks_for_them(tmp_path: Path, claim: str) -> None:
    made = choose_jwt_callers(policy(group("lead", "fraud_lead", claim=claim)))
    issuer = JwtIssuer(tmp_path / "issuer")
    (settings,) = made.settings(issuer.jwks_path)
    section = JwtIssuerSettings.model_validate(settings.as_section())
    identifier = JwtIdentifier((TrustedIssuer(section, FileKeys(issuer.jwks_path)),))
    workload = identifier.identity_of(issuer.issue(made)["fraud_lead"].read_text().strip())
    assert Group(IDP, "tv", claim, "lead") in workload.principal.groups
    assert (workload.person, workload.auth_time) == (None, None)
    token, seconds = issuer.login_token(made, Approval("ann", "fraud_lead", time.time()))
    person = identifier.identity_of(token)
    assert Group(IDP, "tv", claim, "lead") in person.principal.groups
    assert person.person == Person(IDP, "email", "ann@idp.bank.example")
    assert person.auth_time is not None
    assert 0 < seconds <= 3600
