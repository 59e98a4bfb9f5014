from __future__ import annotations

import pickle
from typing import NamedTuple

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from vault.client.errors import CallError, call_error
from vault.client.retry import RetryPolicy, with_retries

POLICY = RetryPolicy(attempts=4, first=0.1, longest=1.0)


class Pair(NamedTuple):
    key: str
    value: str | bytes


class Failed(grpc.RpcError):
    """A failed call as gRPC's client raises it."""

    def __init__(
        self, code: grpc.StatusCode, reason: str = "", retry: float | None = None, text: str = ""
    ) -> None:
        details = []
        if reason:
            packed = any_pb2.Any()
            packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="tokenvault"))
            details.append(packed)
        if retry is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(int(retry * 1000))
            packed = any_pb2.Any()
            packed.Pack(info)
            details.append(packed)
        rich = status_pb2.Status(details=details).SerializeToString()
        self._code, self._text = code, text
        self._pairs = (Pair("x-request-id", "r1"), Pair("grpc-status-details-bin", rich))

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def trailing_metadata(self) -> tuple[Pair, ...]:  # type: ignore[override]
        return self._pairs


class Server:
    """Fails as told, then answers; time passes only while the client sleeps."""

    def __init__(self, *failures: Failed) -> None:
        self.failures = list(failures)
        self.calls: list[float] = []
        self.slept: list[float] = []

    def call(self, left: float) -> str:
        self.calls.append(left)
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    def now(self) -> float:
        return sum(self.slept)

    def ask(self, timeout: float = 30.0) -> str:
        return with_retries(self.call, POLICY, timeout, sleep=self.slept.append, clock=self.now)


AWAY = grpc.StatusCode.UNAVAILABLE
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_is_away_is_asked_again() -> None:
    server = Server(Failed(AWAY), Failed(AWAY, "STORE_UNAVAILABLE", 0.5))
    assert server.ask() == "done"
    assert len(server.calls) == 3
    assert 0 <= server.slept[0] <= 0.1
    assert 0.5 <= server.slept[1] <= 0.7  # what the server asked for, and jitter


def test_attempts_are_bounded() -> None:
    server = Server(*[Failed(AWAY) for _ in range(9)])
    with pytest.raises(CallError):
        server.ask()
    assert len(server.calls) == POLICY.attempts


def test_no_wait_goes_past_the_timeout() -> None:
    server = Server(Failed(AWAY, "KEYS_UNAVAILABLE", 1.0))
    with pytest.raises(CallError) as caught:
        server.ask(timeout=0.9)
    assert caught.value.reason == "KEYS_UNAVAILABLE"
    assert server.slept == []


def test_later_calls_have_the_time_that_is_left() -> None:
    server = Server(Failed(AWAY, "STORE_UNAVAILABLE", 1.0))
    server.ask(timeout=10.0)
    assert server.calls == [10.0, 9.0]


@pytest.mark.parametrize(
    "failure",
    [
        Failed(grpc.StatusCode.PERMISSION_DENIED, "DENIED"),
        Failed(grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE"),
        Failed(grpc.StatusCode.DEADLINE_EXCEEDED),
        Failed(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        Failed(grpc.StatusCode.INTERNAL, "INTERNAL"),
        Failed(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        Failed(FULL, text="Received message larger than max (5 vs. 4)"),
        Failed(FULL, "SOMETHING"),  # the server sent a reason and no RetryInfo
    ],
)
def test_what_would_fail_again_is_not_asked_again(failure: Failed) -> None:
    server = Server(failure)
    with pytest.raises(CallError) as caught:
        server.ask()
    assert len(server.calls) == 1
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failed(AWAY), "UNAVAILABLE"),
        (Failed(AWAY, "AUDIT_UNAVAILABLE"), "AUDIT_UNAVAILABLE"),
        (Failed(FULL, text="Concurrent RPC limit exceeded!"), "OVERLOADED"),
        (Failed(FULL, text="CLIENT: Sent message larger than max"), "BATCH_TOO_LARGE"),
        (Failed(grpc.StatusCode.DATA_LOSS), "INTERNAL"),
    ],
)
def test_the_reason_is_the_servers_or_follows_from_the_status(failure: Failed, reason: str) -> None:
    assert call_error(failure).reason == reason
    assert call_error(failure).request_id == "r1"


def test_a_call_error_crosses_processes_whole() -> None:
    error = CallError("UNAVAILABLE", "STORE_UNAVAILABLE", "away", True, "r1")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert vars(copy) == vars(error)


def test_a_wait_longer_than_patience_is_not_begun() -> None:
    server = Server(Failed(FULL, "LIMIT_EXCEEDED", retry=1800.0))
    with pytest.raises(CallError) as caught:
        server.ask(timeout=3600.0)
    assert caught.value.retryable
    assert (len(server.calls), server.slept) == (1, [])
