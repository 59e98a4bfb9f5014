"""What a trace may say of a call: fixed names, numbers, reasons; never a value.

Spans are written by hand. Nothing here takes an exception, a message or a statement, so
none can get into a trace; the caller's identity stays in log and audit, to which the
request id leads. OpenTelemetry itself is behind ``Spans``: without the section
``[tracing]`` it is not even imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from vault.service.ports import KeyWrapper

__all__ = ["OFF", "Attributes", "CallSpan", "Metadata", "Spans", "TracedKeyWrapper"]

Attributes = Mapping[str, str | int]
Metadata = Sequence[tuple[str, str | bytes]]


class CallSpan(Protocol):
    """The span of one call."""

    def end(self, code: str, attributes: Callable[[], Attributes]) -> None:
        """Notes how the call ended.

        Args:
            code: the name of its gRPC status.
            attributes: asked only where the call is sampled.
        """


class Spans(Protocol):
    """Where spans begin. Nothing here raises, and nothing waits for a collector."""

    def call(
        self, method: str, metadata: Callable[[], Metadata]
    ) -> AbstractContextManager[CallSpan | None]:
        """Opens the span of a call (``/vault.v1.X/Y``) for the block; None where tracing is off."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Opens a span within the current one; of an error that leaves it, it notes the kind."""


class _Off:
    """No tracing."""

    def __init__(self) -> None:
        self._nothing: AbstractContextManager[None] = nullcontext()

    def call(
        self, method: str, metadata: Callable[[], Metadata]
    ) -> AbstractContextManager[CallSpan | None]:
        return self._nothing

    def step(self, name: str) -> AbstractContextManager[None]:
        return self._nothing


OFF: Spans = _Off()


class TracedKeyWrapper:
    """A KeyWrapper whose requests to the key server are spans."""

    def __init__(self, keys: KeyWrapper, spans: Spans) -> None:
        self._keys = keys
        self._spans = spans

    def generate(self, contexts: Sequence[bytes]) -> Sequence[str]:
        """As ``KeyWrapper``."""
        with self._spans.step("key server: generate"):
            return self._keys.generate(contexts)

    def unwrap(self, items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        """As ``KeyWrapper``."""
        with self._spans.step("key server: unwrap"):
            return self._keys.unwrap(items)
