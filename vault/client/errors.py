"""Errors of a call: as a whole (``CallError``) or item by item (``ItemError``)."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2, status_pb2

from vault.client.transport import Contact, transport_failure

__all__ = ["CallError", "ItemError", "call_error", "requested_delay"]

_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"
_TOO_LARGE = "larger than max"
_REASONS = {
    grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    grpc.StatusCode.CANCELLED: "CANCELLED",
    grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
    grpc.StatusCode.UNIMPLEMENTED: "UNIMPLEMENTED",
}
# CANCELLED: this SDK cancels no call, so it was the server that ended it while stopping.
_RETRYABLE = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one item of a column failed.

    Attributes:
        index: position in the column given to the client, from 0.
        reason: stable reason in UPPER_SNAKE_CASE.
        message: for people; never a value.
        retryable: whether the same item may succeed later, unchanged.
        substitute: what the policy has shown in place of a value that it denies, made of the
            token alone; or empty. Never a value.
        on_denied: what the substitute is: ``token`` or ``mask``; or empty.
    """

    index: int
    reason: str
    message: str
    retryable: bool
    substitute: str = field(default="", repr=False)
    on_denied: str = ""


class CallError(Exception):
    """A call failed as a whole: nothing of the failing batch was processed.

    Attributes:
        code: the gRPC status, such as ``PERMISSION_DENIED``.
        reason: stable reason in UPPER_SNAKE_CASE, such as ``DENIED``.
        message: for people; never a value.
        retryable: whether the same call may succeed later, unchanged.
        request_id: the server's id of the call, for its operators, or empty.
        contact: how far the call got.
        details: gRPC's own text where the server gave no reason.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        retryable: bool,
        request_id: str = "",
        contact: Contact = Contact.ANSWERED,
        details: str = "",
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retryable = retryable
        self.request_id = request_id
        self.contact = contact
        self.details = details

    def with_cause(self, cause: str, retryable: bool) -> CallError:
        """Returns the same failure with its cause, which is known, in place of what it may be."""
        message = f"{cause}; gRPC says: {self.details or self.message}"
        return CallError(
            self.code,
            self.reason,
            message,
            retryable,
            self.request_id,
            self.contact,
            self.details,
        )

    def __reduce__(
        self,
    ) -> tuple[type[CallError], tuple[str, str, str, bool, str, Contact, str]]:
        """Makes the error cross process borders whole."""
        return CallError, (
            self.code,
            self.reason,
            self.message,
            self.retryable,
            self.request_id,
            self.contact,
            self.details,
        )


def call_error(error: grpc.RpcError) -> CallError:
    """Reads a gRPC failure: google.rpc.ErrorInfo where the server sent it, else the status."""
    code, message = error.code(), error.details() or ""
    info = error_details_pb2.ErrorInfo()
    contact, details = Contact.ANSWERED, ""
    if _unpack(error, info):
        reason, retryable = info.reason, _unpack(error, error_details_pb2.RetryInfo())
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in message:
        reason, retryable = "BATCH_TOO_LARGE", False
    else:
        reason, retryable = _REASONS.get(code, "INTERNAL"), code in _RETRYABLE
        failure = transport_failure(code, message)
        contact, message, details = failure.contact, failure.text, failure.details
    request_id = _metadata(error, _REQUEST_ID_KEY)
    return CallError(code.name, reason, message, retryable, request_id, contact, details)


def requested_delay(error: grpc.RpcError) -> float:
    """Returns the seconds the server asks to wait before a retry, or 0."""
    info = error_details_pb2.RetryInfo()
    return float(info.retry_delay.ToTimedelta().total_seconds()) if _unpack(error, info) else 0.0


def _unpack(
    error: grpc.RpcError, into: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo
) -> bool:
    raw = _raw_metadata(error, _DETAILS_KEY)
    if not isinstance(raw, bytes):
        return False
    status = status_pb2.Status.FromString(raw)
    return any(detail.Is(into.DESCRIPTOR) and detail.Unpack(into) for detail in status.details)


def _metadata(error: grpc.RpcError, key: str) -> str:
    value = _raw_metadata(error, key)
    return value if isinstance(value, str) else ""


def _raw_metadata(error: grpc.RpcError, key: str) -> str | bytes | None:
    found = (entry.value for entry in error.trailing_metadata() or () if entry.key == key)
    return next(found, None)
