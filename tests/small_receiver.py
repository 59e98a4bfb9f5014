"""A receiver of webhooks over real HTTP, and what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class SmallReceiver:
    """Answers what ``answers`` has, in order, then ``status``.

    Attributes:
        requests: path, headers (names in lower case) and body of each request.
    """

    status: int = 204
    answers: list[int] = field(default_factory=list)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    port: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def note(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keeps a request; returns the status to answer."""
        self.requests.append((path, headers, body))
        self.arrived.set()
        return self.answers.pop(0) if self.answers else self.status


@contextmanager
def small_receiver(port: int = 0) -> Iterator[SmallReceiver]:
    """Listens for the length of the block, on a port that is free if none is given."""
    receiver = SmallReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            self.send_response(receiver.note(self.path, headers, body))
            for name, value in receiver.answer_headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
