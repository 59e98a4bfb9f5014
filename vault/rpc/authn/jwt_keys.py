"""An issuer's public keys, and the sources they come from.

Source: RFC 7517 (JWK, JWK Set) and RFC 7518, section 6. A key is good for the algorithms
of its kind alone, so that no token can have a key read as something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from vault.errors import ConfigError
from vault.rpc.authn.reloading import Reloading

__all__ = ["MAX_JWKS_BYTES", "FileKeys", "IssuerKeys", "KeySet", "PublicKey", "VerificationKey"]

MAX_JWKS_BYTES = 262_144
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms it may verify."""

    key: PublicKey
    algorithms: frozenset[str]


KeySet = Mapping[str, VerificationKey]
"""An issuer's keys by their ``kid``."""


class IssuerKeys(Protocol):
    """Where an issuer's keys are found."""

    def find(self, kid: str) -> VerificationKey | None:
        """Returns the key of that name as the issuer publishes it now, or None."""

    def problem(self) -> str:
        """Returns why the keys cannot be read now, or an empty text."""


class FileKeys:
    """The keys of a JWKS file, read again when it changes; a bad file leaves the old keys.

    Raises:
        ConfigError: the file is no JWKS with a key that can be used.
    """

    def __init__(self, path: Path) -> None:
        self._keys = Reloading("keys of a JWT issuer", [path], lambda: _read(path))

    def find(self, kid: str) -> VerificationKey | None:
        """Returns the key of that name, or None."""
        return self._keys.current().get(kid)

    def problem(self) -> str:
        """Returns why the file as it is now is refused, or an empty text."""
        return self._keys.problem()


def _read(path: Path) -> KeySet:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_JWKS_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"jwt.issuers: {path} cannot be read: {error.strerror}") from None
    try:
        return parse_jwks(text)
    except ValueError as error:
        raise ConfigError(f"jwt.issuers: {path} {error}") from None


def parse_jwks(text: bytes) -> KeySet:
    """Reads a JWK Set.

    Keys that cannot verify one of our algorithms (symmetric, for encryption, of unknown
    curves, RSA under 2048 bits, without ``kid``) are left out.

    Raises:
        ValueError: it is too large, no JWK Set, has a private key, two keys of one name,
            or none that can be used. The message quotes nothing.
    """
    if len(text) > MAX_JWKS_BYTES:
        raise ValueError("is too large for a JWK Set")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    listed = tree.get("keys") if isinstance(tree, dict) else None
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise ValueError(f'is not a JWK Set: it needs "keys", a list of at most {_MAX_KEYS}')
    found = dict(_usable(each for each in listed if isinstance(each, dict)))
    if not found:
        raise ValueError("has no key that can be used: RSA of 2048 bits, P-256/384/521 or Ed25519")
    return MappingProxyType(found)


def _usable(listed: Iterable[dict[str, object]]) -> Iterable[tuple[str, VerificationKey]]:
    names: set[str] = set()
    for each in listed:
        if each.get("kty") in ("RSA", "EC", "OKP") and "d" in each:
            raise ValueError("has a private key: publish public keys alone")
        kid, key = each.get("kid"), _verification_key(each)
        if not isinstance(kid, str) or not kid or key is None:
            continue
        if kid in names:
            raise ValueError("has two keys of one name (kid)")
        names.add(kid)
        yield kid, key


def _verification_key(entry: Mapping[str, object]) -> VerificationKey | None:
    if entry.get("kty") not in ("RSA", "EC", "OKP") or not _verifies(entry):
        return None
    try:
        # Only what makes the key: "alg" must not choose how PyJWT reads it.
        key: object = jwt.PyJWK({k: v for k, v in entry.items() if k != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    algorithms = _algorithms_of(key)
    named = entry.get("alg")
    if named is not None:
        algorithms &= {named} if isinstance(named, str) else set()
    if not algorithms or not isinstance(key, PublicKey):
        return None
    return VerificationKey(key, frozenset(algorithms))


def _verifies(entry: Mapping[str, object]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    named = isinstance(operations, list) and "verify" in operations
    return named and entry.get("use", "sig") == "sig"


def _algorithms_of(key: object) -> frozenset[str]:
    match key:
        case rsa.RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return _RSA
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return frozenset({_CURVES[key.curve.name]})
        case ed25519.Ed25519PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()
