"""What auditors do: read the policy in force, verify the audit. Audited themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from vault.errors import Reason, Unavailable
from vault.model import Action, AuditEvent, Caller
from vault.policy.model import Policy
from vault.service.admission import Admission

__all__ = ["AuditReport", "AuditVerifier", "Finding", "OversightService"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the audit.

    Attributes:
        writer: the writer whose chain is broken, or empty where it concerns all.
        number: the record's number within its writer's chain, from 1, or 0.
        kind: EDITED, DELETED, INSERTED, REORDERED, TRUNCATED or UNKNOWN_WRITER.
    """

    writer: str
    number: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Outcome of a verification: how much was read, and what is wrong."""

    records: int
    writers: int
    findings: Sequence[Finding]


class AuditVerifier(Protocol):
    """Reads the whole audit. Raises AuditUnavailable, KeysUnavailable."""

    def verify(self, *, deadline: float | None = None) -> AuditReport:
        """Verifies every record as of now; gives up at ``deadline`` (``time.monotonic()``)."""


class OversightService:
    """The use cases of auditors."""

    def __init__(self, admission: Admission, verifier: AuditVerifier) -> None:
        self._admission = admission
        self._verifier = verifier
        self._verifying = Lock()

    def verify_audit(self, caller: Caller, policy: Policy) -> AuditReport:
        """Verifies numbering, chain and MAC of every audit record."""
        permit = self._admission.admit("VerifyAudit", caller, policy, Action.READ_AUDIT)
        report = self._admission.attempt(permit, lambda: self._verify(caller))
        self._admission.record(permit.event)
        return report

    def _verify(self, caller: Caller) -> AuditReport:
        # One at a time: each reads the whole audit, and tokens must not wait for auditors.
        if not self._verifying.acquire(blocking=False):
            raise Unavailable(
                "another verification is running: try again later", reason=Reason.OVERLOADED
            )
        try:
            return self._verifier.verify(deadline=caller.deadline)
        finally:
            self._verifying.release()

    def get_policy(self, caller: Caller, policy: Policy) -> Policy:
        """Returns the policy in force."""
        permit = self._admission.admit("GetPolicy", caller, policy, Action.READ_POLICY)
        self._admission.record(permit.event)
        return policy

    def record_refusal(self, event: AuditEvent) -> None:
        """Writes the record of a call that was refused before any use case saw it."""
        self._admission.record(event)
