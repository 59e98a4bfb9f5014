"""Sends ended spans to a collector by OTLP over gRPC with TLS, beside the calls.

OpenTelemetry's own exporter and queue take what they are not given from the environment
(address, headers, certificates), and drop without counting. These do neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, Full, Queue
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from vault.config import TracingSettings, read_secret
from vault.errors import ConfigError
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = ["CollectorConnection", "SpanQueue", "read_headers"]

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_DEFAULT_PORT = 4317
_BATCH = 512
_EVERY = 1.0
# For the spans of the last calls, when the server ends.
_FLUSH = 3.0
_HEADER = re.compile(r"([a-z0-9][a-z0-9_.-]{0,127}):[ \t]*([ -~]{1,8192})")
_log = get_log(__name__)


class CollectorConnection:
    """A channel to the collector. Raises ConfigError where the CA cannot be read."""

    def __init__(self, settings: TracingSettings, headers: Mapping[str, str]) -> None:
        try:
            authority = settings.ca.read_bytes()
        except OSError as error:
            raise ConfigError(f"tracing.ca: {settings.ca}: {error.strerror}") from None
        place = urlsplit(settings.endpoint)
        host = f"[{place.hostname}]" if ":" in (place.hostname or "") else place.hostname
        self._channel = grpc.secure_channel(
            f"{host}:{place.port or _DEFAULT_PORT}",
            grpc.ssl_channel_credentials(authority),
            # The environment must not add a proxy, nor DNS a retry or load-balancing rule.
            options=(("grpc.enable_http_proxy", 0), ("grpc.service_config_disable_resolution", 1)),
        )
        self._export = self._channel.unary_unary(
            _EXPORT,
            request_serializer=messages.ExportTraceServiceRequest.SerializeToString,
            response_deserializer=messages.ExportTraceServiceResponse.FromString,
        )
        self._timeout = settings.timeout.total_seconds()
        self._headers = tuple(headers.items())
        self._failing = False

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Sends spans once; returns whether the collector took them. Logs what has changed."""
        try:
            self._export(encode_spans(spans), timeout=self._timeout, metadata=self._headers)
        except grpc.RpcError as error:
            code = getattr(error, "code", None)
            self._note(code().name if callable(code) else "UNKNOWN")
            return False
        except ValueError:  # the channel was closed under a send that took too long
            return False
        self._note("")
        return True

    def close(self) -> None:
        """Closes the channel; a send under way fails."""
        self._channel.close()

    def _note(self, problem: str) -> None:
        if problem and not self._failing:
            _log.warning("traces cannot be sent", code=problem)
        elif self._failing and not problem:
            _log.info("traces are sent again")
        self._failing = bool(problem)


class SpanQueue(SpanProcessor):
    """A bounded queue and the thread that empties it: a full queue drops, nobody waits.

    Args:
        send: sends a batch and returns whether it was taken.
        count: called with how many spans were "exported", "failed" or "dropped".
        size: spans that may wait.
    """

    def __init__(
        self,
        send: Callable[[Sequence[ReadableSpan]], bool],
        count: Callable[[str, int], None],
        size: int,
    ) -> None:
        self._send = send
        self._count = count
        self._queue: Queue[ReadableSpan] = Queue(size)
        self._enough = min(size, _BATCH)
        self._task = PeriodicTask(
            "traces",
            self._empty,
            _EVERY,
            failed=first_failure_logged(_log, "sending traces failed"),
            at_end=True,
        )

    def start(self) -> None:
        """Begins to send."""
        self._task.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Takes a span that has ended."""
        if not span.context.trace_flags.sampled:
            return
        try:
            self._queue.put_nowait(span)
        except Full:
            self._count("dropped", 1)
        if self._queue.qsize() >= self._enough:
            self._task.wake()

    def stop(self, bound: float = _FLUSH) -> None:
        """Sends what is left, at most for ``bound`` seconds; the rest counts as dropped."""
        self._task.stop(bound)
        left = self._take(self._queue.maxsize)
        if left:
            self._count("dropped", len(left))

    def _empty(self) -> None:
        while batch := self._take(_BATCH):
            self._forward(batch)

    def _forward(self, batch: Sequence[ReadableSpan]) -> None:
        try:
            taken = self._send(batch)
        except Exception as error:  # noqa: BLE001 - a dead thread would end tracing
            _log.error("sending traces failed", error=type(error).__name__)
            taken = False
        self._count("exported" if taken else "failed", len(batch))

    def _take(self, most: int) -> list[ReadableSpan]:
        taken: list[ReadableSpan] = []
        while len(taken) < most:
            try:
                taken.append(self._queue.get_nowait())
            except Empty:
                break
        return taken


def read_headers(settings: TracingSettings) -> Mapping[str, str]:
    """Reads ``name: value`` lines. Raises ConfigError, quoting nothing."""
    if settings.headers_file is None:
        return {}
    key = "tracing.headers_file"
    headers: dict[str, str] = {}
    for number, line in enumerate(read_secret(settings.headers_file, key).splitlines(), 1):
        match = _HEADER.fullmatch(line.strip())
        if match is None or match[1].startswith("grpc-"):
            raise ConfigError(f'{key}: line {number} is not "name: value" with a lower-case name')
        headers[match[1]] = match[2].rstrip()
    return headers
