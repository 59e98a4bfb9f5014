"""HTTP/2 as no library would send it. Source: RFC 9113, RFC 7541 (literals without Huffman)."""

from __future__ import annotations

import struct

from grpc_health.v1 import health_pb2

__all__ = ["PREFACE", "check_call", "deaf_watch", "frame"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Returns one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def deaf_watch(service: str) -> bytes:
    """Returns a call of Watch on a connection whose caller has no room for any answer."""
    return _health("Watch", service, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0))


def check_call(service: str) -> bytes:
    """Returns a call of Check on a connection of its own."""
    return _health("Check", service, b"")


def _health(method: str, service: str, settings: bytes) -> bytes:
    message = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    body = b"\x00" + struct.pack(">I", len(message)) + message
    return (
        PREFACE
        + frame(_SETTINGS, 0, 0, settings)
        + frame(_HEADERS, _END_HEADERS, 1, _headers(f"/grpc.health.v1.Health/{method}"))
        + frame(_DATA, _END_STREAM, 1, body)
    )


def _headers(path: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
