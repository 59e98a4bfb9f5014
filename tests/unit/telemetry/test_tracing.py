"""Spans of calls, seen by an exporter in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from vault.config import TracingSettings
from vault.errors import ConfigError, KeysUnavailable
from vault.telemetry.spans import OFF, Metadata, TracedKeyWrapper
from vault.telemetry.trace_export import CollectorConnection, SpanQueue, read_headers
from vault.telemetry.tracing import OpenTelemetrySpans

METHOD = "/vault.v1.TokenizationService/Tokenize"
CANARY = "4929309216281845"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def settings(**changes: object) -> TracingSettings:
    return TracingSettings.model_validate(
        {"endpoint": "https://collector.example.org", "ca": "ca.pem", "sample_ratio": 1, **changes}
    )


class Traced:
    """Spans into memory."""

    def __init__(self, ratio: float = 1.0) -> None:
        self.memory = InMemorySpanExporter()
        processors: Sequence[SpanProcessor] = [SimpleSpanProcessor(self.memory)]
        self.spans = OpenTelemetrySpans(settings(sample_ratio=ratio), "host:1", processors)

    def call(self, *metadata: tuple[str, str | bytes]) -> ReadableSpan | None:
        self.memory.clear()
        with self.spans.call(METHOD, lambda: metadata) as span:
            assert span is not None
            span.end("OK", dict)
        found = self.memory.get_finished_spans()
        return found[0] if found else None


def test_a_call_and_its_steps() -> None:
    traced = Traced()
    with traced.spans.call(METHOD, tuple) as span:
        assert span is not None
        with traced.spans.step("queue"):
            pass
        span.end("NOT_FOUND", lambda: {"tokenvault.reason": "FIELD_NOT_FOUND"})
    queue, call = traced.memory.get_finished_spans()
    assert (queue.name, call.name) == ("queue", "vault.v1.TokenizationService/Tokenize")
    assert call.kind is SpanKind.SERVER
    assert queue.parent == call.context
    assert dict(call.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": "vault.v1.TokenizationService",
        "rpc.method": "Tokenize",
        "rpc.grpc.status_code": 5,
        "tokenvault.reason": "FIELD_NOT_FOUND",
    }
    assert call.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("code", "status"), [("INTERNAL", "ERROR"), ("PERMISSION_DENIED", "UNSET")]
)
def test_only_a_servers_own_failures_are_errors(code: str, status: str) -> None:
    traced = Traced()
    with traced.spans.call(METHOD, tuple) as span:
        assert span is not None
        span.end(code, dict)
    assert traced.memory.get_finished_spans()[0].status.status_code.name == status


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError(CANARY), "ValueError"), (KeysUnavailable(CANARY), "KEYS_UNAVAILABLE")],
)
def test_of_an_exception_only_its_kind_is_noted(error: Exception, kind: str) -> None:
    traced = Traced()
    with (
        pytest.raises(type(error)),
        traced.spans.call(METHOD, tuple),
        traced.spans.step("transaction"),
    ):
        raise error
    step, call = traced.memory.get_finished_spans()
    assert dict(step.attributes or {}) == {"error.type": kind}
    for span in (step, call):
        assert not span.events
        assert span.status.description is None
        assert CANARY not in span.to_json()


def test_a_callers_traceparent_is_the_parent() -> None:
    span = Traced().call(("traceparent", f"00-{TRACE}-{PARENT}-01"))
    assert span is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize(
    "metadata",
    [
        [("traceparent", CANARY)],
        [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
        [("traceparent", f"00-{TRACE}-{PARENT}-01")] * 2,
        [("traceparent-bin", b"\0\1")],
    ],
)
def test_a_bad_traceparent_begins_a_trace_of_our_own(metadata: Metadata) -> None:
    span = Traced().call(*metadata)
    assert span is not None
    assert span.parent is None
    assert CANARY not in span.to_json()


def test_tracestate_and_baggage_are_not_looked_at() -> None:
    span = Traced().call(
        ("traceparent", f"00-{TRACE}-{PARENT}-01"),
        ("tracestate", f"canary={CANARY}"),
        ("baggage", f"card={CANARY}"),
    )
    assert span is not None
    assert not span.context.trace_state
    assert CANARY not in span.to_json()


def test_a_caller_cannot_raise_the_share_that_is_sampled() -> None:
    traced = Traced(ratio=0.25)
    # The smallest trace id: by the usual ratio of ids it is sampled always.
    parent = ("traceparent", f"00-{1:032x}-{PARENT}-01")
    sampled = sum(traced.call(parent) is not None for _ in range(2000))
    assert 350 < sampled < 650  # 500, and more than 7 standard deviations either way
    assert all(Traced(ratio=0).call(parent) is None for _ in range(50))


def test_steps_go_with_their_call() -> None:
    traced = Traced(ratio=0.5)
    for _ in range(100):
        with traced.spans.call(METHOD, tuple), traced.spans.step("queue"):
            pass
    names = [span.name for span in traced.memory.get_finished_spans()]
    assert names.count("queue") == len(names) / 2
    assert 0 < len(names) < 200


def test_what_a_caller_does_not_sample_stays_out() -> None:
    assert Traced().call(("traceparent", f"00-{TRACE}-{PARENT}-00")) is None


def test_a_variable_can_turn_traces_off_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert Traced().call() is None


def test_the_environment_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"card={CANARY}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", CANARY)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
    span = Traced().call()
    assert span is not None
    assert CANARY not in span.to_json()
    assert dict(span.resource.attributes)["service.name"] == "tokenvault"
    assert len(span.attributes or {}) == 4


class Keys:
    def generate(self, contexts: Sequence[bytes]) -> Sequence[str]:
        return ["wrapped" for _ in contexts]

    def unwrap(self, items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        raise KeysUnavailable(CANARY)


def test_requests_to_the_key_server_are_spans() -> None:
    traced = Traced()
    keys = TracedKeyWrapper(Keys(), traced.spans)
    assert keys.generate([b"a"]) == ["wrapped"]
    with pytest.raises(KeysUnavailable):
        keys.unwrap([])
    names = [span.name for span in traced.memory.get_finished_spans()]
    assert names == ["key server: generate", "key server: unwrap"]


def test_off_costs_nobody_a_span() -> None:
    with OFF.call(METHOD, tuple) as span, OFF.step("queue"):
        assert span is None


# -- the queue ------------------------------------------------------------------------


def some_span() -> ReadableSpan:
    span = Traced().call()
    assert span is not None
    return span


def test_a_full_queue_drops_and_counts_and_does_not_wait() -> None:
    counted: dict[str, int] = {}

    def count(outcome: str, spans: int) -> None:
        counted[outcome] = counted.get(outcome, 0) + spans

    queue = SpanQueue(lambda _: True, count, 3)  # not started: nothing empties it
    for span in [some_span()] * 5:
        queue.on_end(span)
    assert counted == {"dropped": 2}
    queue.start()
    queue.stop()
    assert counted == {"dropped": 2, "exported": 3}


def test_a_send_that_raises_ends_nothing() -> None:
    counted: list[str] = []

    def send(_: Sequence[ReadableSpan]) -> bool:
        raise RuntimeError(CANARY)

    queue = SpanQueue(send, lambda outcome, _: counted.append(outcome), 3)
    queue.start()
    queue.on_end(some_span())
    queue.stop()
    assert counted == ["failed"]


# -- settings -------------------------------------------------------------------------


def test_headers_are_read_from_a_private_file(private_tmp: Path) -> None:
    file = private_tmp / "headers"
    file.write_text("authorization: Bearer abc\nx-scope: prod \n")
    file.chmod(0o600)
    found = read_headers(settings(headers_file=str(file)))
    assert found == {"authorization": "Bearer abc", "x-scope": "prod"}


@pytest.mark.parametrize("line", [f"{CANARY}", f"Key: {CANARY}", f"grpc-timeout: {CANARY}"])
def test_a_bad_header_is_refused_and_not_quoted(private_tmp: Path, line: str) -> None:
    file = private_tmp / "headers"
    file.write_text(line)
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_headers(settings(headers_file=str(file)))
    assert CANARY not in str(caught.value)


def test_a_missing_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tracing\.ca"):
        CollectorConnection(settings(ca=str(tmp_path / "none.pem")), {})


@pytest.mark.parametrize(
    "endpoint",
    ["http://collector:4317", "https://user@collector", "https://collector/v1/traces", "collector"],
)
def test_an_endpoint_is_an_https_origin(endpoint: str) -> None:
    with pytest.raises(ValueError, match="https://host:port"):
        settings(endpoint=endpoint)
