"""The calls of ``grpc.health.v1.Health``, received so that silence holds nothing.

The servicer that comes with gRPC is unary: gRPC would wait for its request in a thread of
the pool, for as long as the caller likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2

from vault.errors import VaultError
from vault.rpc.connections import peer_address
from vault.rpc.receiving import Receiver
from vault.rpc.status import status_code

__all__ = ["HealthCalls"]

if TYPE_CHECKING:
    _Handler = grpc.GenericRpcHandler[bytes, health_pb2.HealthCheckResponse]
    _Found = grpc.RpcMethodHandler[bytes, health_pb2.HealthCheckResponse]
else:  # generic in the stubs only
    _Handler = grpc.GenericRpcHandler

_Tell = Callable[[health_pb2.HealthCheckResponse], None]


class HealthCalls(_Handler):
    """Has the servicer answer requests that have come.

    Args:
        called: is told the peer of each call whose request has come.
    """

    def __init__(
        self,
        servicer: health.HealthServicer,
        receiver: Receiver,
        called: Callable[[str], None],
    ) -> None:
        self._servicer = servicer
        self._receiver = receiver
        self._called = called

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Found | None:
        """Returns the handler of Check and Watch, or None (UNIMPLEMENTED)."""
        answer = health_pb2.HealthCheckResponse.SerializeToString
        match handler_call_details.method:
            case "/grpc.health.v1.Health/Check":
                return grpc.stream_unary_rpc_method_handler(self._check, response_serializer=answer)
            case "/grpc.health.v1.Health/Watch":
                return grpc.stream_stream_rpc_method_handler(
                    self._watch, response_serializer=answer
                )
        return None

    def _check(
        self, sent: Iterator[bytes], context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        return self._servicer.Check(self._request(sent, context), context)

    def _watch(self, sent: Iterator[bytes], context: grpc.ServicerContext, tell: _Tell) -> None:
        self._servicer.Watch(self._request(sent, context), context, tell)

    # gRPC's own name for "holds no thread while the stream is open".
    _watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def _request(
        self, sent: Iterator[bytes], context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckRequest:
        try:
            raw = self._receiver.receive(sent, context, peer_address(context.peer()))
            asked = health_pb2.HealthCheckRequest.FromString(raw)
        except VaultError as error:
            context.abort(status_code(error.reason), error.message)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be parsed")
        self._called(context.peer())
        return asked
