"""The MAC by which a server accepts a policy from the database.

A server that starts with a newer file than the others serves the policy in force until
they have it too, and gets that policy from Postgres. Whoever can write to the database
alone must not be able to write a policy.
"""

from __future__ import annotations

from collections.abc import Callable

from vault.crypto.encoding import length_prefixed
from vault.crypto.field_key import MacKey
from vault.errors import DecryptionFailed, PolicyError
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.store.policy_coordinator import AuthenticatedPolicy

__all__ = ["PolicyAuthenticator"]

_LABEL = b"tokenvault/v1/policy-in-force"
_SOURCE = "the policy in force"


class PolicyAuthenticator:
    """Authenticates a tenant's policies on their way through the database.

    Args:
        key: the tenant's audit key: the active one (None), or that of a version.
    """

    def __init__(self, tenant: str, key: Callable[[int | None], MacKey]) -> None:
        self._tenant = tenant
        self._key = key

    def authenticate(self, policy: Policy) -> AuthenticatedPolicy:
        """Puts a MAC on a policy. Raises KeysUnavailable."""
        key = self._key(None)
        mac = key.mac(self._message(policy.document))
        return AuthenticatedPolicy(policy.digest, policy.document, key.version, mac)

    def verify(self, authenticated: AuthenticatedPolicy) -> Policy:
        """Reads a policy out of the database.

        Raises:
            PolicyError: no server of ours put it there, or this release cannot read it.
            KeysUnavailable: the keys have expired.
        """
        try:
            key = self._key(authenticated.key_version)
        except DecryptionFailed:
            raise _forged() from None
        if not key.verify(self._message(authenticated.document), authenticated.mac):
            raise _forged()
        policy = parse_policy(authenticated.document, _SOURCE)
        if policy.digest != authenticated.digest:
            raise _forged()
        return policy

    def _message(self, document: str) -> bytes:
        return length_prefixed(_LABEL, self._tenant.encode(), document.encode())


def _forged() -> PolicyError:
    return PolicyError(
        "the policy in force in the database was not put there by a server (its MAC is wrong): "
        "find out who wrote to policy_state; it is replaced once every live server has one file"
    )
