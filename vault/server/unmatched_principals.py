"""Principals of a policy that no caller can match, given the endpoints' settings.

Mostly a trust domain or issuer is misspelt, in the settings or in the policy: every caller is
then refused, and nothing else shows why.
"""

from __future__ import annotations

from collections.abc import Iterator

from vault.config import Settings
from vault.model import Group, Principal
from vault.policy.model import Policy
from vault.policy.roles import Binding
from vault.telemetry.logging import get_log

__all__ = ["UnmatchedPrincipals", "unmatched"]

_SUBJECT = "sub"
_log = get_log(__name__)


class UnmatchedPrincipals:
    """Warns once of each policy that has such principals."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checked = ""

    def warn(self, policy: Policy) -> None:
        """Logs what ``unmatched`` finds in a policy that is about to be served."""
        if policy.digest == self._checked:
            return
        self._checked = policy.digest
        for problem in unmatched(policy, self._settings):
            _log.warning("principals that nobody can be", problem=problem)


def unmatched(policy: Policy, settings: Settings) -> Iterator[str]:
    """Yields what keeps principals of the policy from ever coming in."""
    named = [each for each in policy.bindings if isinstance(each.principal, Principal)]
    domain = settings.server.trust_domain
    unmatched_names = [
        each for each in named if not str(each.principal).startswith(f"spiffe://{domain}/")
    ]
    if unmatched_names:
        every = "no principal" if len(unmatched_names) == len(named) else "not every principal"
        yield (
            f"{every} of the policy is of server.trust_domain {domain}: callers from "
            f"{_domains(unmatched_names)} are refused ({_lines(unmatched_names)})"
        )
    yield from _unmatched_groups(policy, settings)


def _unmatched_groups(policy: Policy, settings: Settings) -> Iterator[str]:
    groups = [each for each in policy.bindings if isinstance(each.principal, Group)]
    if groups and settings.jwt is None:
        yield f"principals with a JWT, and no section jwt in the settings ({_lines(groups)})"
        return
    issuers = {each.issuer: each for each in settings.jwt.issuers} if settings.jwt else {}
    wrong: dict[str, list[Binding]] = {}
    for each in groups:
        group = each.principal
        assert isinstance(group, Group)
        issuer = issuers.get(group.issuer)
        if issuer is None:
            wrong.setdefault("is of no issuer in jwt.issuers", []).append(each)
        elif group.audience != issuer.audience:
            wrong.setdefault("has another audience than its jwt.issuers entry", []).append(each)
        elif group.claim not in (_SUBJECT, issuer.group_claim):
            wrong.setdefault("has a claim that is neither group_claim nor sub", []).append(each)
    for problem, bindings in wrong.items():
        yield f"a principal with a JWT {problem} ({_lines(bindings)})"


def _domains(bindings: list[Binding]) -> str:
    names = sorted({str(each.principal).split("/")[2] for each in bindings})
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _lines(bindings: list[Binding]) -> str:
    first = f"line {bindings[0].line} of the policy"
    return f"{first} and {len(bindings) - 1} more" if len(bindings) > 1 else first
