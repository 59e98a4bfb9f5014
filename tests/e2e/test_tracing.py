"""Traces of a real server with two workers, received by a real OTLP service over TLS."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from tests.e2e.collector import Collector, attributes, collecting
from vault.client import CallError
from vault.dev.ports import LOOPBACK

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer, Value

TRACER = TracerProvider(
    sampler=ALWAYS_ON, resource=Resource({}), shutdown_on_exit=False
).get_tracer("test")


@dataclass
class Traced:
    """A traced server; ``decoy`` is where its environment would send the traces."""

    server: Server
    collector: Collector
    decoy: socket.socket

    def spans(self, trace: int) -> dict[str, Span]:
        """The spans of one trace by name, once its call's own has come."""
        wanted = trace.to_bytes(16, "big")

        def of_trace() -> list[Span]:
            return [span for span in self.collector.spans() if span.trace_id == wanted]

        server = Span.SPAN_KIND_SERVER
        self.collector.until(lambda: any(span.kind == server for span in of_trace()))
        return {span.name: span for span in of_trace()}


def section(site: Site, port: int, **changes: Value) -> dict[str, Value]:
    return {
        "endpoint": f"https://localhost:{port}",
        "ca": str(site.authority.certificate_path),
        "sample_ratio": 1,
        **changes,
    }


@pytest.fixture(scope="module")
def traced(site: Site, start_server: StartServer) -> Iterator[Traced]:
    headers = site.directory / "collector-headers"
    headers.touch(0o600)
    headers.write_text("x-collector-key: abc123\n")
    with collecting(site) as collector, socket.create_server((LOOPBACK, 0)) as decoy:
        decoy.setblocking(False)
        elsewhere = f"http://{LOOPBACK}:{decoy.getsockname()[1]}"
        names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        proxies = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "ALL_PROXY")
        server = start_server(
            "traced",
            {
                "server": {"workers": 2},
                "tracing": section(site, collector.port, headers_file=str(headers)),
            },
            environment={
                **dict.fromkeys((*names, *proxies), elsewhere),
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
                "OTEL_EXPORTER_OTLP_HEADERS": "x-collector-key=environment",
                "OTEL_RESOURCE_ATTRIBUTES": "from=environment",
                "OTEL_TRACES_SAMPLER": "always_off",
            },
        )
        yield Traced(server, collector, decoy)


def test_a_call_is_a_trace_below_the_callers_span(traced: Traced) -> None:
    with TRACER.start_as_current_span("job") as job, traced.server.client("pipeline") as client:
        column = client.tokenize("national_id", ["AB12345678", "CD12345678", "!"])
    assert len(column.errors) == 1
    spans = traced.spans(job.get_span_context().trace_id)
    call = spans["vault.v1.TokenizationService/Tokenize"]
    assert call.parent_span_id == job.get_span_context().span_id.to_bytes(8, "big")
    found = attributes(call)
    assert len(str(found.pop("tokenvault.request_id"))) == 32
    assert found == {
        "rpc.system": "grpc",
        "rpc.service": "vault.v1.TokenizationService",
        "rpc.method": "Tokenize",
        "rpc.grpc.status_code": 0,
        "tokenvault.field": "national_id",
        "tokenvault.batch_size": 3,
        "tokenvault.items.ok": 2,
        f"tokenvault.items.{column.errors[2].reason}": 1,
    }
    assert set(spans) == {call.name, "queue", "parse", "transaction", "commit"}
    for name in ("queue", "parse", "transaction"):
        assert spans[name].parent_span_id == call.span_id
    commit, transaction = spans["commit"], spans["transaction"]
    assert commit.parent_span_id == transaction.span_id
    assert transaction.start_time_unix_nano < commit.start_time_unix_nano
    assert commit.end_time_unix_nano <= transaction.end_time_unix_nano
    assert not any(span.events or span.links or span.status.message for span in spans.values())


def test_batches_sent_from_the_clients_threads_are_in_the_callers_trace(traced: Traced) -> None:
    with TRACER.start_as_current_span("job") as job:  # noqa: SIM117
        with traced.server.client("pipeline", batch_size=2) as client:
            client.tokenize("national_id", [f"{n:010d}" for n in range(6)])
    trace = job.get_span_context().trace_id.to_bytes(16, "big")
    traced.collector.until(
        lambda: (
            sum(
                span.trace_id == trace and span.kind == Span.SPAN_KIND_SERVER
                for span in traced.collector.spans()
            )
            == 3
        )
    )


def test_a_refusal_says_its_reason_and_no_name_that_the_policy_does_not_know(
    traced: Traced,
) -> None:
    with (
        TRACER.start_as_current_span("job") as job,
        traced.server.client("pipeline") as client,
        pytest.raises(CallError, match="FIELD_NOT_FOUND"),
    ):
        client.detokenize("4929309216281845", ["AB12345678"])
    spans = traced.spans(job.get_span_context().trace_id)
    found = attributes(spans["vault.v1.TokenizationService/Detokenize"])
    assert (found["rpc.grpc.status_code"], found["tokenvault.reason"]) == (
        5,
        "FIELD_NOT_FOUND",
    )
    assert "tokenvault.field" not in found
    assert b"4929309216281845" not in traced.collector.raw()


def test_every_worker_sends_its_own_and_one_page_counts_them(traced: Traced) -> None:
    for n in range(16):
        with traced.server.client("pipeline") as client:
            client.tokenize("national_id", [f"{n:010d}"])
    traced.collector.until(lambda: len(traced.collector.instances()) == 2)
    with urllib.request.urlopen(f"http://{traced.server.metrics}/metrics") as page:
        lines = page.read().decode().splitlines()
    counted = [line for line in lines if line.startswith("tokenvault_trace_spans_total{")]
    assert [line.rpartition(" ")[0] for line in counted] == [
        'tokenvault_trace_spans_total{outcome="exported"}'
    ]
    assert "key server: unwrap" in {span.name for span in traced.collector.spans()}


def test_the_environment_redirects_nothing(traced: Traced) -> None:
    assert traced.collector.requests
    with pytest.raises(BlockingIOError):
        traced.decoy.accept()
    assert b"environment" not in traced.collector.raw()
    assert {dict(found)["x-collector-key"] for _, found in traced.collector.requests} == {"abc123"}


def test_the_last_spans_are_sent_before_the_end(
    traced: Traced, site: Site, start_server: StartServer
) -> None:
    server = start_server("flushed", {"tracing": section(site, traced.collector.port)})
    with TRACER.start_as_current_span("last") as job, server.client("pipeline") as client:
        client.tokenize("national_id", ["AB12345678"])
    assert server.stop() == 0
    trace = job.get_span_context().trace_id.to_bytes(16, "big")
    assert any(span.trace_id == trace for span in traced.collector.spans())


def test_a_collector_that_does_not_answer_delays_nobody(
    site: Site, start_server: StartServer
) -> None:
    # It takes connections and says nothing: worse than being away.
    with socket.create_server((LOOPBACK, 0)) as silent:
        port = silent.getsockname()[1]
        tracing = section(site, port, queue=4, timeout="30s")
        server = start_server("unheard", {"tracing": tracing})
        with server.client("pipeline") as client:
            client.tokenize("national_id", ["AB12345678"])
            began = time.monotonic()
            for _ in range(20):
                assert client.tokenize("national_id", ["AB12345678"]).errors == {}
            assert time.monotonic() - began < 10
        with urllib.request.urlopen(f"http://{server.metrics}/metrics") as page:
            assert b'tokenvault_trace_spans_total{outcome="dropped"}' in page.read()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15
