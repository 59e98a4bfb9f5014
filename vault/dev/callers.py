"""Who may call in a development environment: one client certificate a role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from vault.dev.authority import TRUST_DOMAIN, Authority, Credentials, spiffe_id
from vault.errors import ConfigError
from vault.policy.model import Policy

__all__ = ["Callers", "callers_of"]


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


def callers_of(policy: Policy) -> Callers:
    """Chooses for each role the principal with the fewest other roles.

    A role that no principal holds gets ``spiffe://<domain>/<role>``, which the policy then
    refuses. Raises ConfigError where principals are of several trust domains: a server has
    one.
    """
    bindings = [each for each in policy.bindings if each.principal.issuer == "spiffe"]
    domains = {urlsplit(each.principal.subject).netloc for each in bindings} or {TRUST_DOMAIN}
    if len(domains) > 1:
        raise ConfigError(
            f"the policy has principals of {len(domains)} trust domains, and a server has one: "
            "give `tokenvault dev` a policy of one domain"
        )
    domain = domains.pop()
    identities = {role: spiffe_id(role, domain) for role in policy.roles}
    for each in sorted(bindings, key=lambda binding: len(binding.roles), reverse=True):
        identities |= dict.fromkeys(each.roles, each.principal.subject)
    return Callers(domain, identities)
