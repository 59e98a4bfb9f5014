"""Who calls, read from the bearer token of the JWT listener.

Source: RFC 7519 (JWT), RFC 7515 (JWS), RFC 8725 (best current practice): issuer, audience
and algorithms are the configuration's, keys come from the configured JWKS alone, and
whatever in a token's header would bring keys of its own makes the token worthless.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
import jwt

from vault.config import JwtIssuerSettings
from vault.errors import Unauthenticated
from vault.model import Principal
from vault.rpc.authn.identity import Identity
from vault.rpc.authn.jwt_claims import (
    NAME,
    read_auth_time,
    read_groups,
    read_person,
    read_seconds,
)
from vault.rpc.authn.jwt_keys import IssuerKeys, VerificationKey

__all__ = ["JwtIdentifier", "TrustedIssuer"]

_MAX_TOKEN = 8192
_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.I | re.ASCII)
# RFC 7515, section 4.1: headers that bring a key, or say where to fetch one, or ask for
# what we do not do.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "cty"})
# RFC 9068 has "at+jwt"; other types (logout+jwt, dpop+jwt) are no credentials.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_REQUIRED = ["iss", "aud", "exp", "iat", "sub"]

# The first that fits names the refusal; one of a fixed set, so that refusals are counted.
_REFUSALS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is meant for another audience"),
    (jwt.InvalidIssuerError, "the token's issuer is not known here"),
    (jwt.MissingRequiredClaimError, "the token lacks one of iss, aud, exp, iat and sub"),
    (jwt.InvalidSignatureError, "the token's signature is wrong"),
)
_MALFORMED = "the call's token cannot be read"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer's settings and keys."""

    settings: JwtIssuerSettings
    keys: IssuerKeys


class JwtIdentifier:
    """Identifies callers by their token and by nothing else; certificates do not count."""

    def __init__(self, issuers: tuple[TrustedIssuer, ...]) -> None:
        self._issuers: Mapping[str, TrustedIssuer] = {
            each.settings.issuer: each for each in issuers
        }

    def __call__(self, context: grpc.ServicerContext) -> Identity:
        """Returns who makes a call. Raises Unauthenticated."""
        return self.identity_of(_token(context))

    def identity_of(self, token: str) -> Identity:
        """Verifies a token in JWS compact form.

        Raises:
            Unauthenticated: anything is wrong with it; the message quotes nothing of it.
        """
        try:
            issuer = self._issuer_of(token)
            key, algorithm = _key_of(token, issuer)
            claims = _verified(token, issuer.settings, key, algorithm)
            return _identity(token, issuer.settings, claims)
        except jwt.PyJWTError as error:
            fits = (text for kind, text in _REFUSALS if isinstance(error, kind))
            raise Unauthenticated(next(fits, _MALFORMED)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated(_MALFORMED) from None

    def _issuer_of(self, token: str) -> TrustedIssuer:
        # Unverified: it only chooses whose keys must verify it.
        unverified = jwt.decode(token, options={"verify_signature": False})
        named: object = unverified.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise jwt.InvalidIssuerError
        return issuer


_NOTHING_CARRIED = (
    "the call carries no authorization metadata: this port is for callers with a JWT, and "
    "certificates go to the other one"
)


def _token(context: grpc.ServicerContext) -> str:
    found = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not found:
        raise Unauthenticated(_NOTHING_CARRIED)
    if len(found) > 1:
        raise Unauthenticated("the call carries several authorization metadata")
    text = found[0]
    match = _BEARER.fullmatch(text) if isinstance(text, str) and len(text) < _MAX_TOKEN else None
    if match is None:
        raise Unauthenticated("the call's authorization is no bearer token in JWS compact form")
    return match[1]


def _key_of(token: str, issuer: TrustedIssuer) -> tuple[VerificationKey, str]:
    header: Mapping[str, object] = jwt.get_unverified_header(token)
    if _REFUSED_HEADERS & header.keys():
        raise Unauthenticated("the token's header brings a key or an extension")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("the token is of another type than JWT")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in issuer.settings.algorithms:
        raise Unauthenticated("the token's algorithm is not one of its issuer's")
    kid = header.get("kid")
    if not isinstance(kid, str) or not NAME.fullmatch(kid):
        raise Unauthenticated("the token does not name its key (kid)")
    key = issuer.keys.find(kid)
    if key is None:
        raise Unauthenticated("the token's key is not one of its issuer's")
    if algorithm not in key.algorithms:
        raise Unauthenticated("the token's algorithm is not one of its key's")
    return key, algorithm


def _verified(
    token: str, settings: JwtIssuerSettings, key: VerificationKey, algorithm: str
) -> Mapping[str, object]:
    return jwt.decode(
        token,
        key.key,
        algorithms=[algorithm],
        audience=settings.audience,
        issuer=settings.issuer,
        leeway=settings.leeway,
        options={"require": _REQUIRED, "enforce_minimum_key_length": True},
    )


def _identity(token: str, settings: JwtIssuerSettings, claims: Mapping[str, object]) -> Identity:
    expires, issued = read_seconds(claims["exp"]), read_seconds(claims["iat"])
    if expires - issued > settings.max_lifetime.total_seconds():
        raise Unauthenticated("the token was made for longer than its issuer's tokens may live")
    subject = claims["sub"]
    if not isinstance(subject, str) or not NAME.fullmatch(subject):
        raise Unauthenticated("the token's subject is not 1 to 255 visible ASCII characters")
    groups = frozenset(read_groups(settings, subject, claims))
    return Identity(
        Principal(settings.issuer, subject, groups),
        _credential(token, claims.get("jti")),
        datetime.fromtimestamp(expires, UTC),
        read_person(settings, claims),
        read_auth_time(settings, claims, issued),
    )


def _credential(token: str, jti: object) -> str:
    """Returns what the audit calls the token: its id, or a digest that does not open it.

    Of what is signed alone: a signature has several spellings (of ECDSA ``s`` and ``n - s``,
    and the last bits of base64url), so whoever holds a token could have it named otherwise.
    """
    if isinstance(jti, str) and NAME.fullmatch(jti):
        return jti
    signed = token.rpartition(".")[0]
    return f"sha256:{hashlib.sha256(signed.encode()).hexdigest()[:32]}"
