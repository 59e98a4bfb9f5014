"""Explains gRPC failures that carry no answer of the server, in words that say what to do.

gRPC's own text stays, in parentheses: it names addresses and TLS errors, never a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import grpc

__all__ = ["Contact", "TransportFailure", "explain_status", "transport_failure"]


class Contact(Enum):
    """How far a call came that failed without a status from the service."""

    NO_ANSWER = "nobody answered there"
    CLOSED = "somebody answered and closed the connection, as a server does that refuses a caller"
    OTHER_SERVICE = "whoever answered is not the service that is meant, or does not speak TLS"
    ANSWERED = "the service answered, or may have"
    NOT_SENT = "nothing was sent"


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """A call that failed without a status from the service.

    Attributes:
        text: the message, with gRPC's own text in parentheses.
        details: gRPC's own text.
    """

    contact: Contact
    text: str
    details: str


_UNKNOWN_AUTHORITY = "the server's certificate is not of the authority given"
_WRONG_HOST = "the host of the address is not in the server's certificate"
_UNKNOWN_HOST = "the host's name is not known"
# The first that fits. A server refuses a certificate by closing the connection: of TLS 1.3
# the caller sees no more than that.
_WORDS = (
    ("Hostname Verification", Contact.OTHER_SERVICE, _WRONG_HOST),
    ("is not in peer certificate", Contact.OTHER_SERVICE, _WRONG_HOST),  # gRPC 1.76
    ("certificate has expired", Contact.OTHER_SERVICE, "the server's certificate has expired"),
    (
        "certificate is not yet valid",
        Contact.OTHER_SERVICE,
        "the server's certificate is not valid yet",
    ),
    ("CERTIFICATE_VERIFY_FAILED", Contact.OTHER_SERVICE, _UNKNOWN_AUTHORITY),
    (
        "WRONG_VERSION_NUMBER",
        Contact.OTHER_SERVICE,
        "what listens there does not speak TLS: it is another port",
    ),
    ("TSI_PROTOCOL_FAILURE", Contact.OTHER_SERVICE, "the TLS handshake failed"),
    ("Connection refused", Contact.NO_ANSWER, "nothing listens there"),
    ("lookup", Contact.NO_ANSWER, _UNKNOWN_HOST),
    ("DNS resolution failed", Contact.NO_ANSWER, _UNKNOWN_HOST),  # gRPC 1.76
    ("No route to host", Contact.NO_ANSWER, "the host cannot be reached"),
    ("unreachable", Contact.NO_ANSWER, "the host cannot be reached"),
    ("Endpoint closing", Contact.NO_ANSWER, "something listens there and says nothing: it hangs"),
    ("FD shutdown", Contact.NO_ANSWER, "nothing answers there in time"),
    ("timed out", Contact.NO_ANSWER, "nothing answers there in time"),
    ("GOAWAY", Contact.ANSWERED, "the server is ending the connection"),
    ("plugin failed", Contact.NOT_SENT, "the call could not be prepared"),
)
_CLOSED = ("Socket closed", "Connection reset", "Broken pipe", "Stream removed")
_REFUSED = (
    "the server closed the connection before it was ready: it does not accept the caller's "
    "certificate (expired, of another authority, or none), or has too many connections"
)
_LOST = (
    "the connection was lost before the answer came; where that happens every time, the server "
    "does not accept the caller's certificate"
)
_ENDED = (
    "the server ended the call: it is stopping or too busy, or the request took too long to arrive"
)


_LATE = "no answer came in time"


def transport_failure(code: grpc.StatusCode, details: str) -> TransportFailure:
    """Returns the message for a failure without a reason from the service."""
    contact, words = _found(code, details)
    text = f"{words} ({details})" if words and details else words or details
    return TransportFailure(contact, text, details)


def explain_status(code: grpc.StatusCode, details: str) -> str:
    """Returns the text alone."""
    return transport_failure(code, details).text


def _found(code: grpc.StatusCode, details: str) -> tuple[Contact, str]:
    if code is grpc.StatusCode.CANCELLED:
        return Contact.ANSWERED, _ENDED
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Contact.ANSWERED, _LATE
    if code is not grpc.StatusCode.UNAVAILABLE:
        return Contact.ANSWERED, ""
    if any(text in details for text in _CLOSED):
        return Contact.CLOSED, _REFUSED if "connect" in details else _LOST
    found = ((contact, words) for text, contact, words in _WORDS if text in details)
    return next(found, (Contact.ANSWERED, ""))
