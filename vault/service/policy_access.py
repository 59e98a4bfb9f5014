"""What callers may read of the policy. Audited, as every call is."""

from __future__ import annotations

from collections.abc import Callable

from vault.model import Action
from vault.policy.model import Policy
from vault.service.admission import Admission
from vault.service.call import Call
from vault.service.policy_status import PolicyStatus

__all__ = ["PolicyService"]


class PolicyService:
    """The use cases of those who read the policy."""

    def __init__(self, admission: Admission, status: Callable[[], PolicyStatus]) -> None:
        """Takes what decides and audits, and what returns the status of this server's file."""
        self._admission = admission
        self._status = status

    def get_policy(self, call: Call) -> tuple[Policy, PolicyStatus]:
        """Returns the policy in force, and how this server's file compares with it."""
        permit = self._admission.admit(call, Action.READ_POLICY)
        self._admission.record(permit.event)
        return call.policy, self._status()
