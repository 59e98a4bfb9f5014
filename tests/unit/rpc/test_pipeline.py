"""What every call goes through, without a network: a context as gRPC would give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from vault.errors import AuditUnavailable, Denied, Reason, StoreUnavailable
from vault.model import Action, AuditEvent, Caller
from vault.policy.reading.load import parse_policy
from vault.rpc import refusals
from vault.rpc.authn.identity import identify_by_certificate
from vault.rpc.concurrency import ConcurrencyLimiter
from vault.rpc.methods.registry import BoundCall, EncodedResponse
from vault.rpc.pipeline import CallLimits, Pipeline
from vault.rpc.receiving import Receiver
from vault.rpc.refusals import RefusalCounter
from vault.service.call import Call
from vault.telemetry.metrics import Metrics
from vault.v1.tokenization_service_pb2 import TokenizeRequest, TokenizeResponse

CANARY = "4111111111111111"
TOKENIZE = "/vault.v1.TokenizationService/Tokenize"
GOOD = "spiffe://example.org/pipeline"
POLICY = """
version: 1
fields:
  account_id: {format: {alphabet: digits, min: 10, max: 20}, generator: ff1, storage: vaultless}
roles:
  pipeline: [{fields: ["*"], allow: [tokenize]}]
principals:
  - {spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}
