"""What the claims of a verified JWT say of a caller: groups, person, when it logged in.

Source: OpenID Connect Core 1.0, sections 2 (``auth_time``), 5.1 (``email_verified``) and 5.6.2
(claims that are elsewhere); RFC 9068, section 2.2.3.1 (groups as SCIM writes them); RFC 6901
(JSON Pointer). Whatever is there and not as it should be makes the token worthless: a claim
that is passed over may be the one that a policy denies by.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from vault.config import JwtIssuerSettings
from vault.errors import Unauthenticated
from vault.model import Group, Person

__all__ = ["NAME", "claim_path", "read_auth_time", "read_groups", "read_person", "read_seconds"]

NAME = re.compile(r"[!-~]{1,255}", re.ASCII)
"""What may stand in the audit and the log as a name.

OpenID Connect Core 1.0, section 2: a subject has at most 255 ASCII characters. No letter of
another script can pass for one of them.
"""

_MAX_GROUPS = 256
_LATEST = 253_402_300_799  # the last second that a date can have
_GROUPS = "the token's groups are not up to 256 strings"
_PERSON = "the token's person is not 1 to 255 visible ASCII characters"
_NOT_NESTED = "the token's groups or person are in a claim that holds no others"
_MISSING = object()
_ELSEWHERE = "the token leaves out groups or person, and says that they are elsewhere"


def read_groups(
    settings: JwtIssuerSettings, subject: str, claims: Mapping[str, object]
) -> Iterator[Group]:
    """Yields what a policy may give roles to. Raises Unauthenticated and ValueError."""
    yield Group(settings.issuer, settings.audience, "sub", subject)
    name = settings.group_claim
    if name == "sub":
        return
    path = claim_path(name)
    # Entra ID has no room for more than 200 groups; where it leaves them out it says so.
    if path[0] == "groups" and claims.get("hasgroups", False) is not False:
        raise Unauthenticated(_ELSEWHERE)
    for value in _listed(_find(claims, path, [])):
        yield Group(settings.issuer, settings.audience, name, value)


def _listed(found: object) -> Iterator[str]:
    listed = found if isinstance(found, list) else [found]
    if len(listed) > _MAX_GROUPS:
        raise Unauthenticated(_GROUPS)
    for each in listed:
        value: object = each.get("value") if isinstance(each, dict) else each
        if not isinstance(value, str):
            raise Unauthenticated(_GROUPS)
        yield value


def read_person(settings: JwtIssuerSettings, claims: Mapping[str, object]) -> Person | None:
    """Returns the person that a token is of, None for a workload's.

    Raises Unauthenticated, also for an e-mail address that the issuer has not verified:
    whoever may write their own could be anybody.
    """
    name = settings.person_claim
    if name is None:
        return None
    value = _find(claims, claim_path(name), _MISSING)
    if value is _MISSING:
        return None
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise Unauthenticated(_PERSON)
    if name == "email" and claims.get("email_verified") is not True:
        raise Unauthenticated("the token's e-mail address is not verified, and names a person")
    return Person(settings.issuer, name, value)


def read_auth_time(
    settings: JwtIssuerSettings, claims: Mapping[str, object], issued: float
) -> datetime | None:
    """Returns when the person proved to the issuer who they are, None where it does not say.

    Raises Unauthenticated for a time after the token's or our own, and ValueError.
    """
    if "auth_time" not in claims:
        return None
    seconds = read_seconds(claims["auth_time"])
    if seconds > min(issued, time.time()) + settings.leeway.total_seconds():
        raise Unauthenticated("the token's auth_time is in the future")
    return datetime.fromtimestamp(seconds, UTC)


def read_seconds(claim: object) -> float:
    """Returns a NumericDate (RFC 7519, section 2). Raises ValueError."""
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not 0 <= claim <= _LATEST:
        raise ValueError
    return claim


def claim_path(name: str) -> tuple[str, ...]:
    """Returns the claim, and what to go on by within it: the settings' JSON Pointer, or one."""
    if not name.startswith("/"):
        return (name,)
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/"))


def _find(claims: Mapping[str, object], path: tuple[str, ...], missing: object) -> object:
    elsewhere = claims.get("_claim_names", {})
    if not isinstance(elsewhere, Mapping) or path[0] in elsewhere:
        raise Unauthenticated(_ELSEWHERE)
    found: object = claims
    for part in path:
        if not isinstance(found, Mapping):
            raise Unauthenticated(_NOT_NESTED)
        if part not in found:
            return missing
        found = found[part]
    return found
