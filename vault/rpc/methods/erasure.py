"""Erase and EraseSpellings."""

from __future__ import annotations

from collections.abc import Sequence

from vault.model import Caller
from vault.policy.model import Policy
from vault.rpc.methods.messages import item_errors
from vault.rpc.methods.registry import Answer, Row, Rpc
from vault.service.erasure import ErasureService
from vault.service.results import outcome_counts
from vault.service.spellings import SpellingService
from vault.v1 import tokenization_service_pb2 as pb

__all__ = ["erasure_rpcs"]


def erasure_rpcs(service: ErasureService, spellings: SpellingService) -> Sequence[Row]:
    """Returns the RPCs that erase."""

    def erase(caller: Caller, policy: Policy, ask: pb.EraseRequest) -> Answer:
        result = service.erase(caller, policy, ask.field, ask.tokens, ask.values)
        message = pb.EraseResponse(errors=item_errors(result.failures))
        return Answer.of(message, outcome_counts(result.total, result.failures))

    def erase_spellings(caller: Caller, policy: Policy, ask: pb.EraseSpellingsRequest) -> Answer:
        page = spellings.erase(
            caller,
            policy,
            ask.field,
            ask.values,
            count_only=ask.count_only,
            page_token=ask.page_token,
        )
        found = [
            pb.SpellingCount(index=at, count=count) for at, count in sorted(page.found.items())
        ]
        message = pb.EraseSpellingsResponse(
            found=found,
            errors=item_errors(page.failures),
            next_page_token=page.following,
            tokens=page.tokens,
            looked_at=page.looked_at,
        )
        return Answer.of(message, outcome_counts(page.total, page.failures))

    return (
        Rpc(
            pb.EraseRequest,
            lambda ask: ask.field,
            lambda ask: len(ask.tokens) + len(ask.values),
            erase,
        ),
        Rpc(
            pb.EraseSpellingsRequest,
            lambda ask: ask.field,
            lambda ask: len(ask.values),
            erase_spellings,
        ),
    )
