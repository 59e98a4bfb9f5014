"""What callers may read of the policy. Audited, as every call is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vault.model import Action
from vault.policy.model import Policy
from vault.service.admission import Admission
from vault.service.call import Call

__all__ = ["FileState", "PolicyService", "PolicyStatus"]


class FileState(StrEnum):
    """Whether a policy file is in force, and if not why."""

    IN_FORCE = "IN_FORCE"
    WAITING = "WAITING"  # for other servers
    DELAYED = "DELAYED"  # by keys or database, and tried again
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """One server's file, and the policy that all servers serve.

    Attributes:
        digest: of the policy in force.
        since: when that came into force by the database's clock, or None where unknown.
        servers: names of the live servers, each with the digest it has found good.
        file_digest: SHA-256 of the file's bytes, or empty where it cannot be read.
        problem: why the file is not in force, or empty where it is.
        differs_since: when the file was first seen to differ, by this server's clock.
    """

    digest: str
    since: datetime | None = None
    servers: tuple[tuple[str, str], ...] = ()
    file_digest: str = ""
    state: FileState = FileState.IN_FORCE
    problem: str = ""
    differs_since: datetime | None = None


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
