"""The load generator of small calls: HTTP/2 over TLS by hand, so that it is not what is measured.

A gRPC call costs a Python client about as much as it costs the server. Here a call's frames
are mostly the same bytes, one process waits for all its callers' sockets at once, and a call
costs 0.1 ms, a third. Source: RFC 9113, RFC 7541.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import selectors
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tests.bench.load import Closed, Target, Work
from tests.http2 import PREFACE, frame
from vault.v1 import tokenization_service_pb2 as messages

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE = 4
_LARGEST_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_STATUS_200 = 0x88  # as both gRPC and Go's server write it
_POST_HTTPS = b"\x83\x87"
_FIRST_OF_OURS = 62  # in the table of headers, the newest first
Header = tuple[bytes, bytes]


class SmallCall(Protocol):
    """A kind of call whose request fits into one frame. Survives pickling."""

    def headers(self) -> list[Header]:
        """What every request begins with, without method and scheme."""

    def body(self, number: int) -> bytes:
        """The request of a call."""

    def check(self, answer: bytes) -> None:
        """Raises RuntimeError where the answer is none."""


@dataclass(frozen=True)
class GrpcCall:
    """A call of the service, of one value."""

    work: Work

    def headers(self) -> list[Header]:
        rpc = b"Detokenize" if self.work.tokens else b"Tokenize"
        return [
            (b":path", b"/vault.v1.TokenizationService/" + rpc),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"grpc-timeout", b"60S"),
        ]

    def body(self, number: int) -> bytes:
        message = self.work.encoded(number)
        return b"\x00" + struct.pack(">I", len(message)) + message

    def check(self, answer: bytes) -> None:
        if not answer:
            raise RuntimeError(f"{self.work.field}: the call was refused")
        # Both kinds of answer have their errors in the same field.
        if errors := messages.TokenizeResponse.FromString(answer[5:]).errors:
            raise RuntimeError(f"{self.work.field}: {errors[0].reason}")


@dataclass(frozen=True)
class TransitCall:
    """``transit/encrypt`` of an OpenBao or HashiCorp Vault, of one value."""

    key: str
    token: str

    def headers(self) -> list[Header]:
        return [
            (b":path", b"/v1/transit/encrypt/" + self.key.encode()),
            (b"content-type", b"application/json"),
            (b"x-vault-token", self.token.encode()),
        ]

    def body(self, number: int) -> bytes:
        value = base64.b64encode(str(10**15 + number).encode()).decode()
        return json.dumps({"plaintext": value}).encode()

    def check(self, answer: bytes) -> None:
        if b'"ciphertext":"vault:v1:' not in answer:
            raise RuntimeError("OpenBao did not encrypt")


class _Caller:
    """One caller: a connection, and on it one call after the other."""

    def __init__(self, target: Target, call: SmallCall, numbers: Iterator[int]) -> None:
        self._call = call
        self._numbers = numbers
        self._socket = _connected(target)
        self._stream = -1
        self._room = _DEFAULT_WINDOW
        self._received = bytearray()
        self._answer = bytearray()
        self._first, self._again = _header_blocks(target, call)
        window = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
        self._socket.sendall(
            PREFACE
            + frame(_SETTINGS, 0, 0, window)
            + frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW))
        )
        self.began = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self) -> None:
        """Sends the next call."""
        block = self._again if self._stream > 0 else self._first
        self._stream += 2
        body = self._call.body(next(self._numbers))
        self._room -= len(body)
        if self._room < 0:
            raise RuntimeError("the server gives no room for another request")
        self.began = time.monotonic()
        self._socket.sendall(
            frame(_HEADERS, _END_HEADERS, self._stream, block)
            + frame(_DATA, _END_STREAM, self._stream, body)
        )

    def receive(self) -> bool:
        """Takes what has come; returns whether the call has been answered."""
        while True:
            try:
                part = self._socket.recv(65_536)
            except ssl.SSLWantReadError:
                return self._answered()
            if not part:
                raise RuntimeError("the server closed the connection")
            self._received += part

    def close(self) -> None:
        self._socket.close()

    def _answered(self) -> bool:
        received, at, ended = self._received, 0, False
        while len(received) - at >= 9:
            size = int.from_bytes(received[at : at + 3])
            if len(received) - at < 9 + size:
                break
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + 9])
            self._take(kind, flags, stream, bytes(received[at + 9 : at + 9 + size]))
            ended = ended or (kind in (_DATA, _HEADERS) and flags & _END_STREAM != 0)
            at += 9 + size
        del received[:at]
        if ended:
            answer = bytes(self._answer)
            self._answer.clear()
            self._call.check(answer)
        return ended

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._answer += payload
        elif kind == _HEADERS and not self._answer and _STATUS_200 not in payload[:4]:
            raise RuntimeError("the server answered with an error")
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._room += int.from_bytes(payload)
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._socket.sendall(frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind in (_RST_STREAM, _GOAWAY):
            raise RuntimeError("the server ended the call")


def http2_loop(target: Target, call: SmallCall, callers: int, start: float, end: float) -> Closed:
    """Lets callers call until the end, each one call at a time on a connection of its own.

    Only calls that begin after the start are counted.
    """
    numbers = itertools.count(random.randrange(10**9) * 10)
    everyone = [_Caller(target, call, numbers) for _ in range(callers)]
    taken: list[float] = []
    idle, cpu = 0.0, 0.0
    with selectors.DefaultSelector() as selector:
        for caller in everyone:
            selector.register(caller, selectors.EVENT_READ, caller)
            caller.send()
        while (now := time.monotonic()) < end:
            if not cpu and now >= start:
                cpu = time.process_time()
            ready = selector.select(end - now)
            if now >= start:
                idle += time.monotonic() - now
            for key, _ in ready:
                caller = key.data
                if not caller.receive():
                    continue
                ended = time.monotonic()
                if start <= caller.began and ended <= end:
                    taken.append(ended - caller.began)
                caller.send()
        cpu = time.process_time() - cpu
    for caller in everyone:
        caller.close()
    return Closed(taken, cpu, 1 - idle / (end - start))


def _connected(target: Target) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(target.ca))
    context.load_cert_chain(str(target.cert), str(target.key))
    context.set_alpn_protocols(["h2"])
    host, _, port = target.address.rpartition(":")
    plain = socket.create_connection((host, int(port)))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    secured = context.wrap_socket(plain, server_hostname=host)
    secured.setblocking(False)
    return secured


def _header_blocks(target: Target, call: SmallCall) -> tuple[bytes, bytes]:
    """Returns the headers of the first request, and of those after it: indexes into the table."""
    fields = [(b":authority", target.address.encode()), *call.headers()]
    first = b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields)
    newest = range(_FIRST_OF_OURS + len(fields) - 1, _FIRST_OF_OURS - 1, -1)
    return _POST_HTTPS + first, _POST_HTTPS + bytes(0x80 | at for at in newest)


def _text(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    # One more byte of seven bits: up to 254 characters, which an OpenBao token has not.
    return bytes([127, len(text) - 127]) + text
