"""From our errors to gRPC statuses with google.rpc details.

Source: google.rpc.Code, and AIP-193 for ErrorInfo. Neither message nor details ever
carry a value: our errors do not, and others never reach this module.
"""

from __future__ import annotations

import math

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from vault.errors import BudgetExhausted, LimitExceeded, Reason, TokenvaultError

__all__ = ["DOMAIN", "REQUEST_ID_KEY", "CallStatus", "call_status"]

DOMAIN = "tokenvault"
REQUEST_ID_KEY = "x-request-id"

_DETAILS_KEY = "grpc-status-details-bin"
_RETRY_SECONDS = {Reason.OVERLOADED: 0.2, Reason.STORE_UNAVAILABLE: 0.5}
_RETRY_DEFAULT = 1.0
_CODES = {
    Reason.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.OUTSIDE_NETWORKS: grpc.StatusCode.PERMISSION_DENIED,
    Reason.OUTSIDE_HOURS: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PURPOSE_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PURPOSE_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TICKET_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TICKET_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.APPROVAL_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.GRANT_INVALID: grpc.StatusCode.PERMISSION_DENIED,
    Reason.GRANT_EXPIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.GRANT_REVOKED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.GRANT_EXHAUSTED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.SELF_APPROVAL: grpc.StatusCode.PERMISSION_DENIED,
    Reason.SAME_GROUP: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PERSON_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.BREAK_GLASS_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.REVIEW_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PRINCIPAL_FROZEN: grpc.StatusCode.PERMISSION_DENIED,
    Reason.SELF_UNFREEZE: grpc.StatusCode.PERMISSION_DENIED,
    Reason.FREEZE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.HONEY_SET_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ALREADY_DECIDED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REVEAL_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REVEAL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.FIELD_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.TOKEN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.FORMAT_SPACE_EXHAUSTED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.KEYS_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.AUDIT_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.LIMIT_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.BUDGET_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.BUDGET_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
}


class CallStatus(grpc.Status):
    """What ``ServicerContext.abort_with_status`` takes."""

    def __init__(
        self, code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str | bytes], ...]
    ) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = metadata


def status_code(reason: Reason) -> grpc.StatusCode:
    """Returns the gRPC status of a reason; what the caller can correct is INVALID_ARGUMENT."""
    return _CODES.get(reason, grpc.StatusCode.INVALID_ARGUMENT)


def call_status(error: TokenvaultError, request_id: str) -> CallStatus:
    """Makes the status of a call that failed as a whole."""
    code = status_code(error.reason)
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    if isinstance(error, BudgetExhausted):
        info.metadata["left"] = str(error.left)
    details = [_packed(info)]
    if error.retryable:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(_retry_seconds(error) * 1000))
        details.append(_packed(retry))
    number: int = code.value[0]
    rich = status_pb2.Status(code=number, message=error.message, details=details)
    metadata = ((_DETAILS_KEY, rich.SerializeToString()), (REQUEST_ID_KEY, request_id))
    return CallStatus(code, error.message, metadata)


def _retry_seconds(error: TokenvaultError) -> float:
    if isinstance(error, LimitExceeded) and error.retry_after is not None:
        return error.retry_after
    return _RETRY_SECONDS.get(error.reason, _RETRY_DEFAULT)


def _packed(detail: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
