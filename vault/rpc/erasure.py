"""Erase, from the wire to its use case and back."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Caller
from vault.policy.model import Policy
from vault.rpc.servicers import Answer, BoundCall, Method, item_errors
from vault.service.erasure import ErasureService
from vault.service.results import outcome_counts
from vault.v1.tokenization_service_pb2 import EraseRequest, EraseResponse

__all__ = ["erasure_methods"]


def erasure_methods(service: ErasureService) -> Mapping[str, Method]:
    """Returns the RPC by its full method name."""

    def erase(caller: Caller, policy: Policy, ask: EraseRequest) -> Answer:
        result = service.erase(caller, policy, ask.field, ask.tokens, ask.values)
        message = EraseResponse(errors=item_errors(result.failures))
        return Answer.of(message, outcome_counts(result.total, result.failures))

    def bind(raw: bytes) -> BoundCall:
        ask = EraseRequest.FromString(raw)
        items = len(ask.tokens) + len(ask.values)
        return BoundCall(ask.field, items, lambda caller, policy: erase(caller, policy, ask))

    return {"/vault.v1.TokenizationService/Erase": bind}
