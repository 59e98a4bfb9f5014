"""What gRPC says where no answer of the server came, in words that say what to do.

gRPC's own text stays, in parentheses: it names addresses and TLS errors, never a value.
"""

from __future__ import annotations

import grpc

__all__ = ["in_words"]

# The first that fits, of what gRPC 1.76 and later ones say. A server refuses a certificate by
# closing the connection: of TLS 1.3 the caller sees no more than that.
_WORDS = (
    ("Hostname Verification", "the host of the address is not in the server's certificate"),
    ("is not in peer certificate", "the host of the address is not in the server's certificate"),
    ("certificate has expired", "the server's certificate has expired"),
    ("certificate is not yet valid", "the server's certificate is not valid yet"),
    ("CERTIFICATE_VERIFY_FAILED", "the server's certificate is not of the authority given"),
    ("WRONG_VERSION_NUMBER", "what listens there does not speak TLS: it is another port"),
    ("TSI_PROTOCOL_FAILURE", "the TLS handshake failed"),
    ("Connection refused", "nothing listens there"),
    ("lookup", "the host's name is not known"),
    ("Domain name not found", "the host's name is not known"),
    ("No route to host", "the host cannot be reached"),
    ("unreachable", "the host cannot be reached"),
    ("FD shutdown", "nothing answers there in time"),
    ("timed out", "nothing answers there in time"),
    ("GOAWAY", "the server is ending the connection"),
    ("plugin failed", "the call could not be prepared"),
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


def in_words(code: grpc.StatusCode, details: str) -> str:
    """Returns what to tell of a failure that has no reason of the server's own."""
    words = _words(code, details)
    return f"{words} ({details})" if words and details else words or details


def _words(code: grpc.StatusCode, details: str) -> str:
    if code is grpc.StatusCode.CANCELLED:
        return _ENDED
    if code is not grpc.StatusCode.UNAVAILABLE:
        return ""
    if any(text in details for text in _CLOSED):
        return _REFUSED if "connect" in details else _LOST
    return next((words for text, words in _WORDS if text in details), "")
