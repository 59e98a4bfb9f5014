"""The development issuer of JWTs: one key, its JWKS file, and a token a role.

It signs as whichever issuers the policy names. Tokens are reissued at every start and
valid 30 days, like the certificates; they are workloads', without a person. People log in.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vault.dev.device_logins import Approval
from vault.dev.private_files import private_directory, write_private
from vault.errors import ConfigError
from vault.model import Group
from vault.policy.model import Policy
from vault.rpc.authn.jwt_claims import claim_path

__all__ = ["IssuerSettings", "JwtCallers", "JwtIssuer", "choose_jwt_callers"]

ALGORITHM = "ES256"
VALIDITY = dt.timedelta(days=30)
PERSON_CLAIM = "email"
_LOGIN_SECONDS = 3600
_BACKDATE = dt.timedelta(seconds=30)
_DEFAULT = Group("https://idp.example.org", "tokenvault", "groups", "")


class IssuerSettings(NamedTuple):
    """What the server must know of an issuer."""

    issuer: str
    audience: str
    group_claim: str
    jwks_file: Path

    def as_section(self) -> Mapping[str, str | Sequence[str]]:
        """Returns it as an item of ``jwt.issuers``."""
        return {
            "issuer": self.issuer,
            "audience": self.audience,
            "group_claim": self.group_claim,
            "person_claim": PERSON_CLAIM,
            "algorithms": [ALGORITHM],
            "jwks_file": str(self.jwks_file),
            "max_lifetime": f"{VALIDITY.days}d",
        }


class JwtCallers(NamedTuple):
    """A group of a JWT issuer for each role, and each issuer's claim of groups."""

    groups: Mapping[str, Group]
    issuers: Mapping[str, Group]

    def settings(self, jwks_file: Path) -> list[IssuerSettings]:
        """Returns what the server must know of each issuer."""
        return [
            IssuerSettings(each.issuer, each.audience, each.claim, jwks_file)
            for each in self.issuers.values()
        ]


def choose_jwt_callers(policy: Policy) -> JwtCallers:
    """Chooses for each role the group with the fewest other roles.

    A role that no group holds gets a group of its own name, which the policy then refuses.
    Raises ConfigError where an issuer has two audiences or claims of groups: a server
    knows one of each.
    """
    held = [
        (each.principal, each.roles)
        for each in policy.bindings
        if isinstance(each.principal, Group)
    ]
    issuers: dict[str, Group] = {}
    for group, _ in held:
        claim = _DEFAULT.claim if group.claim == "sub" else group.claim
        known = issuers.setdefault(group.issuer, group._replace(claim=claim))
        if known.audience != group.audience or group.claim not in (known.claim, "sub"):
            raise ConfigError(
                "the policy has several audiences or claims of one JWT issuer, and a server "
                "knows one of each: give `tokenvault dev` a policy with one"
            )
    issuers = issuers or {_DEFAULT.issuer: _DEFAULT}
    first = next(iter(issuers.values()))
    groups = {role: first._replace(value=role.replace("_", "-")) for role in policy.roles}
    for group, roles in sorted(held, key=lambda each: len(each[1]), reverse=True):
        groups |= dict.fromkeys(roles, group)
    return JwtCallers(groups, issuers)


def _put_group(claims: dict[str, object], group: Group) -> None:
    """Writes a group where the server looks for it: a claim, or one in others by its path."""
    if group.claim == "sub":
        claims["sub"] = group.value
        return
    first, *rest = claim_path(group.claim)
    value: object = [group.value]
    for part in reversed(rest):
        value = {part: value}
    claims[first] = value


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class JwtIssuer:
    """Signs tokens with a key in a directory (0700). ``clock`` is aware of its zone."""

    def __init__(self, directory: Path, *, clock: Callable[[], dt.datetime] = _now) -> None:
        self._directory = private_directory(directory)
        self._clock = clock
        self._key = self._load_or_make(directory / "issuer.key")
        self.jwks_path = directory / "jwks.json"
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        # RFC 7638 would do as well; a name that is the same at every start will.
        self._kid = f"dev-{str(public['x'])[:16]}"
        entry = public | {"kid": self._kid, "use": "sig", "alg": ALGORITHM}
        write_private(self.jwks_path, json.dumps({"keys": [entry]}, indent=2) + "\n")

    def sign(self, claims: Mapping[str, object]) -> str:
        """Returns a token of the claims, in JWS compact form."""
        return jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers={"kid": self._kid})

    def issue(self, callers: JwtCallers) -> Mapping[str, Path]:
        """Writes a token for each role (0600) and returns the files."""
        home = private_directory(self._directory / "tokens")
        return {
            role: write_private(home / f"{role}.jwt", self.sign(self._claims(role, group)) + "\n")
            for role, group in sorted(callers.groups.items())
        }

    def _claims(self, role: str, group: Group) -> Mapping[str, object]:
        now = self._clock() - _BACKDATE
        claims: dict[str, object] = {
            "iss": group.issuer,
            "aud": group.audience,
            "sub": f"dev-{role}",
            "iat": int(now.timestamp()),
            "exp": int((now + VALIDITY).timestamp()),
            "jti": secrets.token_hex(8),
        }
        _put_group(claims, group)
        return claims

    def login_token(self, callers: JwtCallers, approval: Approval) -> tuple[str, int]:
        """Returns the token of a person who logged in, and for how many seconds it is good."""
        group = callers.groups[approval.role]
        now = self._clock()
        claims: dict[str, object] = {
            "iss": group.issuer,
            "aud": group.audience,
            "sub": approval.person,
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + _LOGIN_SECONDS,
            "jti": secrets.token_hex(8),
            "auth_time": int(approval.time),
            PERSON_CLAIM: f"{approval.person}@{urlsplit(group.issuer).hostname}",
            "email_verified": True,
        }
        _put_group(claims, group)
        return self.sign(claims), _LOGIN_SECONDS

    def _load_or_make(self, path: Path) -> ec.EllipticCurvePrivateKey:
        if path.exists():
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError(f"{path} holds no elliptic-curve key")
            return key
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(path, pem)
        return key
