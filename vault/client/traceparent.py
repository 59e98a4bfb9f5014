"""The caller's place in a trace, for the server: the W3C ``traceparent`` header.

Only where the application has OpenTelemetry and a span is current. ``tracestate`` and
``baggage``, which may hold anything, are not sent.
"""

from __future__ import annotations

import sys

__all__ = ["Headers", "trace_headers"]

Headers = tuple[tuple[str, str], ...]


def trace_headers() -> Headers:
    """Returns the current span's header, or none."""
    # An application that has a span has imported it; for others it is time lost.
    trace = sys.modules.get("opentelemetry.trace")
    get_current_span = getattr(trace, "get_current_span", None)
    if get_current_span is None:  # also while another thread imports it
        return ()
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    flags = int(context.trace_flags) & 1
    return (("traceparent", f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"),)
