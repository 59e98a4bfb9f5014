"""RevealService: RequestReveal, ApproveReveal, DenyReveal and their like."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from vault.errors import InvalidRequest
from vault.rpc.methods.messages import justification, timestamp
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.reveal.asking import RequestService
from vault.service.reveal.request import RevealRequest
from vault.service.reveal.reveals import RevealService
from vault.service.reveal.status import RevealStatus
from vault.v1 import reveal_service_pb2 as pb

__all__ = ["reveal_rpcs"]

_MAX_SECONDS = 366 * 86_400


def reveal_rpcs(requests: RequestService, service: RevealService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on reveals."""

    def request(call: Call, ask: pb.RequestRevealRequest) -> EncodedResponse:
        made = requests.request(call, _request(ask))
        return EncodedResponse.from_message(pb.RequestRevealResponse(reveal=_reveal(made)))

    def approve(call: Call, ask: pb.ApproveRevealRequest) -> EncodedResponse:
        made = service.approve(call, ask.reveal, ask.comment)
        return EncodedResponse.from_message(pb.ApproveRevealResponse(reveal=_reveal(made)))

    def deny(call: Call, ask: pb.DenyRevealRequest) -> EncodedResponse:
        made = service.deny(call, ask.reveal, ask.comment)
        return EncodedResponse.from_message(pb.DenyRevealResponse(reveal=_reveal(made)))

    def get(call: Call, ask: pb.GetRevealRequest) -> EncodedResponse:
        return EncodedResponse.from_message(
            pb.GetRevealResponse(reveal=_reveal(service.get(call, ask.reveal)))
        )

    def list_(call: Call, _: pb.ListRevealsRequest) -> EncodedResponse:
        reveals = [_reveal(each) for each in service.list(call)]
        return EncodedResponse.from_message(pb.ListRevealsResponse(reveals=reveals))

    def withdraw(call: Call, ask: pb.WithdrawRevealRequest) -> EncodedResponse:
        made = service.withdraw(call, ask.reveal)
        return EncodedResponse.from_message(pb.WithdrawRevealResponse(reveal=_reveal(made)))

    def revoke(call: Call, ask: pb.RevokeRevealRequest) -> EncodedResponse:
        made = service.revoke(call, ask.reveal, ask.comment)
        return EncodedResponse.from_message(pb.RevokeRevealResponse(reveal=_reveal(made)))

    def review(call: Call, ask: pb.ReviewRevealRequest) -> EncodedResponse:
        made = service.review(call, ask.reveal, ask.comment)
        return EncodedResponse.from_message(pb.ReviewRevealResponse(reveal=_reveal(made)))

    return (
        # A submission may add no token, and is no empty batch.
        Rpc(
            pb.RequestRevealRequest,
            lambda ask: ask.field,
            lambda ask: max(1, len(ask.tokens) + len(ask.ciphertexts)),
            request,
        ),
        Rpc(pb.ApproveRevealRequest, None, None, approve),
        Rpc(pb.DenyRevealRequest, None, None, deny),
        Rpc(pb.GetRevealRequest, None, None, get),
        Rpc(pb.ListRevealsRequest, None, None, list_),
        Rpc(pb.WithdrawRevealRequest, None, None, withdraw),
        Rpc(pb.RevokeRevealRequest, None, None, revoke),
        Rpc(pb.ReviewRevealRequest, None, None, review),
    )


def _request(ask: pb.RequestRevealRequest) -> RevealRequest:
    lifetime = ask.lifetime if ask.HasField("lifetime") else None
    if lifetime is not None and not 0 < lifetime.seconds <= _MAX_SECONDS:
        raise InvalidRequest("the lifetime is no time from a second to a year")
    return RevealRequest(
        field=ask.field,
        view=ask.view,
        justification=justification(ask),
        reason=ask.reason,
        tokens=ask.tokens,
        ciphertexts=ask.ciphertexts,
        reveal=ask.reveal,
        lifetime=None if lifetime is None else lifetime.ToTimedelta(),
        times=ask.times or 1,
        more=ask.more,
        break_glass=ask.break_glass,
    )


def _reveal(status: RevealStatus) -> pb.Reveal:
    reveal = status.reveal
    lifetime = Duration()
    lifetime.FromTimedelta(reveal.lifetime)
    return pb.Reveal(
        id=str(reveal.id),
        state=pb.RevealState.Value(f"REVEAL_STATE_{status.state.name}"),
        person=reveal.person.value,
        principal=reveal.principal,
        field=reveal.field,
        view=reveal.view,
        purpose=reveal.purpose,
        ticket=reveal.ticket,
        reason=reveal.reason,
        tokens=reveal.tokens,
        times=reveal.times,
        left=reveal.left,
        create_time=timestamp(reveal.created),
        expire_time=timestamp(reveal.ends),
        lifetime=lifetime,
        decisions=[
            pb.RevealDecision(
                verdict=each.verdict.name,
                person=each.person.value,
                time=timestamp(each.time),
                comment=each.comment,
            )
            for each in reveal.decisions
        ],
        missing_roles=status.missing,
        own=status.own,
        may_decide=status.may_decide,
        policy_digest=reveal.policy_digest,
        break_glass=reveal.break_glass,
        awaits_review=reveal.awaits_review,
        may_review=status.may_review,
    )
