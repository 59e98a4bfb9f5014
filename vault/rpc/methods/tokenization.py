"""Tokenize, Detokenize, Lookup and Describe."""

from __future__ import annotations

from collections.abc import Sequence

from vault.rpc.methods.messages import granted, item_errors, timestamp
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.results import ColumnResult, DescribeResult, TokenDescription
from vault.service.tokenization import TokenizationService
from vault.v1 import tokenization_service_pb2 as pb

__all__ = ["tokenization_rpcs"]


def tokenization_rpcs(service: TokenizationService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on values and tokens."""

    def tokenize(call: Call, ask: pb.TokenizeRequest) -> EncodedResponse:
        return service.tokenize(call, ask.field, ask.values, ask.region, _tokenized)

    def detokenize(call: Call, ask: pb.DetokenizeRequest) -> EncodedResponse:
        return service.detokenize(call, ask.field, ask.tokens, ask.view, _detokenized, granted(ask))

    def lookup(call: Call, ask: pb.LookupRequest) -> EncodedResponse:
        return service.lookup(call, ask.field, ask.values, ask.region, _found)

    def describe(call: Call, ask: pb.DescribeRequest) -> EncodedResponse:
        return service.describe(call, ask.field, ask.tokens, _described)

    return (
        Rpc(pb.TokenizeRequest, lambda ask: ask.field, lambda ask: len(ask.values), tokenize),
        Rpc(pb.DetokenizeRequest, lambda ask: ask.field, lambda ask: len(ask.tokens), detokenize),
        Rpc(pb.LookupRequest, lambda ask: ask.field, lambda ask: len(ask.values), lookup),
        Rpc(pb.DescribeRequest, lambda ask: ask.field, lambda ask: len(ask.tokens), describe),
    )


def _tokenized(result: ColumnResult) -> EncodedResponse:
    errors = item_errors(result.failures)
    message = pb.TokenizeResponse(tokens=result.values, errors=errors)
    return EncodedResponse.from_batch(message, len(result.values), result.failures)


def _detokenized(result: ColumnResult) -> EncodedResponse:
    errors = item_errors(result.failures)
    message = pb.DetokenizeResponse(
        values=result.values, errors=errors, view=result.view, receipt=result.receipt
    )
    return EncodedResponse.from_batch(message, len(result.values), result.failures)


def _found(result: ColumnResult) -> EncodedResponse:
    errors = item_errors(result.failures)
    message = pb.LookupResponse(tokens=result.values, errors=errors)
    return EncodedResponse.from_batch(message, len(result.values), result.failures)


def _described(result: DescribeResult) -> EncodedResponse:
    message = pb.DescribeResponse(
        descriptions=[_description(each) for each in result.descriptions],
        errors=item_errors(result.failures),
    )
    return EncodedResponse.from_batch(message, len(result.descriptions), result.failures)


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