"""

Sent = TokenizeRequest | bytes | Iterator[bytes]
Run = Callable[[Call, TokenizeRequest], EncodedResponse]


class Aborted(Exception):
    """What gRPC raises from abort."""


@dataclass
class Context:
    """The part of a servicer context that the pipeline uses."""

    pem: bytes | None
    remaining: float = 5.0
    metadata: tuple[tuple[str, str], ...] = ()
    status: grpc.Status | None = None
    trailing: dict[str, str | bytes] = field(default_factory=dict)

    def peer(self) -> str:
        return "ipv4:127.0.0.1:4242"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    def time_remaining(self) -> float:
        return self.remaining

    def auth_context(self) -> Mapping[str, list[bytes]]:
        return {"x509_pem_cert": [self.pem]} if self.pem else {}

    def cancel(self) -> None:
        pytest.fail("the call was cancelled")

    def set_trailing_metadata(self, metadata: object) -> None:
        assert isinstance(metadata, tuple)
        self.trailing = dict(metadata)

    def abort_with_status(self, status: grpc.Status) -> None:
        self.status = status
        raise Aborted


@dataclass
class Server:
    """A pipeline with one method, and what it leaves behind."""

    run: Run
    permissions: Mapping[str, Action] = field(default_factory=lambda: {TOKENIZE: Action.TOKENIZE})
    limiter: ConcurrencyLimiter = field(default_factory=lambda: ConcurrencyLimiter(2, 2))
    audit: list[AuditEvent] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    audit_error: Exception | None = None
    receiver: Receiver = field(default_factory=lambda: Receiver(4, 2, 5.0))
    called: list[str] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        policy = parse_policy(POLICY, "policy.yaml")
        self.refusals = RefusalCounter(self.write, "mtls", lambda: policy.digest)
        self.pipeline = Pipeline(
            {TOKENIZE: self.bind},
            self.permissions,
            lambda: policy,
            identify_by_certificate("example.org"),
            CallLimits(max_batch=3, max_deadline=60.0),
            self.limiter,
            self.write,
            self.refusals,
            self.metrics,
            self.receiver,
            self.called.append,
            self.check_frozen,
        )

    def check_frozen(self, caller: Caller) -> None:
        if str(caller.principal) in self.frozen:
            raise Denied("this caller is frozen", reason=Reason.PRINCIPAL_FROZEN)

    def write(self, event: AuditEvent) -> None:
        if self.audit_error is not None:
            raise self.audit_error
        self.audit.append(event)

    def bind(self, raw: bytes) -> BoundCall:
        ask = TokenizeRequest.FromString(raw)
        return BoundCall(ask.field, len(ask.values), lambda call: self.run(call, ask))

    def call(self, context: Context, request: Sent) -> bytes:
        handler = self.pipeline.service(_Details(TOKENIZE))
        assert handler is not None
        assert handler.stream_unary is not None
        if isinstance(request, TokenizeRequest):
            request = request.SerializeToString()
        sent = iter([request]) if isinstance(request, bytes) else request
        return handler.stream_unary(sent, cast("grpc.ServicerContext", context))

    def refused(self, context: Context, request: Sent) -> tuple[str, str, str]:
        """Returns (code, reason, message) of a call that must fail."""
        with pytest.raises(Aborted):
            self.call(context, request)
        assert context.status is not None
        metadata = dict(context.status.trailing_metadata)
        assert metadata["x-request-id"]
        rich = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        assert rich.details[0].Unpack(info)
        return context.status.code.name, info.reason, context.status.details


@dataclass
class _Details(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: tuple[()] = ()


def echo(call: Call, ask: TokenizeRequest) -> EncodedResponse:
    return EncodedResponse.from_batch(TokenizeResponse(tokens=ask.values), len(ask.values), {})


def ask(*values: str) -> TokenizeRequest:
    return TokenizeRequest(field="account_id", values=values)


@pytest.fixture
def caller(certificate: Callable[..., bytes]) -> Context:
    return Context(certificate(GOOD))


def test_a_call_reaches_its_use_case(caller: Context) -> None:
    seen: list[Caller] = []

    def run(call: Call, request: TokenizeRequest) -> EncodedResponse:
        seen.append(call.caller)
        return echo(call, request)

    server = Server(run)
    answer = TokenizeResponse.FromString(server.call(caller, ask("1", "2")))
    assert list(answer.tokens) == ["1", "2"]
    assert str(seen[0].principal) == GOOD
    assert seen[0].credential == "abc123"
    assert seen[0].request_id == caller.trailing["x-request-id"]
    assert server.audit == []  # the use case writes its own record
    page = generate_latest(server.metrics.registry).decode()
    assert 'outcome="ok",rpc="Tokenize"} 2.0' in page


def test_no_certificate_is_counted_not_recorded() -> None:
    server = Server(echo)
    code, reason, _ = server.refused(Context(None), ask("1"))
    assert (code, reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert server.audit == []
    server.refusals.flush()
    assert [dict(event.counts) for event in server.audit] == [{"calls": 1}]


@pytest.mark.parametrize("uri", ["spiffe://example.com/pipeline", "https://example.org/x"])
def test_another_trust_domain_is_refused(certificate: Callable[..., bytes], uri: str) -> None:
    assert Server(echo).refused(Context(certificate(uri)), ask("1"))[1] == "UNAUTHENTICATED"


def test_a_certificate_that_ended_while_connected_is_refused(
    certificate: Callable[..., bytes],
) -> None:
    context = Context(certificate(GOOD, days=-1))
    assert "expired" in Server(echo).refused(context, ask("1"))[2]


def test_a_caller_without_a_role_is_refused_and_recorded(
    certificate: Callable[..., bytes],
) -> None:
    server = Server(echo)
    context = Context(certificate("spiffe://example.org/stranger"))
    assert server.refused(context, ask("1"))[:2] == ("PERMISSION_DENIED", "DENIED")
    (event,) = server.audit
    assert (event.outcome, event.reason) == ("denied", "DENIED")
    assert event.principal == "spiffe://example.org/stranger"


def test_a_frozen_caller_is_refused_before_his_request_is_received(caller: Context) -> None:
    server = Server(echo)
    assert server.call(caller, ask("1"))
    server.frozen.append("spiffe://example.org/pipeline")
    refused = server.refused(caller, map(unread, [0]))
    assert refused == ("PERMISSION_DENIED", "PRINCIPAL_FROZEN", "this caller is frozen")
    assert (server.audit[-1].outcome, server.audit[-1].reason) == ("denied", "PRINCIPAL_FROZEN")
    assert len(server.called) == 1


def test_who_is_frozen_while_his_request_arrives_is_refused_before_the_work(
    caller: Context,
) -> None:
    server = Server(echo)

    def sent() -> Iterator[bytes]:
        server.frozen.append("spiffe://example.org/pipeline")
        yield ask("1").SerializeToString()

    assert server.refused(caller, sent())[1] == "PRINCIPAL_FROZEN"
    assert [event.reason for event in server.audit] == ["PRINCIPAL_FROZEN"]


def test_a_caller_without_a_role_has_so_many_records_a_minute_and_then_a_count(
    certificate: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "time", SimpleNamespace(monotonic=lambda: 60.0))
    server = Server(echo)
    nobody = certificate("spiffe://example.org/stranger")
    with capture_logs() as logs:
        for _ in range(150):
            assert server.refused(Context(nobody), ask("1"))[:2] == ("PERMISSION_DENIED", "DENIED")
    assert len(server.audit) == 100
    server.refusals.flush()
    counted = server.audit[-1]
    assert (counted.principal, counted.reason) == ("spiffe://example.org/stranger", "DENIED")
    assert dict(counted.counts) == {"calls": 50}
    calls = [line for line in logs if line["event"] == "call" and line["log_level"] == "info"]
    assert len(calls) == 101  # and one of those that are counted


def test_an_rpc_without_a_permission_is_refused(caller: Context) -> None:
    server = Server(echo, permissions={})
    assert server.refused(caller, ask("1"))[1] == "DENIED"
    assert len(server.audit) == 1


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (TokenizeRequest(field="account_id"), "BATCH_EMPTY"),
        (TokenizeRequest(field="account_id", values=["1"] * 4), "BATCH_TOO_LARGE"),
        (b"\xff\xff\xff", "INVALID_REQUEST"),
        (b"\x12\x02\xff\xfe", "INVALID_REQUEST"),  # a value that is not UTF-8
    ],
)
def test_a_malformed_request_is_refused_and_recorded(
    caller: Context, request_: TokenizeRequest | bytes, reason: str
) -> None:
    server = Server(echo)
    assert server.refused(caller, request_)[:2] == ("INVALID_ARGUMENT", reason)
    assert [(event.outcome, event.reason) for event in server.audit] == [("failed", reason)]


def test_a_full_server_says_so(caller: Context) -> None:
    server = Server(echo, limiter=ConcurrencyLimiter(0, 0))
    assert server.refused(caller, ask("1"))[:2] == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert server.audit == []
    server.refusals.flush()
    assert [event.reason for event in server.audit] == ["OVERLOADED"]


def unread(_: object) -> bytes:
    pytest.fail("the request was received")


def cancelled(_: object) -> bytes:
    raise grpc.RpcError


def test_a_request_is_received_only_once_its_caller_has_a_place(caller: Context) -> None:
    full, stranger = Server(echo, limiter=ConcurrencyLimiter(0, 0)), Context(None)
    assert full.refused(caller, map(unread, [0]))[1] == "OVERLOADED"
    assert Server(echo).refused(stranger, map(unread, [0]))[1] == "UNAUTHENTICATED"


def test_a_caller_without_a_role_is_refused_before_his_request_is_received(
    certificate: Callable[..., bytes],
) -> None:
    server = Server(echo, limiter=ConcurrencyLimiter(1, 0))
    context = Context(certificate("spiffe://example.org/stranger"))
    assert server.refused(context, map(unread, [0]))[1] == "DENIED"
    assert [event.reason for event in server.audit] == ["DENIED"]
    assert server.called == []


def test_who_has_not_sent_his_request_holds_no_place_of_work(caller: Context) -> None:
    server = Server(echo, limiter=ConcurrencyLimiter(1, 1))

    def sent() -> Iterator[bytes]:
        assert server.call(caller, ask("1"))
        yield ask("2").SerializeToString()

    assert server.call(caller, sent())
    assert server.called == [caller.peer()] * 2


def test_refused_calls_whose_records_are_too_many_are_counted(
    certificate: Callable[..., bytes],
) -> None:
    server = Server(echo, limiter=ConcurrencyLimiter(0, 4))  # no turn to write comes
    context = Context(certificate("spiffe://example.org/stranger"), remaining=0.01)
    assert server.refused(context, ask("1"))[1] == "DENIED"
    assert server.audit == []
    server.refusals.flush()
    assert [(event.reason, dict(event.counts)) for event in server.audit] == [
        ("DENIED", {"calls": 1})
    ]


def test_a_caller_who_sends_no_request_leaves_his_place(caller: Context) -> None:
    server = Server(echo, limiter=ConcurrencyLimiter(1, 1))
    assert server.refused(caller, iter([]))[1] == "INVALID_REQUEST"
    assert server.refused(caller, map(cancelled, [0]))[1] == "DEADLINE_EXCEEDED"
    assert server.call(caller, ask("1"))


def test_one_caller_cannot_take_every_place(caller: Context) -> None:
    limiter = ConcurrencyLimiter(4, 4, share=2)
    server = Server(echo, limiter=limiter)
    with limiter.reserve(GOOD), limiter.reserve(GOOD):
        assert server.refused(caller, ask("1"))[1] == "OVERLOADED"
    with (
        limiter.reserve("spiffe://example.org/noisy"),
        limiter.reserve("spiffe://example.org/noisy"),
    ):
        assert server.call(caller, ask("1"))


def test_a_flood_of_refusals_does_not_fill_the_log(caller: Context) -> None:
    server = Server(echo, limiter=ConcurrencyLimiter(0, 0))
    with capture_logs() as logs:
        for _ in range(3):
            server.refused(caller, ask("1"))
        server.refusals.flush()
    calls = [line for line in logs if line["event"] == "call"]
    # One sample of the address, by which it can be found.
    assert [line["log_level"] for line in calls] == ["info", "debug", "debug"]
    assert calls[0]["peer"] == caller.peer()
    assert [line["count"] for line in logs if line["event"] == "calls refused"] == [3]


def test_a_refused_stranger_can_be_found_by_the_id_that_he_was_told() -> None:
    server, strangers = Server(echo), [Context(None), Context(None)]
    with capture_logs() as logs:
        for stranger in strangers:
            server.refused(stranger, ask("1"))
    (line,) = [line for line in logs if line["log_level"] == "info"]
    assert strangers[0].status is not None
    told = dict(strangers[0].status.trailing_metadata)["x-request-id"]
    assert (line["request_id"], line["peer"]) == (told, strangers[0].peer())
    assert (line["reason"], line["detail"]) == (
        "UNAUTHENTICATED",
        "the call carries no client certificate",
    )


def test_the_use_cases_refusal_is_not_recorded_twice(caller: Context) -> None:
    def run(call: Call, request: TokenizeRequest) -> EncodedResponse:
        raise Denied("no")

    server = Server(run)
    assert server.refused(caller, ask("1"))[1] == "DENIED"
    assert server.audit == []


def test_a_bug_shows_nothing_to_the_caller_but_is_recorded(
    caller: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(call: Call, request: TokenizeRequest) -> EncodedResponse:
        raise ValueError(f"cannot work on {request.values[0]}")

    server = Server(run)
    code, reason, message = server.refused(caller, ask(CANARY))
    assert (code, reason) == ("INTERNAL", "INTERNAL")
    assert server.audit[0].reason == "INTERNAL"
    assert server.audit[0].request_id in message
    assert CANARY not in message
    assert CANARY not in "".join(capsys.readouterr())


def test_where_the_refusal_cannot_be_recorded_the_answer_says_so(
    certificate: Callable[..., bytes],
) -> None:
    server = Server(echo, audit_error=AuditUnavailable("the audit is unavailable"))
    context = Context(certificate("spiffe://example.org/stranger"))
    assert server.refused(context, ask("1"))[:2] == ("UNAVAILABLE", "AUDIT_UNAVAILABLE")


def test_what_is_away_is_told_as_such(caller: Context) -> None:
    def run(call: Call, request: TokenizeRequest) -> EncodedResponse:
        raise StoreUnavailable("the database is unavailable")

    assert Server(run).refused(caller, ask("1"))[:2] == ("UNAVAILABLE", "STORE_UNAVAILABLE")


def test_a_caller_may_ask_for_no_more_time_than_the_limit(
    certificate: Callable[..., bytes],
) -> None:
    deadlines: list[float] = []

    def run(call: Call, request: TokenizeRequest) -> EncodedResponse:
        assert call.caller.deadline is not None
        deadlines.append(call.caller.deadline)
        return echo(call, request)

    server = Server(run)
    server.call(Context(certificate(GOOD), remaining=1e12), ask("1"))
    server.call(Context(certificate(GOOD), remaining=1.0), ask("1"))
    assert 58 < deadlines[0] - deadlines[1] < 60


def test_an_unknown_fields_name_is_not_logged(
    caller: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(echo)
    request = TokenizeRequest(field=CANARY, values=["1", "2", "3", "4"])
    server.refused(caller, request)
    assert server.audit[0].field == ""
    assert CANARY not in "".join(capsys.readouterr())


UNKNOWN = [
    "/vault.v1.TokenizationService/Nothing",
    "/vault.v1.Nothing/Tokenize",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/Check",
    f"/{CANARY}/{CANARY}",
    "/",
    "",
    "Tokenize",
    TOKENIZE + "/",
    TOKENIZE.lower(),
]


def unknown(
    server: Server, context: Context, name: str, request: Sent = b""
) -> tuple[str, str, str]:
    handler = server.pipeline.service(_Details(name))
    assert handler is not None
    assert handler.stream_unary is not None
    sent = iter([request]) if isinstance(request, bytes) else iter(())
    with pytest.raises(Aborted):
        handler.stream_unary(sent, cast("grpc.ServicerContext", context))
    assert context.status is not None
    metadata = dict(context.status.trailing_metadata)
    rich = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert rich.details[0].Unpack(info)
    return context.status.code.name, info.reason, context.status.details


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_rpc_of_a_known_caller_leaves_a_record(
    certificate: Callable[..., bytes], name: str
) -> None:
    server = Server(echo)
    with capture_logs() as logs:
        code, reason, message = unknown(server, Context(certificate(GOOD)), name)
    assert (code, reason) == ("UNIMPLEMENTED", "UNIMPLEMENTED")
    (event,) = server.audit
    assert (event.rpc, event.outcome, event.reason) == ("unknown", "failed", "UNIMPLEMENTED")
    assert event.principal == GOOD
    # The caller chose the name: it could be anything, a card number too.
    told = f"{message}{event}{logs}{generate_latest(server.metrics.registry).decode()}"
    assert CANARY not in told


def test_an_unknown_rpc_of_a_caller_without_a_role_is_denied(
    certificate: Callable[..., bytes],
) -> None:
    server = Server(echo)
    context = Context(certificate("spiffe://example.org/nobody"))
    assert unknown(server, context, "/x/y")[0] == "PERMISSION_DENIED"
    assert [event.reason for event in server.audit] == ["DENIED"]


def test_an_unknown_rpc_of_a_stranger_is_counted_like_any_other(
    certificate: Callable[..., bytes],
) -> None:
    server = Server(echo)
    assert unknown(server, Context(None), "/x/y")[0] == "UNAUTHENTICATED"
    assert server.audit == []
    server.refusals.flush()
    assert [event.reason for event in server.audit] == ["UNAUTHENTICATED"]


def test_an_unknown_rpc_waits_for_no_message(certificate: Callable[..., bytes]) -> None:
    server = Server(echo)

    class Never(Iterator[bytes]):
        def __next__(self) -> bytes:
            raise AssertionError("waited for")

    handler = server.pipeline.service(_Details("/x/y"))
    assert handler is not None
    assert handler.stream_unary is not None
    context = Context(certificate(GOOD))
    with pytest.raises(Aborted):
        handler.stream_unary(Never(), cast("grpc.ServicerContext", context))
    assert len(server.audit) == 1


def test_a_call_without_a_message_leaves_a_record(certificate: Callable[..., bytes]) -> None:
    server = Server(echo)
    context = Context(certificate(GOOD))
    assert server.refused(context, iter(()))[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    (event,) = server.audit
    assert (event.rpc, event.outcome, event.principal) == ("Tokenize", "failed", GOOD)
