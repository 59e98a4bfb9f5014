"""FreezeService: Freeze, LiftFreeze and ListFreezes."""

from __future__ import annotations

from collections.abc import Sequence

from vault.errors import InvalidRequest
from vault.model import FreezeTarget, Person
from vault.rpc.methods.messages import timestamp
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.freezes.freezes import FreezeService, FreezeStatus
from vault.service.freezes.model import person_of
from vault.v1 import freeze_service_pb2 as pb

__all__ = ["freeze_rpcs"]


def freeze_rpcs(service: FreezeService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on freezes."""

    def freeze(call: Call, ask: pb.FreezeRequest) -> EncodedResponse:
        made = service.freeze(call, lambda: _target(ask.target), ask.reason)
        return EncodedResponse.from_message(pb.FreezeResponse(status=_status(made)))

    def lift(call: Call, ask: pb.LiftFreezeRequest) -> EncodedResponse:
        made = service.lift(call, lambda: _target(ask.target), ask.reason)
        return EncodedResponse.from_message(pb.LiftFreezeResponse(status=_status(made)))

    def list_(call: Call, _: pb.ListFreezesRequest) -> EncodedResponse:
        freezes = [_status(each) for each in service.list(call)]
        return EncodedResponse.from_message(pb.ListFreezesResponse(freezes=freezes))

    return (
        Rpc(pb.FreezeRequest, None, None, freeze),
        Rpc(pb.LiftFreezeRequest, None, None, lift),
        Rpc(pb.ListFreezesRequest, None, None, list_),
    )


def _target(ask: pb.FreezeTarget) -> FreezeTarget:
    """Reads a target. Raises InvalidRequest."""
    if bool(ask.principal) == ask.HasField("person"):
        raise InvalidRequest("name a principal or a person")
    if ask.principal:
        return FreezeTarget.of_principal(ask.principal)
    person = ask.person
    if not (person.issuer and person.claim and person.value):
        raise InvalidRequest("a person is an issuer, a claim and a value")
    return FreezeTarget.of_person(Person(person.issuer, person.claim, person.value))


def _status(status: FreezeStatus) -> pb.FreezeStatus:
    freeze = status.freeze
    return pb.FreezeStatus(
        target=_target_message(freeze.target),
        frozen=freeze.frozen,
        change_time=timestamp(freeze.changed),
        changed_by=freeze.by,
        reason=freeze.reason,
        touches=freeze.touched,
        forged=status.forged,
    )


def _target_message(target: FreezeTarget) -> pb.FreezeTarget:
    person = person_of(target)
    if person is None:
        return pb.FreezeTarget(principal=target.name)
    return pb.FreezeTarget(person=pb.FrozenPerson(**person._asdict()))
