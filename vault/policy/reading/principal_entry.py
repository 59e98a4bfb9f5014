"""Reads the ``principals`` section: who holds which roles."""

from __future__ import annotations

import re
from collections.abc import Collection

from vault.model import Group, Principal
from vault.policy.reading.entry import Entry
from vault.policy.reading.name_lists import read_names
from vault.policy.roles import Binding

__all__ = ["read_principals"]

# SPIFFE-ID specification, section 2: trust domain, then a path without empty, . and .. segments.
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)+")
_SPIFFE_LENGTH = 2048
_VISIBLE = re.compile(r"[!-~]{1,255}", re.ASCII)
# OpenID Connect Core 1.0, section 2: https, and no fragment; "#" parts it from the subject
# in the audit.
_ISSUER = re.compile(r"https://[!\"$-.0-?A-~]+(?:/[!\"$-~]*)?", re.ASCII)
_GROUP_KEYS = ("issuer", "audience", "claim", "value")


def read_principals(entry: Entry, roles: Collection[str]) -> tuple[Binding, ...]:
    """Returns who holds which of the given roles; what is wrong is recorded."""
    bindings: dict[Principal | Group, Binding] = {}
    for each in entry.items():
        entries = each.section({"spiffe", "jwt", "roles"}, required=("roles",))
        at, who = _read_who(each, entries.get("spiffe"), entries.get("jwt"))
        held = read_names(entries.get("roles"), roles, "role")
        if at is None or who is None:
            continue
        if who in bindings:
            at.fail("this principal is here twice: list all of its roles in one place")
        bindings[who] = Binding(who, tuple(sorted(held)), each.line)
    return tuple(bindings.values())


def _read_who(
    entry: Entry, spiffe: Entry | None, jwt: Entry | None
) -> tuple[Entry | None, Principal | Group | None]:
    if spiffe is not None and jwt is not None:
        entry.fail("has 'spiffe' and 'jwt', and a caller comes with one: make two entries")
    elif spiffe is not None:
        return spiffe, _read_spiffe(spiffe)
    elif jwt is not None:
        return jwt, _read_group(jwt)
    elif entry.is_mapping():
        entry.fail("has neither 'spiffe' nor 'jwt': say who it is")
    return None, None


def _read_spiffe(entry: Entry) -> Principal | None:
    text = entry.text()
    if text is None:
        return None
    if len(text) > _SPIFFE_LENGTH or not _SPIFFE.fullmatch(text):
        entry.fail("must be a SPIFFE ID with a path, such as spiffe://example.org/etl")
        return None
    return Principal("spiffe", text)


def _read_group(entry: Entry) -> Group | None:
    before = entry.problems
    entries = entry.section(_GROUP_KEYS, required=_GROUP_KEYS)
    issuer = _read_issuer(entries.get("issuer"))
    audience, claim = _read_visible(entries.get("audience")), _read_visible(entries.get("claim"))
    value = entries["value"].text() if "value" in entries else None
    if value == "":
        entries["value"].fail("is empty: name the value that the claim must have")
    if entry.problems > before or not (issuer and audience and claim and value):
        return None
    return Group(issuer, audience, claim, value)


def _read_issuer(entry: Entry | None) -> str | None:
    text = entry.text() if entry else None
    if entry is None or text is None:
        return None
    if not _ISSUER.fullmatch(text):
        entry.fail("must be the issuer's https:// address, exactly as its tokens say it")
        return None
    return text


def _read_visible(entry: Entry | None) -> str | None:
    text = entry.text() if entry else None
    if entry is not None and text is not None and not _VISIBLE.fullmatch(text):
        entry.fail("must be 1 to 255 visible ASCII characters")
        return None
    return text
