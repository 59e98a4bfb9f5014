"""HoneyService: AddHoneyTokens, RetireHoneyTokens and ListHoneyTokens."""

from __future__ import annotations

from collections.abc import Sequence

from vault.rpc.methods.messages import timestamp
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.honey.honey_tokens import HoneyService, HoneyStatus
from vault.v1 import honey_service_pb2 as pb

__all__ = ["honey_rpcs"]


def honey_rpcs(service: HoneyService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on honey tokens."""

    def add(call: Call, ask: pb.AddHoneyTokensRequest) -> EncodedResponse:
        made = service.add(call, ask.field, ask.label, ask.tokens)
        return EncodedResponse.from_message(pb.AddHoneyTokensResponse(set=_set(made)))

    def retire(call: Call, ask: pb.RetireHoneyTokensRequest) -> EncodedResponse:
        made = service.retire(call, ask.set)
        return EncodedResponse.from_message(pb.RetireHoneyTokensResponse(set=_set(made)))

    def list_(call: Call, _: pb.ListHoneyTokensRequest) -> EncodedResponse:
        sets = [_set(each) for each in service.list(call)]
        return EncodedResponse.from_message(pb.ListHoneyTokensResponse(sets=sets))

    return (
        Rpc(pb.AddHoneyTokensRequest, lambda ask: ask.field, lambda ask: len(ask.tokens), add),
        Rpc(pb.RetireHoneyTokensRequest, None, None, retire),
        Rpc(pb.ListHoneyTokensRequest, None, None, list_),
    )


def _set(status: HoneyStatus) -> pb.HoneySet:
    honey = status.honey
    return pb.HoneySet(
        id=str(honey.id),
        field=honey.field,
        label=honey.label,
        tokens=len(honey.tokens),
        active=honey.active,
        principal=honey.principal,
        create_time=None if status.forged else timestamp(honey.created),
        forged=status.forged,
    )
