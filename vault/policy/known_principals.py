"""Whether a policy knows a principal, and the nearest one that it knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from vault.model import Group, Principal
from vault.policy.model import Policy
from vault.policy.roles import Binding

__all__ = ["explain_unknown"]

_SPIFFE = "spiffe"
_SUBJECT = "sub"
_MAX_COMPARED = 512  # characters of a name that are compared


def explain_unknown(policy: Policy, principal: Principal) -> Iterator[str]:
    """Yields why a principal has no role, nothing where the policy knows it."""
    if principal.issuer == _SPIFFE:
        known = {str(each.principal): each for each in _principals(policy)}
        if str(principal) not in known:
            problem = f"the policy does not know {principal}"
            yield problem + _nearest(str(principal), known, "principal with a certificate")
        return
    groups = {_text(group): each for each, group in _groups(policy)}
    given = {_text(group) for group in principal.groups}
    if given & groups.keys():
        return
    if not given:
        yield "a caller with a JWT has roles by its claims alone: name them with --group"
        for text, each in groups.items():
            group = each.principal
            if isinstance(group, Group) and _is_subject(group, principal):
                yield f"the policy knows it by a claim, line {each.line}: --group '{text}'"
    for text in sorted(given):
        yield f"the policy does not know the group {text!r}" + _nearest(text, groups, "group")


def _nearest(name: str, known: dict[str, Binding], noun: str) -> str:
    short = {text[:_MAX_COMPARED]: text for text in known}
    near = difflib.get_close_matches(name[:_MAX_COMPARED], short, n=1, cutoff=0.0)
    if not near:
        return f": it has no {noun}"
    found = short[near[0]]
    return f"; the nearest it knows is {found} (line {known[found].line})"


def _principals(policy: Policy) -> Iterator[Binding]:
    return (each for each in policy.bindings if isinstance(each.principal, Principal))


def _groups(policy: Policy) -> Iterator[tuple[Binding, Group]]:
    for each in policy.bindings:
        if isinstance(each.principal, Group):
            yield each, each.principal


def _is_subject(group: Group, principal: Principal) -> bool:
    return (group.issuer, group.claim, group.value) == (
        principal.issuer,
        _SUBJECT,
        principal.subject,
    )


def _text(group: Group) -> str:
    return " ".join(group)
