"""Erase and EraseSpellings."""

from __future__ import annotations

from collections.abc import Sequence

from vault.rpc.methods.messages import item_errors
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.erasure.erase import ErasureResult, ErasureService
from vault.service.erasure.spellings import SpellingPage, SpellingService
from vault.v1 import tokenization_service_pb2 as pb

__all__ = ["erasure_rpcs"]


def erasure_rpcs(service: ErasureService, spellings: SpellingService) -> Sequence[RpcDefinition]:
    """Returns the RPCs that erase."""

    def erase(call: Call, ask: pb.EraseRequest) -> EncodedResponse:
        return service.erase(call, ask.field, ask.tokens, ask.values, _erased)

    def erase_spellings(call: Call, ask: pb.EraseSpellingsRequest) -> EncodedResponse:
        return spellings.erase(
            call,
            ask.field,
            ask.values,
            _spellings_erased,
            count_only=ask.count_only,
            page_token=ask.page_token,
        )

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


def _erased(result: ErasureResult) -> EncodedResponse:
    message = pb.EraseResponse(errors=item_errors(result.failures))
    return EncodedResponse.from_batch(message, result.total, result.failures)


def _spellings_erased(page: SpellingPage) -> EncodedResponse:
    found = [pb.SpellingCount(index=at, count=count) for at, count in sorted(page.found.items())]
    message = pb.EraseSpellingsResponse(
        found=found,
        errors=item_errors(page.failures),
        next_page_token=page.following,
        tokens=page.tokens,
        looked_at=page.looked_at,
    )
    return EncodedResponse.from_batch(message, page.total, page.failures)
