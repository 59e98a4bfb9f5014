"""Encrypt and Decrypt: AES-256-GCM under a field's key, nothing stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from vault.crypto.field_key import key_version_of
from vault.errors import DecryptionFailed, InvalidRequest, Reason
from vault.model import NO_JUSTIFICATION, Action, AuditEvent, Failure, Justification
from vault.service.admission import Admission, FieldPermit
from vault.service.call import Call
from vault.service.ports import KeySource, Transaction
from vault.service.results import BytesResult, outcome_counts
from vault.service.reveal.grants import Grants, HeldGrant, name_of_ciphertext
from vault.service.reveal.rows import Refused
from vault.service.stored_rows import DECRYPTION_FAILED

__all__ = ["MAX_CONTEXT_BYTES", "EncryptionService"]

R = TypeVar("R")

MAX_CONTEXT_BYTES = 1024
_EMPTY = Failure(Reason.VALUE_TOO_SHORT, "the item is empty; leave empty items out")


class EncryptionService:
    """The use cases of bytes."""

    def __init__(
        self, admission: Admission, keys: KeySource, refused: Refused = lambda _, __: None
    ) -> None:
        """Takes what decides and audits, the keys, and what reports grants that are not ours."""
        self._admission = admission
        self._keys = keys
        self._grants = Grants(admission, keys, refused)

    def encrypt(
        self,
        call: Call,
        field: str,
        plaintexts: Sequence[bytes],
        context: bytes,
        finish: Callable[[BytesResult], R],
    ) -> R:
        """Encrypts each plaintext under the field's active key version.

        Finishes as ``Admission.carry_out``.
        """
        permit = self._admission.admit_field(call, Action.ENCRYPT, field)

        def work(transaction: Transaction) -> BytesResult:
            _check_context(context)
            key = self._keys.for_encryption(permit.space, len(plaintexts))
            ciphertexts: list[bytes | Failure] = [
                key.encrypt(plaintext, context) if plaintext else _EMPTY for plaintext in plaintexts
            ]
            return _recorded(transaction, permit, permit.event, ciphertexts, {key.version})

        return self._admission.carry_out(permit, len(plaintexts), work, finish)

    def decrypt(
        self,
        call: Call,
        field: str,
        ciphertexts: Sequence[bytes],
        context: bytes,
        finish: Callable[[BytesResult], R],
        justification: Justification = NO_JUSTIFICATION,
    ) -> R:
        """Decrypts each ciphertext under the key version it names.

        Finishes as ``Admission.carry_out``.
        """
        permit = self._admission.admit_field(
            call, Action.DECRYPT, field, justification=justification
        )

        names = [name_of_ciphertext(each) for each in ciphertexts if each and justification.grant]

        def work(
            transaction: Transaction, event: AuditEvent, grant: HeldGrant | None
        ) -> BytesResult:
            if grant is not None:
                event = replace(event, charged=grant.charge(names))
            _check_context(context)
            versions: set[int] = set()
            plaintexts = [self._open(permit, item, context, versions) for item in ciphertexts]
            return _recorded(transaction, permit, event, plaintexts, versions)

        return self._grants.carry_out(permit, len(ciphertexts), work, finish, names)

    def _open(
        self, permit: FieldPermit, ciphertext: bytes, context: bytes, versions: set[int]
    ) -> bytes | Failure:
        if not ciphertext:
            return _EMPTY
        try:
            key = self._keys.field_key(permit.space, key_version_of(ciphertext))
            plaintext = key.decrypt(ciphertext, context)
        except DecryptionFailed:
            return DECRYPTION_FAILED
        versions.add(key.version)
        return plaintext


def _recorded(
    transaction: Transaction,
    permit: FieldPermit,
    so_far: AuditEvent,
    answers: list[bytes | Failure],
    versions: set[int],
) -> BytesResult:
    """Writes the record of what was answered, and returns the answer."""
    failures = {at: item for at, item in enumerate(answers) if isinstance(item, Failure)}
    values = [b"" if isinstance(item, Failure) else item for item in answers]
    counts = outcome_counts(len(answers), failures)
    event = replace(so_far, counts=counts, key_versions=tuple(sorted(versions)))
    if permit.receipt:
        return BytesResult(values, failures, transaction.audit.append_with_receipt(event))
    transaction.audit.append(event)
    return BytesResult(values, failures)


def _check_context(context: bytes) -> None:
    if len(context) > MAX_CONTEXT_BYTES:
        raise InvalidRequest(f"context is longer than {MAX_CONTEXT_BYTES} bytes")
