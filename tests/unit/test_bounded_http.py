"""Requests end when their time is over, however an answer is dragged out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from vault.bounded_http import bounded_request

HEAD = b"HTTP/1.1 200 OK\r\n"
SECONDS = 0.2


@contextmanager
def server(answer: bytes, drops: bytes, end: bytes = b"") -> Iterator[str]:
    """Answers one request, some of it a byte at a time; must not get to the end of it."""
    cut = threading.Event()
    ended: list[None] = []

    def serve() -> None:
        with listening.accept()[0] as connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(answer)
            for _ in range(80 if drops else 0):
                cut.wait(SECONDS / 4)
                connection.sendall(drops)
            connection.sendall(end)
            if drops and not cut.is_set():
                ended.append(None)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        cut.set()
        thread.join()
    assert not ended


@pytest.mark.parametrize(
    ("answer", "drops", "end"),
    [
        (HEAD + b"x: ", b"a", b"\r\ncontent-length: 0\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"content-length: 0\r\n\r\n"),
    ],
)
def test_headers_that_never_end_are_cut_off(answer: bytes, drops: bytes, end: bytes) -> None:
    with (
        server(answer, drops, end) as url,
        pytest.raises(OSError),  # noqa: PT011 - whichever the library makes of it
        bounded_request("POST", url, timeout=SECONDS, data=b"x"),
    ):
        pass


@pytest.mark.parametrize("length", [b"", b"content-length: 80\r\n"])
def test_a_body_that_never_ends_is_cut_off_and_none_is_taken_for_whole(length: bytes) -> None:
    with (
        server(HEAD + length + b"\r\n", b"a") as url,
        bounded_request("GET", url, timeout=SECONDS) as response,
        pytest.raises((ValueError, OSError)),
    ):
        assert response.status == 200
        response.read(1000)


def test_what_comes_in_time_is_read() -> None:
    answer = HEAD + b"etag: t\r\ncontent-length: 2\r\n\r\nok"
    with server(answer, b"") as url, bounded_request("GET", url, timeout=20) as response:
        assert (response.status, response.header("etag")) == (200, "t")
        assert response.read(10) == b"ok"
