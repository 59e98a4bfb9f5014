"""Callers of a development environment: one client certificate per role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from vault.dev.authority import TRUST_DOMAIN, Authority, Credentials, spiffe_id
from vault.errors import ConfigError
from vault.model import Principal
from vault.policy.model import Policy

__all__ = ["Callers", "choose_callers"]


class Callers(NamedTuple):
    """The trust domain of a policy's principals, and a SPIFFE ID for each of its roles."""

    trust_domain: str
    identities: Mapping[str, str]

    def issue(self, authority: Authority) -> Mapping[str, Credentials]:
        """Returns a certificate for each role."""
        return {
            role: authority.issue_client(role, identity)
            for role, identity in sorted(self.identities.items())
        }


def choose_callers(policy: Policy) -> Callers:
    """Chooses for each role the principal with the fewest other roles.

    A role that no principal holds gets ``spiffe://<domain>/<role>``, which the policy then
    refuses. Raises ConfigError where principals are of several trust domains: a server has
    one.
    """
    names = [
        (each.principal.subject, each.roles)
        for each in policy.bindings
        if isinstance(each.principal, Principal)
    ]
    domains = {urlsplit(name).netloc for name, _ in names} or {TRUST_DOMAIN}
    if len(domains) > 1:
        raise ConfigError(
            f"the policy has principals of {len(domains)} trust domains, and a server has one: "
            "give `tokenvault dev` a policy of one domain"
        )
    domain = domains.pop()
    identities = {role: spiffe_id(role, domain) for role in policy.roles}
    for name, roles in sorted(names, key=lambda held: len(held[1]), reverse=True):
        identities |= dict.fromkeys(roles, name)
    return Callers(domain, identities)
