"""GetPolicy."""

from __future__ import annotations

from collections.abc import Sequence

from vault.rpc.methods.messages import timestamp
from vault.rpc.methods.registry import EncodedResponse, Rpc, RpcDefinition
from vault.service.call import Call
from vault.service.policy import PolicyService
from vault.v1 import policy_service_pb2 as pb

__all__ = ["policy_rpcs"]


def policy_rpcs(service: PolicyService) -> Sequence[RpcDefinition]:
    """Returns the RPCs on the policy."""

    def get_policy(call: Call, _: pb.GetPolicyRequest) -> EncodedResponse:
        current, status = service.get_policy(call)
        # Another policy may have come into force since the call began.
        since = status.since if status.digest == current.digest else None
        return EncodedResponse.from_message(
            pb.GetPolicyResponse(
                digest=current.digest,
                document=current.document,
                effective_time=timestamp(since),
                servers=[
                    pb.PolicyServer(name=name, digest=digest) for name, digest in status.servers
                ],
                file=pb.PolicyFile(
                    digest=status.file_digest,
                    state=status.state.value,
                    problem=status.problem,
                    differs_since_time=timestamp(status.differs_since),
                ),
            )
        )

    return (Rpc(pb.GetPolicyRequest, None, None, get_policy),)
