"""Erase and EraseSpellings, from the wire to their use cases and back."""

from __future__ import annotations

from collections.abc import Mapping

from vault.model import Caller
from vault.policy.model import Policy
from vault.rpc.methods.registry import Answer, BoundCall, Method, item_errors
from vault.service.erasure import ErasureService
from vault.service.results import outcome_counts
from vault.service.spellings import SpellingService
from vault.v1.tokenization_service_pb2 import (
    EraseRequest,
    EraseResponse,
    EraseSpellingsRequest,
    EraseSpellingsResponse,
    SpellingCount,
)

__all__ = ["erasure_methods"]


def erasure_methods(service: ErasureService, spellings: SpellingService) -> Mapping[str, Method]:
    """Returns the RPCs by their full method names."""

    def erase(caller: Caller, policy: Policy, ask: EraseRequest) -> Answer:
        result = service.erase(caller, policy, ask.field, ask.tokens, ask.values)
        message = EraseResponse(errors=item_errors(result.failures))
        return Answer.of(message, outcome_counts(result.total, result.failures))

    def bind(raw: bytes) -> BoundCall:
        ask = EraseRequest.FromString(raw)
        items = len(ask.tokens) + len(ask.values)
        return BoundCall(ask.field, items, lambda caller, policy: erase(caller, policy, ask))

    return {
        "/vault.v1.TokenizationService/Erase": bind,
        "/vault.v1.TokenizationService/EraseSpellings": _spellings(spellings),
    }


def _spellings(service: SpellingService) -> Method:
    def erase(caller: Caller, policy: Policy, ask: EraseSpellingsRequest) -> Answer:
        page = service.erase(
            caller,
            policy,
            ask.field,
            ask.values,
            count_only=ask.count_only,
            page_token=ask.page_token,
        )
        found = [SpellingCount(index=at, count=count) for at, count in sorted(page.found.items())]
        message = EraseSpellingsResponse(
            found=found,
            errors=item_errors(page.failures),
            next_page_token=page.following,
            tokens=page.tokens,
            looked_at=page.looked_at,
        )
        return Answer.of(message, outcome_counts(page.total, page.failures))

    def bind(raw: bytes) -> BoundCall:
        ask = EraseSpellingsRequest.FromString(raw)
        return BoundCall(
            ask.field, len(ask.values), lambda caller, policy: erase(caller, policy, ask)
        )

    return bind
