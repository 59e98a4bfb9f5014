"""What a caller may learn of the policy. Audited, as every call is."""

from __future__ import annotations

from collections.abc import Callable

from vault.model import Action
from vault.policy.model import Policy
from vault.service.admission import Admission
from vault.service.call import Call
from vault.service.policy_standing import PolicyStanding

__all__ = ["PolicyService"]


class PolicyService:
    """The use cases of those who read the policy."""

    def __init__(self, admission: Admission, standing: Callable[[], PolicyStanding]) -> None:
        """Takes what audits, and how this server's policy file stands."""
        self._admission = admission
        self._standing = standing

    def get_policy(self, call: Call) -> tuple[Policy, PolicyStanding]:
        """Returns the policy in force, and how this server's file stands to it."""
        permit = self._admission.admit(call, Action.READ_POLICY)
        self._admission.record(permit.event)
        return call.policy, self._standing()
