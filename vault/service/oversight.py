"""What auditors do: read the policy in force, verify the audit. Audited themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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

    def verify(self) -> AuditReport:
        """Verifies every record as of now."""


class OversightService:
    """The use cases of auditors."""

    def __init__(self, admission: Admission, verifier: AuditVerifier) -> None:
        self._admission = admission
        self._verifier = verifier

    def verify_audit(self, caller: Caller, policy: Policy) -> AuditReport:
        """Verifies numbering, chain and MAC of every audit record."""
        permit = self._admission.admit("VerifyAudit", caller, policy, Action.READ_AUDIT)
        report = self._admission.attempt(permit, self._verifier.verify)
        self._admission.record(permit.event)
        return report

    def get_policy(self, caller: Caller, policy: Policy) -> Policy:
        """Returns the policy in force."""
        permit = self._admission.admit("GetPolicy", caller, policy, Action.READ_POLICY)
        self._admission.record(permit.event)
        return policy

    def record_refusal(self, event: AuditEvent) -> None:
        """Writes the record of a call that was refused before any use case saw it."""
        self._admission.record(event)
