"""Groups, person and auth_time, as issuers write them and as others might."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from vault.config import JwtIssuerSettings
from vault.errors import Unauthenticated
from vault.model import Group, Person
from vault.rpc.authn.jwt_claims import read_auth_time, read_groups, read_person

IDP = "https://idp.example.org"
NOW = int(time.time())


def settings(**changes: object) -> JwtIssuerSettings:
    made = {"issuer": IDP, "audience": "tokenvault", "algorithms": ["ES256"], "jwks_file": "j"}
    return JwtIssuerSettings.model_validate({**made, **changes})


def groups(claim: str, claims: Mapping[str, object]) -> set[str]:
    found = set(read_groups(settings(group_claim=claim), "alice", claims))
    assert Group(IDP, "tokenvault", "sub", "alice") in found
    assert {each[:3] for each in found} <= {
        (IDP, "tokenvault", "sub"),
        (IDP, "tokenvault", claim),
    }
    return {each.value for each in found if each.claim == claim}


def person(claim: str, claims: Mapping[str, object]) -> Person | None:
    return read_person(settings(person_claim=claim), claims)


KEYCLOAK: Mapping[str, object] = {
    "groups": ["/staff", "/staff/fraud"],
    "realm_access": {"roles": ["fraud_lead", "offline_access"]},
    "resource_access": {"my.app": {"roles": ["analyst"]}, "a/b": {"roles": ["x"]}},
}


@pytest.mark.parametrize(
    ("claim", "claims", "expected"),
    [
        ("groups", KEYCLOAK, {"/staff", "/staff/fraud"}),
        ("/realm_access/roles", KEYCLOAK, {"fraud_lead", "offline_access"}),
        ("/resource_access/my.app/roles", KEYCLOAK, {"analyst"}),
        ("/resource_access/a~1b/roles", KEYCLOAK, {"x"}),
        ("/resource_access/other/roles", KEYCLOAK, set()),
        ("/groups", {"groups": ["Everyone", "fraud"]}, {"Everyone", "fraud"}),  # Okta
        ("groups", {"groups": ["0d4e-guid"], "hasgroups": False}, {"0d4e-guid"}),  # Entra ID
        ("roles", {"roles": ["Fraud.Lead"]}, {"Fraud.Lead"}),
        ("https://example.com/roles", {"https://example.com/roles": ["lead"]}, {"lead"}),  # Auth0
        ("hd", {"hd": "example.org"}, {"example.org"}),  # Google
        ("groups", {"groups": [{"value": "g1", "display": "Fraud"}]}, {"g1"}),  # RFC 9068, SCIM
        ("cognito:groups", {"cognito:groups": ["a"]}, {"a"}),
        ("/a~01", {"a~1": "x", "a/": "y"}, {"x"}),
    ],
)
def test_groups_are_found_where_the_issuer_lists_them(
    claim: str, claims: Mapping[str, object], expected: set[str]
) -> None:
    assert groups(claim, claims) == expected


def test_a_group_within_another_is_no_member_of_it() -> None:
    assert "/staff" not in groups("groups", {"groups": ["/staff/fraud"]})


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("groups", {"groups": None}),
        ("groups", {"groups": {"admin": {}}}),
        ("groups", {"groups": [["fraud"]]}),
        ("groups", {"groups": [{"display": "fraud"}]}),
        ("groups", {"groups": [{"value": 7}]}),
        ("groups", {"groups": ["g"] * 257}),
        ("/realm_access/roles", {"realm_access": "roles"}),
        ("/realm_access/roles", {"realm_access": [{"roles": ["x"]}]}),
        ("/realm_access/roles", {"realm_access": None}),
        # Entra ID, of somebody in more than 200 groups: one of them may be denied something.
        ("groups", {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}),
        ("groups", {"hasgroups": True}),
        ("groups", {"hasgroups": "true"}),
        ("groups", {"_claim_names": "groups"}),
        ("/realm_access/roles", {"_claim_names": {"realm_access": "src1"}}),
    ],
)
def test_groups_that_are_not_so_are_refused(claim: str, claims: Mapping[str, object]) -> None:
    with pytest.raises(Unauthenticated):
        groups(claim, claims)


@pytest.mark.parametrize("claim", ["realm_access.roles", "a.b", "/a//b", "/a/", "/", "/a~b", "/~"])
def test_a_path_that_could_be_read_in_two_ways_is_refused(claim: str) -> None:
    with pytest.raises(ValidationError, match=r"dot|JSON Pointer"):
        settings(group_claim=claim)
    with pytest.raises(ValidationError, match=r"dot|JSON Pointer"):
        settings(person_claim=claim)


def test_nobody_is_a_person_until_the_settings_say_which_claim_names_one() -> None:
    assert read_person(settings(), {"sub": "alice", "oid": "1"}) is None


def test_a_workload_of_the_issuer_has_no_person() -> None:
    assert person("oid", {"sub": "service-account-etl"}) is None


@pytest.mark.parametrize(
    ("claim", "claims", "value"),
    [
        ("sub", {"sub": "alice"}, "alice"),
        ("oid", {"sub": "pairwise-1", "oid": "0d4e"}, "0d4e"),
        ("email", {"email": "ann@example.org", "email_verified": True}, "ann@example.org"),
        ("/employee/number", {"employee": {"number": "E7"}}, "E7"),
    ],
)
def test_a_person_is_issuer_claim_and_value(
    claim: str, claims: Mapping[str, object], value: str
) -> None:
    assert person(claim, claims) == Person(IDP, claim, value)


def test_no_two_issuers_and_no_two_claims_have_one_person() -> None:
    claims = {"sub": "a", "oid": "a"}
    other = read_person(settings(issuer="https://other.example.org", person_claim="sub"), claims)
    assert len({person("sub", claims), person("oid", claims), other, None}) == 4


@pytest.mark.parametrize(
    "value",
    [
        None, "", " ", "a b", "a\nb", "a\x00", "\u202eecila", "аlice", "ａlice", "alice\u200b",
        "é", "a" * 256, 7, 7.0, True, [], ["alice"], {"value": "alice"}, {}, "\ud800",
    ],
    ids=repr,
)  # fmt: skip
def test_what_could_pass_for_another_person_is_refused(value: object) -> None:
    with pytest.raises(Unauthenticated, match="the token's person is not"):
        person("oid", {"oid": value})


@pytest.mark.parametrize("verified", [None, False, "true", 1, "missing"])
def test_an_address_that_nobody_verified_names_nobody(verified: object) -> None:
    claims: dict[str, object] = {"email": "ann@example.org", "email_verified": verified}
    if verified == "missing":
        del claims["email_verified"]
    with pytest.raises(Unauthenticated, match="not verified"):
        person("email", claims)


def test_a_person_that_is_elsewhere_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="elsewhere"):
        person("oid", {"_claim_names": {"oid": "src1"}})
    with pytest.raises(Unauthenticated):
        person("/employee/number", {"employee": "E7"})


def test_auth_time_is_when_the_person_logged_in() -> None:
    found = read_auth_time(settings(), {"auth_time": NOW - 3600}, NOW)
    assert found == datetime.fromtimestamp(NOW - 3600, UTC)
    assert read_auth_time(settings(), {}, NOW) is None


@pytest.mark.parametrize("ahead", [11, 1e6, 1e11])
def test_an_auth_time_after_the_token_was_made_is_refused(ahead: float) -> None:
    with pytest.raises(Unauthenticated, match="future"):
        read_auth_time(settings(), {"auth_time": NOW - 100 + ahead}, NOW - 100)
    assert read_auth_time(settings(), {"auth_time": NOW - 100 + 9}, NOW - 100)


def test_an_auth_time_after_now_is_refused_whatever_the_token_says() -> None:
    with pytest.raises(Unauthenticated, match="future"):
        read_auth_time(settings(), {"auth_time": NOW + 1000}, NOW + 1000)


@pytest.mark.parametrize(
    "value", [None, "1", True, -1, 1e300, float("nan"), float("inf"), 10**400, [1], {}], ids=repr
)
def test_an_auth_time_that_is_no_time_is_refused(value: object) -> None:
    with pytest.raises((ValueError, Unauthenticated)):
        read_auth_time(settings(), {"auth_time": value}, NOW)
