"""What every call goes through: errors, metrics, identity, role, request, place, worker, work.

One generic handler serves every RPC on raw bytes, so that a request is parsed only once
its caller is known, and so that nothing gRPC does by itself with an exception (sending
its text to the caller) ever happens. It takes the request as a stream of one message:
so it is received once the caller is known to have a role, and a call has no place of work
before its request is here (``receiving``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError

from vault.errors import (
    Denied,
    InvalidRequest,
    Reason,
    TokenvaultError,
)
from vault.model import Action, AuditEvent, Caller
from vault.policy.model import Policy
from vault.rpc.authn.identity import Identify
from vault.rpc.concurrency import ConcurrencyLimiter
from vault.rpc.methods.registry import BoundCall, Method
from vault.rpc.peers import network_address, peer_address
from vault.rpc.random_ids import RandomIds
from vault.rpc.receiving import Receiver
from vault.rpc.refusals import MinuteBudget, RefusalCounter
from vault.rpc.status import REQUEST_ID_KEY, call_status, status_code
from vault.service.call import Call
from vault.telemetry.log_samples import LogSampler
from vault.telemetry.logging import frames_of, get_log
from vault.telemetry.metrics import Metrics
from vault.telemetry.spans import OFF, Attributes, CallSpan, Spans

__all__ = ["CallLimits", "Pipeline"]

_log = get_log(__name__)
# Refusals before any use case: counted a minute, so that a flood cannot fill the audit.
_COUNTED = {Reason.UNAUTHENTICATED, Reason.OVERLOADED, Reason.DEADLINE_EXCEEDED}
# Records of calls refused at the endpoint that may be under way at once: of all, of one caller,
# and those being written. What is beyond them, or waits longer for its turn, is counted instead.
DENIALS = 16
_DENIALS_EACH = 4
_DENIALS_WRITTEN = 2
_DENIAL_SECONDS = 1.0
# Of one caller without a role in a minute: it may be a broken program that calls all day long.
_DENIALS_A_MINUTE = 100

_UNKNOWN = "unknown"  # what log, metrics and audit call an RPC that there is not

if TYPE_CHECKING:
    _BytesHandler = grpc.GenericRpcHandler[bytes, bytes]
else:  # generic in the stubs only
    _BytesHandler = grpc.GenericRpcHandler


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of a call.

    Attributes:
        max_batch: items in a request.
        max_deadline: seconds, also for callers that set no deadline.
    """

    max_batch: int
    max_deadline: float


@dataclass(slots=True)
class _CallInfo:
    """What becomes known of a call on its way; all of it may be logged."""

    rpc: str
    peer: str
    deadline: float
    request_id: str
    started: float = field(default_factory=time.perf_counter)
    principal: str = ""
    field_name: str = ""
    items: int = 0
    bug: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    in_service: bool = False
    counted: bool = False


