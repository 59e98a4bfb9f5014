"""Tokenize, Detokenize, Lookup and Describe."""

from __future__ import annotations

from collections.abc import Sequence

from vault.model import Caller
from vault.policy.model import Policy
from vault.rpc.methods.messages import item_errors, timestamp
from vault.rpc.methods.registry import Ahead, Answer, Row, Rpc
from vault.service.results import TokenDescription, outcome_counts
from vault.service.tokenization import TokenizationService
from vault.v1 import tokenization_service_pb2 as pb

__all__ = ["tokenization_rpcs"]


def tokenization_rpcs(service: TokenizationService) -> Sequence[Row]:
    """Returns the RPCs on values and tokens."""

    def tokenize(caller: Caller, policy: Policy, ask: pb.TokenizeRequest) -> Answer:
        ahead = Ahead(
            lambda result: pb.TokenizeResponse(
                tokens=result.values, errors=item_errors(result.failures)
            )
        )
        service.tokenize(caller, policy, ask.field, ask.values, ask.region, meanwhile=ahead)
        return ahead.answer

    def detokenize(caller: Caller, policy: Policy, ask: pb.DetokenizeRequest) -> Answer:
        ahead = Ahead(
            lambda result: pb.DetokenizeResponse(
                values=result.values, errors=item_errors(result.failures), view=result.view
            )
        )
        service.detokenize(caller, policy, ask.field, ask.tokens, ask.view, meanwhile=ahead)
        return ahead.answer

    def lookup(caller: Caller, policy: Policy, ask: pb.LookupRequest) -> Answer:
        result = service.lookup(caller, policy, ask.field, ask.values, ask.region)
        message = pb.LookupResponse(tokens=result.values, errors=item_errors(result.failures))
        return Answer.of(message, outcome_counts(len(result.values), result.failures))

    def describe(caller: Caller, policy: Policy, ask: pb.DescribeRequest) -> Answer:
        result = service.describe(caller, policy, ask.field, ask.tokens)
        message = pb.DescribeResponse(
            descriptions=[_description(each) for each in result.descriptions],
            errors=item_errors(result.failures),
        )
        return Answer.of(message, outcome_counts(len(result.descriptions), result.failures))

    return (
        Rpc(pb.TokenizeRequest, lambda ask: ask.field, lambda ask: len(ask.values), tokenize),
        Rpc(pb.DetokenizeRequest, lambda ask: ask.field, lambda ask: len(ask.tokens), detokenize),
        Rpc(pb.LookupRequest, lambda ask: ask.field, lambda ask: len(ask.values), lookup),
        Rpc(pb.DescribeRequest, lambda ask: ask.field, lambda ask: len(ask.tokens), describe),
    )


def _description(known: TokenDescription | None) -> pb.TokenDescription:
    if known is None:
        return pb.TokenDescription()
    return pb.TokenDescription(
        format=known.format,
        generator=known.generator,
        storage=known.storage,
        key_version=known.key_version,
        create_time=timestamp(known.created),
        expire_time=timestamp(known.expires),
    )
