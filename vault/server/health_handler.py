"""The calls of ``grpc.health.v1.Health``, in which no silent caller blocks another.

Not the servicer that comes with gRPC: it receives a request in a thread of the pool, for as
long as the caller likes, and sends to watchers under the lock that every check
needs. A watcher that reads nothing would block all checks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from vault.errors import TokenvaultError
from vault.rpc.peers import peer_address
from vault.rpc.receiving import Receiver
from vault.rpc.status import status_code

__all__ = ["WATCHES", "HealthHandler", "ServingStatuses"]

WATCHES = 64
"""Streams of Watch at once, each in a thread; one more ends the oldest."""

if TYPE_CHECKING:
    _Handler = grpc.GenericRpcHandler[bytes, HealthCheckResponse]
    _Found = grpc.RpcMethodHandler[bytes, HealthCheckResponse]
else:  # generic in the stubs only
    _Handler = grpc.GenericRpcHandler


class ServingStatuses:
    """The serving status of each service, and who waits for its changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, HealthCheckResponse.ServingStatus.ValueType] = {}
        self._watchers: set[threading.Event] = set()
        self._ended = False

    def set(self, service: str, *, serving: bool) -> None:
        """Sets a service's status."""
        with self._lock:
            if not self._ended:
                self._found[service] = (
                    HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
                )
            self._wake()

    def end(self) -> None:
        """Sets every service to NOT_SERVING, finally."""
        with self._lock:
            self._ended = True
            self._found = dict.fromkeys(self._found, HealthCheckResponse.NOT_SERVING)
            self._wake()

    def get(self, service: str) -> HealthCheckResponse.ServingStatus.ValueType | None:
        """Returns a service's status, or None for an unknown one."""
        return self._found.get(service)

    def watch(self, changed: threading.Event) -> None:
        """Sets the event after each change from now on."""
        with self._lock:
            self._watchers.add(changed)

    def unwatch(self, changed: threading.Event) -> None:
        """Stops setting the event."""
        with self._lock:
            self._watchers.discard(changed)

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()


class HealthHandler(_Handler):
    """Answers Check and Watch from the statuses.

    Args:
        called: called with the peer of each call whose request has arrived.
    """

    def __init__(
        self, statuses: ServingStatuses, receiver: Receiver, called: Callable[[str], None]
    ) -> None:
        self._statuses = statuses
        self._receiver = receiver
        self._called = called
        self._lock = threading.Lock()
        # In the order in which they began.
        self._watching: dict[grpc.ServicerContext, None] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Found | None:
        """Returns the handler of Check and Watch, or None (UNIMPLEMENTED)."""
        answer = HealthCheckResponse.SerializeToString
        match handler_call_details.method:
            case "/grpc.health.v1.Health/Check":
                return grpc.stream_unary_rpc_method_handler(self._check, response_serializer=answer)
            case "/grpc.health.v1.Health/Watch":
                return grpc.stream_stream_rpc_method_handler(
                    self._watch, response_serializer=answer
                )
        return None

    def _check(self, sent: Iterator[bytes], context: grpc.ServicerContext) -> HealthCheckResponse:
        status = self._statuses.get(self._request(sent, context).service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return HealthCheckResponse(status=status)

    def _watch(
        self, sent: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[HealthCheckResponse]:
        service = self._request(sent, context).service
        changed = threading.Event()
        # gRPC calls this in the thread that all its calls need: it must not wait there.
        if not context.add_callback(changed.set):
            return
        self._begin_watch(context)
        self._statuses.watch(changed)
        try:
            yield from self._changes(service, changed, context)
        finally:
            self._statuses.unwatch(changed)
            self._end_watch(context)

    def _changes(
        self, service: str, changed: threading.Event, context: grpc.ServicerContext
    ) -> Iterator[HealthCheckResponse]:
        sent_status = None
        while True:
            changed.clear()
            if not context.is_active():
                return
            found = self._statuses.get(service)
            status = HealthCheckResponse.SERVICE_UNKNOWN if found is None else found
            if status != sent_status:
                sent_status = status
                yield HealthCheckResponse(status=status)
            changed.wait()

    def _begin_watch(self, context: grpc.ServicerContext) -> None:
        oldest = None
        with self._lock:
            self._watching[context] = None
            if len(self._watching) > WATCHES:
                oldest = next(iter(self._watching))
                del self._watching[oldest]
        if oldest is not None:
            oldest.cancel()  # type: ignore[no-untyped-call]

    def _end_watch(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._watching.pop(context, None)

    def _request(self, sent: Iterator[bytes], context: grpc.ServicerContext) -> HealthCheckRequest:
        try:
            raw = self._receiver.receive(sent, context, peer_address(context.peer()))
            asked = HealthCheckRequest.FromString(raw)
        except TokenvaultError as error:
            context.abort(status_code(error.reason), error.message)
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be parsed")
        self._called(context.peer())
        return asked