class Pipeline(_BytesHandler):
    """Serves every RPC of the API on one listener.

    Args:
        methods: the RPCs by full method name.
        permissions: the action each of them needs; one that is missing is refused.
        policy: returns the policy in force; asked at the endpoint, and again for the work.
        identify: returns who calls on this listener.
        receiver: where calls are until their request is here.
        called: called with the peer of each call of a caller who has a role.
        frozen: raises Denied for a caller who is frozen, and StoreUnavailable where nobody knows.
        audit: writes the record of a refused call. Raises TokenvaultError.
        refusals: counts the calls that get no record of their own.
        spans: where traces begin.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        permissions: Mapping[str, Action],
        policy: Callable[[], Policy],
        identify: Identify,
        limits: CallLimits,
        limiter: ConcurrencyLimiter,
        audit: Callable[[AuditEvent], None],
        refusals: RefusalCounter,
        metrics: Metrics,
        receiver: Receiver,
        called: Callable[[str], None],
        frozen: Callable[[Caller], None],
        spans: Spans = OFF,
    ) -> None:
        self._permissions = permissions
        self._policy = policy
        self._limits = limits
        self._limiter = limiter
        self._audit = audit
        self._refusals = refusals
        self._metrics = metrics
        self._identify = identify
        self._receiver = receiver
        self._called = called
        self._frozen = frozen
        self._samples = LogSampler()
        self._denials = ConcurrencyLimiter(_DENIALS_WRITTEN, DENIALS, _DENIALS_EACH)
        self._denial_records = MinuteBudget(_DENIALS_A_MINUTE)
        self._spans = spans
        self._request_id = RandomIds()
        # A logger that finds its configuration for each line costs as much as the line.
        self._log = _log.bind()
        # gRPC asks for each call.
        self._handlers = {name: self._handler(name, method) for name, method in methods.items()}
        self._unknown = self._handler(_UNKNOWN, None)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Returns the handler of a method; unknown ones share one, so that they are audited."""
        # An unknown one's name is the caller's to choose, and reaches nobody.
        return self._handlers.get(handler_call_details.method, self._unknown)

    def _handler(self, name: str, method: Method | None) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.stream_unary_rpc_method_handler(partial(self._serve, name, method))

    # -- errors and metrics -----------------------------------------------------------

    def _serve(
        self,
        name: str,
        method: Method | None,
        sent: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> bytes:
        remaining = min(context.time_remaining() or 0.0, self._limits.max_deadline)
        info = _CallInfo(
            name.rpartition("/")[2],
            context.peer(),
            time.monotonic() + remaining,
            self._request_id.next(),
        )
        with self._spans.call(name, context.invocation_metadata) as span:
            try:
                encoded = self._answer(info, name, method, sent, context)
            except TokenvaultError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - its text must not reach the caller
                failure = self._internal_error(info, error)
            else:
                self._finish(span, info, "OK")
                context.set_trailing_metadata(((REQUEST_ID_KEY, info.request_id),))
                return encoded
            self._finish(span, info, status_code(failure.reason).name, failure)
        return context.abort_with_status(call_status(failure, info.request_id))

    def _internal_error(self, info: _CallInfo, error: Exception) -> TokenvaultError:
        info.bug = type(error).__name__
        # Type and place only: an exception's text may quote what was worked on.
        _log.error(
            "unexpected error",
            rpc=info.rpc,
            error=info.bug,
            frames=frames_of(error),
            request_id=info.request_id,
        )
        return TokenvaultError(f"internal error; request {info.request_id}")

    def _finish(
        self,
        span: CallSpan | None,
        info: _CallInfo,
        code: str,
        failure: TokenvaultError | None = None,
    ) -> None:
        if span is not None:
            span.end(code, lambda: _attributes(info, failure))
        seconds = time.perf_counter() - info.started
        self._metrics.count_call(info.rpc, code, seconds)
        self._metrics.count_items(info.rpc, info.field_name, info.counts)
        # A flood must not fill the log either: it has a count a minute for these, and one
        # of each address, by which its sender can be found and asked.
        sampled = not info.counted or self._samples.take(peer_address(info.peer))
        log = self._log.info if sampled else self._log.debug
        log(
            "call",
            rpc=info.rpc,
            code=code,
            reason=failure.reason.value if failure else "",
            detail=failure.message if failure else "",
            principal=info.principal,
            peer=info.peer,
            field=info.field_name,
            counts=dict(info.counts),
            ms=round(seconds * 1000, 2),
            request_id=info.request_id,
        )

    # -- identity, role, request, place, worker, work --------------------------------

    def _answer(
        self,
        info: _CallInfo,
        name: str,
        method: Method | None,
        sent: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> bytes:
        try:
            identity = self._identify(context)
            info.principal = str(identity.principal)
            caller = Caller(
                identity.principal,
                info.peer,
                identity.credential,
                info.request_id,
                info.deadline,
                person=identity.person,
                auth_time=identity.auth_time,
                address=network_address(info.peer),
            )
            self._check_caller(info, name, caller)
            self._limiter.check(info.principal)
            raw = self._request(method, sent, context, info.principal)
            with self._limiter.reserve(info.principal), ExitStack() as slot:
                with self._spans.step("queue"):
                    slot.enter_context(self._limiter.acquire(info.principal, info.deadline))
                return self._run(info, name, method, raw, caller)
        except TokenvaultError as error:
            if error.reason in _COUNTED and not info.in_service:
                self._count(info, error)
            raise

    def _request(
        self,
        method: Method | None,
        sent: Iterator[bytes],
        context: grpc.ServicerContext,
        principal: str,
    ) -> bytes | None:
        """Returns the call's message; None where there is none, or no such RPC to take it."""
        if method is None:
            return None
        try:
            return self._receiver.receive(sent, context, principal)
        except InvalidRequest:
            return None  # refused where it is recorded

    def _check_caller(self, info: _CallInfo, name: str, caller: Caller) -> None:
        """Checks whether the caller may call at all, before anything is waited for."""
        call = Call(info.rpc, caller, self._policy())
        try:
            self._permit(name, call)
        except Denied as error:
            self._record_denial(info, call, error)
            raise
        self._called(info.peer)

    def _record_denial(self, info: _CallInfo, call: Call, error: Denied) -> None:
        if not self._denial_records.spend(info.principal):
            self._count(info, error)
            return
        deadline = min(info.deadline, time.monotonic() + _DENIAL_SECONDS)
        with ExitStack() as turn:
            try:
                turn.enter_context(self._denials.reserve(info.principal))
                turn.enter_context(self._denials.acquire(info.principal, deadline))
                # One queue for all of them: together they have one caller's turns.
                turn.enter_context(self._limiter.acquire("", deadline))
            except TokenvaultError:
                self._count(info, error)
                return
            self._audit(_event_without_permit(call, info.field_name, error))

    def _count(self, info: _CallInfo, error: TokenvaultError) -> None:
        info.counted = True
        # Of those who proved who they are it is said who they were.
        principal = info.principal if isinstance(error, Denied) else ""
        self._refusals.count(error.reason, error.message, principal)

    def _run(
        self,
        info: _CallInfo,
        name: str,
        method: Method | None,
        raw: bytes | None,
        caller: Caller,
    ) -> bytes:
        call = Call(info.rpc, caller, self._policy())
        try:
            with self._spans.step("parse"):
                self._permit(name, call)
                bound = self._bind(method, raw)
            info.items = bound.items or 0
            info.field_name = bound.field_name if bound.field_name in call.policy.fields else ""
            info.in_service = True
            answer = bound.run(call)
            info.counts = answer.counts
        except TokenvaultError as error:
            if not info.in_service:
                self._audit(_event_without_permit(call, info.field_name, error))
            raise
        except Exception:
            # The use case may not have got to its record. The caller gets INTERNAL
            # either way, so a database that is unavailable changes nothing.
            with suppress(TokenvaultError):
                self._audit(
                    _event_without_permit(call, info.field_name, TokenvaultError("internal error"))
                )
            raise
        return answer.encoded

    def _permit(self, name: str, call: Call) -> None:
        if name not in self._permissions and name != _UNKNOWN:
            raise Denied("the RPC declares no permission, so nobody may call it")
        if not call.policy.roles_of(call.caller.principal):
            raise Denied("the policy gives this caller no role")
        self._frozen(call.caller)

    def _bind(self, method: Method | None, raw: bytes | None) -> BoundCall:
        if method is None:
            raise InvalidRequest("there is no such RPC", reason=Reason.UNIMPLEMENTED)
        if raw is None:
            raise InvalidRequest("the call carries no request")
        try:
            bound = method(raw)
        except DecodeError:
            raise InvalidRequest("the request cannot be parsed") from None
        if bound.items == 0:
            raise InvalidRequest("the batch is empty", reason=Reason.BATCH_EMPTY)
        if bound.items is not None and bound.items > self._limits.max_batch:
            raise InvalidRequest(
                f"the batch has more than {self._limits.max_batch} items; split it",
                reason=Reason.BATCH_TOO_LARGE,
            )
        return bound


def _attributes(info: _CallInfo, failure: TokenvaultError | None) -> Attributes:
    """What a span may say. Who called is left out: traces leave for third parties."""
    found: dict[str, str | int] = {
        "tokenvault.request_id": info.request_id,
        "tokenvault.batch_size": info.items,
    }
    if info.field_name:
        found["tokenvault.field"] = info.field_name
    found.update((f"tokenvault.items.{outcome}", count) for outcome, count in info.counts.items())
    if failure is not None:
        found["tokenvault.reason"] = failure.reason.value
        found["error.type"] = info.bug or failure.reason.value
    return found


def _event_without_permit(call: Call, field: str, error: TokenvaultError) -> AuditEvent:
    outcome = "denied" if isinstance(error, Denied) else "failed"
    return call.event(outcome, reason=error.reason.value, field=field)
