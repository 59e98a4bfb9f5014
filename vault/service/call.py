"""The first argument of every use case: which RPC, who calls, under which policy."""

from __future__ import annotations

from dataclasses import dataclass

from vault.model import AuditEvent, Caller
from vault.policy.model import Policy

__all__ = ["Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated call.

    Attributes:
        rpc: the method's short name, as the audit has it.
        policy: the one in force when the work began.
    """

    rpc: str
    caller: Caller
    policy: Policy

    def event(
        self,
        outcome: str,
        *,
        reason: str = "",
        field: str = "",
        view: str = "",
        purpose: str = "",
    ) -> AuditEvent:
        """Returns the call's audit record as far as the call alone decides it.

        Args:
            field: one that the policy knows, or empty.
            view: one that the policy knows, or empty.
            purpose: one that the policy knows, or empty.
        """
        caller = self.caller
        return AuditEvent(
            rpc=self.rpc,
            outcome=outcome,
            principal=str(caller.principal),
            peer=caller.peer,
            credential=caller.credential,
            request_id=caller.request_id,
            policy_digest=self.policy.digest,
            tenant=caller.tenant,
            reason=reason,
            roles=self.policy.roles_of(caller.principal),
            field=field,
            view=view,
            purpose=purpose,
            person=caller.person,
            auth_time=caller.auth_time,
        )
