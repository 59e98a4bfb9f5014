"""Which keys of a JWKS count, and for what."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from vault.rpc.authn.jwt_keys import parse_jwks

RSA = jwt.algorithms.RSAAlgorithm.to_jwk(
    rsa.generate_private_key(65537, 2048).public_key(), as_dict=True
)
PRIVATE_EC = ec.generate_private_key(ec.SECP256R1())
EC = jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE_EC.public_key(), as_dict=True)


def jwks(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def named(key: dict[str, object], kid: str = "k", **more: object) -> dict[str, object]:
    return {**key, "kid": kid, **more}


def ec_key(curve: ec.EllipticCurve) -> dict[str, object]:
    public = ec.generate_private_key(curve).public_key()
    return named(jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True))


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (named(RSA), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (named(RSA, alg="RS512"), {"RS512"}),
        (named(RSA, use="sig", key_ops=["verify"]), {"RS256", "RS384", "RS512"} | {
            "PS256", "PS384", "PS512"}),
        (ec_key(ec.SECP256R1()), {"ES256"}),
        (ec_key(ec.SECP384R1()), {"ES384"}),
        (ec_key(ec.SECP521R1()), {"ES512"}),
        (
            named(
                jwt.algorithms.OKPAlgorithm.to_jwk(
                    ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True
                )
            ),
            {"EdDSA"},
        ),
    ],
)  # fmt: skip
def test_a_key_is_good_for_its_kind(key: dict[str, object], algorithms: set[str]) -> None:
    assert parse_jwks(jwks(key))["k"].algorithms == algorithms


WEAK = jwt.algorithms.RSAAlgorithm.to_jwk(
    rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 - to be refused
    as_dict=True,
)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"},
        named(RSA, "x", use="enc"),
        named(RSA, "x", key_ops=["encrypt"]),
        named(RSA, "x", key_ops="verify"),
        named(RSA, "x", alg="HS256"),
        named(RSA, "x", alg="none"),
        named(RSA, "x", alg="ES256"),
        named(RSA, "x", alg=7),
        named(EC, "x", alg="RS256"),
        named(EC, "x", crv="secp256k1"),
        named(EC, "x", x="AAAA"),
        named(WEAK, "x"),
        dict(RSA),
        named(RSA, ""),
        {**RSA, "kid": 7},
        {"kid": "x"},
        {},
        "x",
        None,
    ],
)
def test_a_key_that_cannot_be_used_is_left_out(key: object) -> None:
    assert set(parse_jwks(jwks(key, named(EC)))) == {"k"}
    with pytest.raises(ValueError, match="no key that can be used"):
        parse_jwks(jwks(key))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JWK Set"),
        (b'{"keys": {}}', "not a JWK Set"),
        (jwks(*[{}] * 101), "not a JWK Set"),
        (jwks(), "no key"),
        (jwks(named(RSA), named(EC)), "two keys of one name"),
        (b" " * 300_000, "too large"),
        (
            jwks(named(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE_EC, as_dict=True))),
            "private key",
        ),
    ],
)
def test_what_is_no_key_set_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_jwks(text)
