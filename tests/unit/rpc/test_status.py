from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from vault.errors import (
    Denied,
    InvalidRequest,
    KeysUnavailable,
    LimitExceeded,
    Reason,
    TokenvaultError,
)
from vault.rpc.status import call_status, status_code


def rich(error: TokenvaultError) -> status_pb2.Status:
    metadata = dict(call_status(error, "r1").trailing_metadata)
    return status_pb2.Status.FromString(metadata["grpc-status-details-bin"])


def test_the_reason_travels_as_error_info() -> None:
    status = rich(Denied("the policy does not allow this call"))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("DENIED", "tokenvault")
    assert len(status.details) == 1
    assert status.code == grpc.StatusCode.PERMISSION_DENIED.value[0]


def test_what_may_succeed_later_says_when() -> None:
    retry = error_details_pb2.RetryInfo()
    assert rich(KeysUnavailable("sealed")).details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1000


def test_the_request_id_is_in_the_trailing_metadata() -> None:
    status = call_status(InvalidRequest("the batch is empty"), "r1")
    assert ("x-request-id", "r1") in status.trailing_metadata
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.details == "the batch is empty"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status_that_is_a_failure(reason: Reason) -> None:
    assert status_code(reason) not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}


def test_a_limit_says_when_its_window_ends() -> None:
    retry = error_details_pb2.RetryInfo()
    status = rich(LimitExceeded("the limit is reached", retry_after=1234.5678))
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1_234_568


def test_a_batch_that_no_window_is_long_enough_for_is_not_asked_to_retry() -> None:
    assert len(rich(LimitExceeded("split it")).details) == 1
