"""Encrypt and Decrypt."""

from __future__ import annotations

from collections.abc import Sequence

from vault.model import Caller
from vault.policy.model import Policy
from vault.rpc.methods.messages import item_errors
from vault.rpc.methods.registry import Answer, Row, Rpc
from vault.service.encryption import EncryptionService
from vault.service.results import outcome_counts
from vault.v1 import encryption_service_pb2 as pb

__all__ = ["encryption_rpcs"]


def encryption_rpcs(service: EncryptionService) -> Sequence[Row]:
    """Returns the RPCs on bytes."""

    def encrypt(caller: Caller, policy: Policy, ask: pb.EncryptRequest) -> Answer:
        result = service.encrypt(caller, policy, ask.field, ask.plaintexts, ask.context)
        message = pb.EncryptResponse(ciphertexts=result.values, errors=item_errors(result.failures))
        return Answer.of(message, outcome_counts(len(result.values), result.failures))

    def decrypt(caller: Caller, policy: Policy, ask: pb.DecryptRequest) -> Answer:
        result = service.decrypt(caller, policy, ask.field, ask.ciphertexts, ask.context)
        message = pb.DecryptResponse(plaintexts=result.values, errors=item_errors(result.failures))
        return Answer.of(message, outcome_counts(len(result.values), result.failures))

    return (
        Rpc(pb.EncryptRequest, lambda ask: ask.field, lambda ask: len(ask.plaintexts), encrypt),
        Rpc(pb.DecryptRequest, lambda ask: ask.field, lambda ask: len(ask.ciphertexts), decrypt),
    )
