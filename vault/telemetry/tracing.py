"""Spans by OpenTelemetry. Imported only where ``[tracing]`` is configured.

Everything OpenTelemetry would read from the environment is given to it instead: a variable
must not send traces to another address, add attributes or change what is sampled.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    TraceState,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes as OtelAttributes

from vault.config import TracingSettings
from vault.distribution import version
from vault.errors import TokenvaultError
from vault.telemetry.spans import Attributes, CallSpan, Metadata
from vault.telemetry.trace_export import CollectorConnection, SpanQueue, read_headers

__all__ = ["OpenTelemetrySpans", "open_tracing"]

_TRACEPARENT = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()
# For a server's span these are errors; the others are the caller's own affair
# (OpenTelemetry semantic conventions for gRPC).
_ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_LIMITS = SpanLimits(
    max_attributes=64,
    max_span_attributes=64,
    max_events=0,
    max_links=0,
    max_event_attributes=0,
    max_link_attributes=0,
    max_attribute_length=256,
    max_span_attribute_length=256,
)


class _Ratio(Sampler):
    """Samples a share of the calls, whatever callers say; what they do not sample stays out.

    A draw of our own: the usual ratio by trace id would let a caller choose ids that are
    always sampled.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decides for a span; a step goes with its call."""
        parent = get_current_span(parent_context).get_span_context()
        sampled = not parent.is_valid or parent.trace_flags.sampled
        if sampled and (not parent.is_valid or parent.is_remote):
            sampled = random.random() < self._ratio  # noqa: S311 - hides nothing
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
        return SamplingResult(decision, attributes)

    def get_description(self) -> str:
        """Names the sampler."""
        return f"Ratio({self._ratio})"


class OpenTelemetrySpans:
    """``Spans`` over a tracer of its own; OpenTelemetry's global one is left alone."""

    def __init__(
        self, settings: TracingSettings, instance: str, processors: Sequence[SpanProcessor]
    ) -> None:
        """Takes the name of this process among its siblings, and where ended spans go."""
        resource = Resource(
            {
                "service.name": settings.service_name,
                "service.instance.id": instance,
                "service.version": version(),
            }
        )
        provider = TracerProvider(
            sampler=_Ratio(settings.sample_ratio),
            resource=resource,
            shutdown_on_exit=False,
            span_limits=_LIMITS,
            meter_provider=NoOpMeterProvider(),
        )
        for processor in processors:
            provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("tokenvault")

    @contextmanager
    def call(self, method: str, metadata: Callable[[], Metadata]) -> Iterator[CallSpan | None]:
        """Opens the span of a call, below the caller's where it names one."""
        service, _, rpc = method.removeprefix("/").partition("/")
        with self._tracer.start_as_current_span(
            f"{service}/{rpc}",
            context=_parent(metadata()),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield _CallSpan(span)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Opens a span within the current one."""
        above = get_current_span().get_span_context()
        if above.is_valid and not above.trace_flags.sampled:
            yield  # four of five spans of a call that is not sampled: not even begun
            return
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                # The kind alone: a message may quote what was worked on.
                kind = (
                    error.reason.value
                    if isinstance(error, TokenvaultError)
                    else type(error).__name__
                )
                span.set_attribute("error.type", kind)
                span.set_status(StatusCode.ERROR)
                raise


class _CallSpan:
    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, code: str, attributes: Callable[[], Attributes]) -> None:
        """Notes how the call ended."""
        if not self._span.is_recording():
            return
        self._span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
        self._span.set_attributes(attributes())
        if code in _ERRORS:
            self._span.set_status(StatusCode.ERROR)


def _parent(metadata: Metadata) -> Context:
    """Returns the caller's span as the parent: W3C ``traceparent``, if there is exactly one.

    ``tracestate`` and ``baggage`` are a caller's free text, and are not looked at.
    """
    found = [value for key, value in metadata if key == _TRACEPARENT]
    if len(found) != 1 or not isinstance(found[0], str):
        return Context()
    return _PROPAGATOR.extract({_TRACEPARENT: found[0]}, context=Context())


@contextmanager
def open_tracing(
    settings: TracingSettings, instance: str, count: Callable[[str, int], None]
) -> Iterator[OpenTelemetrySpans]:
    """Traces for the length of the block; at its end sends what is left, within a bound.

    Args:
        count: called with how many spans were "exported", "failed" or "dropped".

    Raises:
        ConfigError: the CA or the headers file is wrong.
    """
    connection = CollectorConnection(settings, read_headers(settings))
    queue = SpanQueue(connection.send, count, settings.queue)
    queue.start()
    try:
        yield OpenTelemetrySpans(settings, instance, [queue])
    finally:
        queue.stop()
        connection.close()
