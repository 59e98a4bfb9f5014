"""Principals that nobody can be: said when a policy is about to be served, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from vault.config import Settings, load_settings
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.server.unmatched_principals import UnmatchedPrincipals, unmatched

SETTINGS = """
[server]
cert = "server.pem"
key = "server.key"
client_ca = "ca.pem"
trust_domain = "example.org"
[database]
url = "postgresql://tokenvault@localhost/tokenvault"
[keys]
address = "https://127.0.0.1:8200/"
[keys.auth]
method = "token"
token_file = "token"
[policy]
path = "policy.yaml"
"""
JWT = """
[jwt]
[[jwt.issuers]]
issuer = "https://idp.example.org"
audience = "tokenvault"
algorithms = ["ES256"]
jwks_file = "jwks.json"
group_claim = "groups"
"""


def settings(tmp_path: Path, more: str = "") -> Settings:
    path = tmp_path / "server.toml"
    path.write_text(SETTINGS + more)
    return load_settings(path)


def policy(*principals: str) -> Policy:
    lines = "".join(f"  - {{{each}, roles: [auditor]}}\n" for each in principals)
    return parse_policy(
        "version: 1\nfields: {ssn: {format: us_ssn, generator: ff1}}\n"
        f"roles: {{auditor: [{{allow: [read_audit]}}]}}\nprincipals:\n{lines}",
        "policy.yaml",
    )


def spiffe(domain: str, name: str = "a") -> str:
    return f'spiffe: "spiffe://{domain}/{name}"'


def group(
    issuer: str = "idp.example.org", audience: str = "tokenvault", claim: str = "groups"
) -> str:
    return f'jwt: {{issuer: "https://{issuer}", audience: {audience}, claim: {claim}, value: v}}'


def test_a_trust_domain_of_no_principal_is_told(tmp_path: Path) -> None:
    found = unmatched(policy(spiffe("example.com"), spiffe("example.com", "b")), settings(tmp_path))
    assert list(found) == [
        "no principal of the policy is of server.trust_domain example.org: callers from "
        "example.com are refused (line 5 of the policy and 1 more)"
    ]


def test_so_is_one_principal_of_another(tmp_path: Path) -> None:
    both = policy(spiffe("example.org"), spiffe("example.org.evil"), spiffe("xexample.org"))
    (found,) = unmatched(both, settings(tmp_path))
    assert found.startswith("not every principal")
    assert "example.org.evil, xexample.org" in found
    assert "line 6" in found


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (group("idp.example.com"), "is of no issuer"),
        (group(audience="other"), "another audience"),
        (group(claim="roles"), "neither group_claim nor sub"),
    ],
)
def test_a_group_that_no_token_can_be_in_is_told(tmp_path: Path, entry: str, told: str) -> None:
    (found,) = unmatched(policy(spiffe("example.org"), entry), settings(tmp_path, JWT))
    assert told in found
    assert "line 6" in found


def test_groups_without_a_door_are_told(tmp_path: Path) -> None:
    (found,) = unmatched(policy(group()), settings(tmp_path))
    assert "no section jwt" in found


def test_what_matches_is_not(tmp_path: Path) -> None:
    good = policy(spiffe("example.org"), group(), group(claim="sub"))
    assert list(unmatched(good, settings(tmp_path, JWT))) == []


def test_a_policy_is_warned_of_once(tmp_path: Path) -> None:
    watch = UnmatchedPrincipals(settings(tmp_path))
    first, second = policy(spiffe("a.test")), policy(spiffe("b.test"))
    with capture_logs() as logs:
        for each in (first, first, second, second):
            watch.warn(each)
    assert [entry["event"] for entry in logs] == ["principals that nobody can be"] * 2
