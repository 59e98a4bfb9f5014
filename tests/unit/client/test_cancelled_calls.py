"""A call that a stopping server ended is repeated: the SDK itself cancels none."""

from __future__ import annotations

from typing import Any

import grpc

from vault.client.errors import call_error


class Ended(grpc.RpcError):
    """What gRPC raises for a call that ended."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return ""

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()


def test_a_cancelled_call_may_be_repeated_and_a_late_one_not() -> None:
    assert call_error(Ended(grpc.StatusCode.CANCELLED)).retryable
    assert not call_error(Ended(grpc.StatusCode.DEADLINE_EXCEEDED)).retryable
