"""Encrypt and Decrypt."""

from __future__ import annotations

from collections.abc import Sequence

from vault.rpc.methods.messages import granted, item_errors
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.encryption import EncryptionService
from vault.service.results import BytesResult
from vault.v1 import encryption_service_pb2 as pb

__all__ = ["encryption_rpcs"]


def encryption_rpcs(service: EncryptionService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on bytes."""

    def encrypt(call: Call, ask: pb.EncryptRequest) -> EncodedResponse:
        return service.encrypt(call, ask.field, ask.plaintexts, ask.context, _encrypted)

    def decrypt(call: Call, ask: pb.DecryptRequest) -> EncodedResponse:
        return service.decrypt(
            call, ask.field, ask.ciphertexts, ask.context, _decrypted, granted(ask)
        )

    return (
        Rpc(pb.EncryptRequest, lambda ask: ask.field, lambda ask: len(ask.plaintexts), encrypt),
        Rpc(pb.DecryptRequest, lambda ask: ask.field, lambda ask: len(ask.ciphertexts), decrypt),
    )


def _encrypted(result: BytesResult) -> EncodedResponse:
    errors = item_errors(result.failures)
    message = pb.EncryptResponse(ciphertexts=result.values, errors=errors)
    return EncodedResponse.from_batch(message, len(result.values), result.failures)


def _decrypted(result: BytesResult) -> EncodedResponse:
    errors = item_errors(result.failures)
    message = pb.DecryptResponse(plaintexts=result.values, errors=errors, receipt=result.receipt)
    return EncodedResponse.from_batch(message, len(result.values), result.failures)
