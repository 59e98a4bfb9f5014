"""Tokens as callers might bring them. Whatever is not exactly right is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vault.config import JwtIssuerSettings
from vault.errors import Reason, Unauthenticated
from vault.model import Group, Person, Principal
from vault.rpc.authn.jwt_identity import JwtIdentifier, TrustedIssuer
from vault.rpc.authn.jwt_keys import KeySet, VerificationKey, parse_jwks

IDP = "https://idp.example.org"
OTHER = "https://other.example.org"
AUDIENCE = "tokenvault"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
NOW = int(time.time())
RSA_KEY = rsa.generate_private_key(65537, 2048)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def jwk(key: PrivateKey, kid: str) -> dict[str, object]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return {**jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True), "kid": kid}
    return {**jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True), "kid": kid}


@dataclass
class Keys:
    keys: KeySet

    def find(self, kid: str) -> VerificationKey | None:
        return self.keys.get(kid)

    def problem(self) -> str:
        return ""


def issuer(
    name: str, algorithms: tuple[str, ...], person_claim: str | None = None, **keys: PrivateKey
) -> TrustedIssuer:
    settings = JwtIssuerSettings.model_validate(
        {
            "issuer": name,
            "audience": AUDIENCE,
            "algorithms": list(algorithms),
            "jwks_file": "jwks.json",
            "person_claim": person_claim,
        }
    )
    text = json.dumps({"keys": [jwk(key, kid) for kid, key in keys.items()]})
    return TrustedIssuer(settings, Keys(parse_jwks(text.encode())))


IDENTIFIER = JwtIdentifier(
    (
        issuer(IDP, ("ES256", "RS256"), "/human/id", ours=EC_KEY, rsa=RSA_KEY),
        issuer(OTHER, ("ES256",), theirs=OTHER_KEY),
    )
)


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    made: dict[str, object] = {
        "iss": IDP,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now,
        # Longer than the whole suite may run after collecting these tests.
        "exp": now + 10_800,
        "jti": "id-1",
        "groups": ["fraud", "staff"],
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def token(
    payload: Mapping[str, object] | None = None,
    *,
    key: PrivateKey = EC_KEY,
    algorithm: str = "ES256",
    **header: object,
) -> str:
    headers: dict[str, object] = {"kid": "ours", **header}
    headers = {name: value for name, value in headers.items() if value is not None}
    # Not jwt.encode: it will not write claims as wrong as some of these.
    body = json.dumps(dict(payload or claims())).encode()
    return jwt.PyJWS().encode(body, key, algorithm=algorithm, headers=headers)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refusal(text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        IDENTIFIER.identity_of(text)
    assert caught.value.reason is Reason.UNAUTHENTICATED
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.message


def test_a_good_token_is_a_principal_with_its_groups() -> None:
    identity = IDENTIFIER.identity_of(token())
    assert (identity.principal.issuer, identity.principal.subject) == (IDP, "alice")
    assert identity.principal.groups == {
        Group(IDP, AUDIENCE, "sub", "alice"),
        Group(IDP, AUDIENCE, "groups", "fraud"),
        Group(IDP, AUDIENCE, "groups", "staff"),
    }
    assert str(identity.principal) == f"{IDP}#alice"
    assert identity.credential == "id-1"
    assert 10_790 < identity.expires.timestamp() - time.time() <= 10_800


def test_a_person_may_come_by_several_subjects() -> None:
    human = {"id": "E7", "name": "Alice"}
    tokens = [token(claims(sub=sub, human=human, auth_time=NOW - 60)) for sub in ("a", "b")]
    first, second = map(IDENTIFIER.identity_of, tokens)
    assert first.principal != second.principal
    assert first.person == second.person == Person(IDP, "/human/id", "E7")
    assert first.auth_time is not None
    assert first.auth_time.timestamp() == NOW - 60


def test_a_token_that_names_no_person_is_a_workloads() -> None:
    identity = IDENTIFIER.identity_of(token())
    assert (identity.person, identity.auth_time) == (None, None)
    # The other issuer's settings do not say which claim would name one.
    other = token(claims(iss=OTHER, human={"id": "E7"}), key=OTHER_KEY, kid="theirs")
    assert IDENTIFIER.identity_of(other).person is None


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        (token(claims(groups="fraud")), {"fraud"}),
        (token(claims(groups=None)), set()),
        (token(claims(groups=[])), set()),
        (token(claims(roles=["fraud"], groups=None)), set()),
    ],
)
def test_groups_are_the_configured_claim_alone(text: str, groups: set[str]) -> None:
    found = IDENTIFIER.identity_of(text).principal.groups
    assert {each.value for each in found if each.claim != "sub"} == groups


@pytest.mark.parametrize(
    "text",
    [
        token(claims(aud=["other", AUDIENCE])),
        token(claims(nbf=int(time.time()) - 50)),
        token(key=RSA_KEY, algorithm="RS256", kid="rsa"),
        token(typ="at+jwt"),
        token(typ=None),
    ],
)
def test_what_the_standards_allow_passes(text: str) -> None:
    assert IDENTIFIER.identity_of(text).principal.subject == "alice"


def test_clocks_may_differ_a_little() -> None:
    now = int(time.time())
    for payload in (claims(exp=now - 5), claims(nbf=now + 5), claims(iat=now + 5)):
        assert IDENTIFIER.identity_of(token(payload)).principal.subject == "alice"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (claims(exp=NOW - 60), "expired"),
        (claims(exp=None), "lacks one of"),
        (claims(iat=None), "lacks one of"),
        (claims(sub=None), "lacks one of"),
        (claims(aud=None), "lacks one of"),
        (claims(iss=None), "issuer is not known"),
        (claims(nbf=NOW + 80_000), "not valid yet"),
        (claims(iat=NOW + 70_000, exp=NOW + 80_000), "not valid yet"),
        (claims(aud="other"), "another audience"),
        (claims(aud=["other", "others"]), "another audience"),
        (claims(aud=[AUDIENCE, 7]), "another audience"),
        (claims(aud={AUDIENCE: 1}), "another audience"),
        (claims(iss=f"{IDP}/"), "issuer is not known"),
        (claims(iss=[IDP]), "issuer is not known"),
        (claims(exp=NOW + 90_000), "longer than"),
        (claims(exp="soon"), "cannot be read"),
        (claims(exp=1e300), "cannot be read"),
        (claims(exp=float("inf")), "cannot be read"),
        (claims(iat=True), "cannot be read"),
        (claims(sub=7), "cannot be read"),
        (claims(sub=""), "subject"),
        (claims(sub="a b"), "subject"),
        (claims(sub="a\nb"), "subject"),
        (claims(sub="a" * 256), "subject"),
        (claims(groups=7), "groups"),
        (claims(groups=["fraud", 7]), "groups"),
        (claims(groups=["g"] * 257), "groups"),
        (claims(human={"id": "Е7"}), "person"),
        (claims(human={"id": ["E7"]}), "person"),
        (claims(human="E7"), "holds no others"),
        (claims(_claim_names={"groups": "src1"}, groups=None), "elsewhere"),
        (claims(auth_time=NOW + 70_000), "auth_time is in the future"),
        (claims(auth_time="now"), "cannot be read"),
        (claims(auth_time=10**400), "cannot be read"),
    ],
)
def test_a_token_whose_claims_are_wrong_is_refused(
    payload: dict[str, object], message: str
) -> None:
    assert message in refusal(token(payload))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (token(kid="nobody"), "key is not one of its issuer's"),
        (token(kid=None), "does not name its key"),
        (token(kid="theirs"), "key is not one of its issuer's"),
        (token(kid="rsa"), "not one of its key's"),
        (token(key=OTHER_KEY), "signature is wrong"),
        (token(key=RSA_KEY, algorithm="PS256", kid="rsa"), "algorithm is not one of its issuer's"),
        (token(claims(iss=OTHER)), "key is not one of its issuer's"),
        (token(claims(iss=OTHER), kid="theirs"), "signature is wrong"),
        (token(jku="https://evil.example/jwks.json"), "brings a key"),
        (token(x5u="https://evil.example/cert.pem"), "brings a key"),
        (token(jwk=jwk(OTHER_KEY, "ours"), key=OTHER_KEY), "brings a key"),
        (token(x5c=["AA=="]), "brings a key"),
        (token(crit=["exp"], exp=1), "cannot be read"),
        (token(typ="logout+jwt"), "another type"),
        (token(typ="dpop+jwt"), "another type"),
    ],
)
def test_a_token_whose_header_is_wrong_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize("name", ["none", "None", "nOnE", ""])
def test_an_unsigned_token_is_refused(name: str) -> None:
    head = part({"alg": name, "typ": "JWT", "kid": "ours"})
    for signature in ("", "AA"):
        assert refusal(f"{head}.{part(claims())}.{signature}")


@pytest.mark.parametrize("kid", ["ours", "rsa"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(kid: str, algorithm: str) -> None:
    public = RSA_KEY.public_key() if kid == "rsa" else EC_KEY.public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': kid})}.{part(claims())}"
    mac = hmac.new(pem, signed.encode(), {"HS256": hashlib.sha256}.get(algorithm, hashlib.sha512))
    signature = base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
    assert "algorithm" in refusal(f"{signed}.{signature}")


def test_another_issuers_group_is_another_group() -> None:
    identity = IDENTIFIER.identity_of(token(claims(iss=OTHER), key=OTHER_KEY, kid="theirs"))
    assert Group(OTHER, AUDIENCE, "groups", "fraud") in identity.principal.groups
    assert not any(group.issuer == IDP for group in identity.principal.groups)
    assert identity.principal != Principal(IDP, "alice", identity.principal.groups)


def test_a_changed_token_is_refused() -> None:
    head, _, signature = token().split(".")
    assert "signature" in refusal(f"{head}.{part(claims(sub='root'))}.{signature}")


@pytest.mark.parametrize(
    "text",
    ["", "a", "a.b", "a.b.c", "..", "[].{}.x", f"{part([])}.{part([])}.AA", part({}) + ".e30.AA",
     f"{part({'alg': 7, 'kid': 'ours'})}.{part(claims())}.AA",
     base64.urlsafe_b64encode(b"[" * 6000).decode() + ".e30.AA"],
)  # fmt: skip
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refusal(text)


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def respelled(text: str) -> list[str]:
    """Returns the other spellings of an ES256 token that a holder can make and that verify."""
    signed, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = (_P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    made = base64.urlsafe_b64encode(raw[:32] + other).rstrip(b"=").decode()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    padded = signature[:-1] + letters[letters.index(signature[-1]) ^ 1]
    return [f"{signed}.{made}", f"{signed}.{padded}"]


@pytest.mark.parametrize("jti", [None, "id-1"])
def test_a_token_has_one_name_however_its_signature_is_spelled(jti: str | None) -> None:
    text = token(claims(jti=jti))
    first = IDENTIFIER.identity_of(text)
    accepted = 0
    for other in respelled(text):
        assert other != text
        try:
            found = IDENTIFIER.identity_of(other)
        except Unauthenticated:
            continue
        accepted += 1
        assert (found.credential, found.principal) == (first.credential, first.principal)
    assert accepted


def test_a_token_without_an_id_is_known_by_a_digest() -> None:
    text = token(claims(jti=None))
    assert IDENTIFIER.identity_of(text).credential == (
        f"sha256:{hashlib.sha256(text.rpartition('.')[0].encode()).hexdigest()[:32]}"
    )
    odd = token(claims(jti="with space"))
    assert IDENTIFIER.identity_of(odd).credential.startswith("sha256:")


@dataclass
class Context:
    """The part of a servicer context that the identifier uses."""

    metadata: tuple[tuple[str, str | bytes], ...]

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self.metadata


def called_with(*values: str | bytes, key: str = "authorization") -> grpc.ServicerContext:
    return cast("grpc.ServicerContext", Context(tuple((key, value) for value in values)))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_comes_as_bearer(scheme: str) -> None:
    assert IDENTIFIER(called_with(f"{scheme} {token()}")).principal.subject == "alice"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda good: called_with(), "no authorization"),
        (lambda good: called_with(good, key="x-authorization"), "no authorization"),
        (lambda good: called_with(good, good), "several"),
        (lambda good: called_with(good.encode()), "no bearer"),
        (lambda good: called_with(good.removeprefix("Bearer ")), "no bearer"),
        (lambda good: called_with(good.replace("Bearer", "Basic")), "no bearer"),
        (lambda good: called_with(good + " "), "no bearer"),
        (lambda good: called_with(good + "\n"), "no bearer"),
        (lambda good: called_with(good + "A" * 8192), "no bearer"),
    ],
)
def test_anything_else_is_no_identity(
    make: Callable[[str], grpc.ServicerContext], message: str
) -> None:
    with pytest.raises(Unauthenticated, match=message):
        IDENTIFIER(make(f"Bearer {token()}"))
