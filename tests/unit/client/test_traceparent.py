"""The header that puts a call below the caller's span."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from opentelemetry.baggage import set_baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from vault.client import traceparent


def test_the_current_span_and_nothing_else_is_sent() -> None:
    assert traceparent.trace_headers() == ()
    token = attach(set_baggage("card", "4929309216281845"))
    tracer = TracerProvider(resource=Resource({}), shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("job") as span:
        context = span.get_span_context()
        expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        assert traceparent.trace_headers() == (("traceparent", expected),)
    detach(token)


def test_without_opentelemetry_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    assert traceparent.__file__ is not None
    spec = importlib.util.spec_from_file_location("again", traceparent.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.trace_headers() == ()
