"""A collector of traces: the official OTLP service, over TLS, that keeps what it gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from vault.dev.ports import LOOPBACK

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

__all__ = ["Collector", "collecting"]


@dataclass
class Collector(service.TraceServiceServicer):
    """What has come so far.

    Attributes:
        requests: every export as it was on the wire, and its metadata.
    """

    port: int = 0
    requests: list[tuple[messages.ExportTraceServiceRequest, Sequence[tuple[str, str]]]] = field(
        default_factory=list
    )

    def Export(  # noqa: N802 - the service's name
        self, request: messages.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> messages.ExportTraceServiceResponse:
        metadata = [(each[0], str(each[1])) for each in context.invocation_metadata()]
        self.requests.append((request, metadata))
        return messages.ExportTraceServiceResponse()

    def raw(self) -> bytes:
        """Every byte of what came, metadata too."""
        return b"\n".join(
            request.SerializeToString() + repr(metadata).encode()
            for request, metadata in list(self.requests)
        )

    def spans(self) -> list[Span]:
        return [
            span
            for request, _ in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def instances(self) -> set[str]:
        return {
            attribute.value.string_value
            for request, _ in list(self.requests)
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.instance.id"
        }

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, [span.name for span in self.spans()]
            time.sleep(0.05)


def attributes(span: Span) -> dict[str, str | int]:
    """A span's attributes as Python has them."""
    return {
        each.key: each.value.int_value
        if each.value.HasField("int_value")
        else each.value.string_value
        for each in span.attributes
    }


@contextmanager
def collecting(site: Site) -> Iterator[Collector]:
    """Runs a collector with a certificate of the site's authority."""
    pair = site.authority.issue_server("collector")
    credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.cert.read_bytes())])
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    service.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.port = server.add_secure_port(f"{LOOPBACK}:0", credentials)
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
