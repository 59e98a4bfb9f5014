"""Two hundred callers who connect, or call, and then say nothing: a good one is answered.

Every listener and both probes are asked again, on a new connection each, while the
silent ones are there and go on being there.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.http2 import PREFACE, check_call, deaf_watch
from vault.client import ClientTls
from vault.dev.issuer import JwtIssuer
from vault.dev.ports import persistent_port
from vault.v1.tokenization_service_pb2 import TokenizeRequest
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

pytestmark = pytest.mark.alone

SILENT = 200
RECEIVE_TIMEOUT = 1  # seconds; so long they are watched, too
ISSUER = "https://idp.example.org"
TOKENIZE = "/vault.v1.TokenizationService/Tokenize"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
ALONE = (("grpc.use_local_subchannel_pool", 1),)


@dataclass
class ServerHarness:
    """A server with both listeners, both probes, and who may call it."""

    site: Site
    server: Server
    issuer: JwtIssuer

    def port(self, name: str) -> int:
        return int(self.server._port(name).rpartition(":")[2])

    def token(self, group: str) -> tuple[tuple[str, str], ...]:
        now = int(time.time())
        made = self.issuer.sign(
            {
                "iss": ISSUER,
                "aud": "tokenvault",
                "sub": f"someone-of-{group}",
                "iat": now,
                "exp": now + 600,
                "groups": [group],
            }
        )
        return (("authorization", f"Bearer {made}"),)

    def channel(self, name: str, tls: ClientTls | None = None) -> grpc.Channel:
        if name == "health_port":
            return grpc.insecure_channel(self.server._port(name), ALONE)
        ca = self.site.authority.certificate_path.read_bytes()
        pair = (tls.key.read_bytes(), tls.cert.read_bytes()) if tls else (None, None)
        credentials = grpc.ssl_channel_credentials(ca, *pair)
        return grpc.secure_channel(self.server._port(name), credentials, ALONE)

    # -- the good ones ----------------------------------------------------------------

    def call(self, port: str) -> None:
        tls = self.site.tls("pipeline") if port == "port" else None
        metadata = () if tls else self.token("pipeline")
        with self.channel(port, tls) as channel:
            ask = TokenizeRequest(field="card_number", values=["4111111111111111"])
            TokenizationServiceStub(channel).Tokenize(ask, timeout=1, metadata=metadata)

    def probe(self) -> None:
        with self.channel("health_port") as channel:
            ask = health_pb2.HealthCheckRequest(service="liveness")
            answer = health_pb2_grpc.HealthStub(channel).Check(ask, timeout=1)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

    def page(self) -> None:
        connection = http.client.HTTPConnection("localhost", self.port("metrics_port"), timeout=1)
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 200
        connection.close()

    def answers(self) -> None:
        """Asks everywhere. Raises where an answer does not come within a second."""
        self.call("port")
        self.call("jwt_port")
        self.probe()
        self.page()

    def settle(self) -> None:
        """Lets calls arrive: while all are younger than 0.1 s, they are a flood, not silent."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                return self.answers()
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
        return None


@pytest.fixture(scope="module")
def harness(site: Site, start_server: StartServer) -> ServerHarness:
    home = site.directory / "silent"
    home.mkdir()
    issuer = JwtIssuer(home / "idp")
    server = start_server(
        "silent",
        {
            "server": {"receive_timeout": f"{RECEIVE_TIMEOUT}s"},
            "jwt": {"port": persistent_port(home / "jwt_port")},
            "jwt.issuers#1": {
                "issuer": ISSUER,
                "audience": "tokenvault",
                "algorithms": ["ES256"],
                "jwks_file": str(issuer.jwks_path),
            },
        },
    )
    made = ServerHarness(site, server, issuer)
    made.answers()
    return made


Silence = Callable[[ServerHarness, ExitStack], None]


def no_bytes(port: str) -> Silence:
    def connect(harness: ServerHarness, stack: ExitStack) -> None:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("localhost", harness.port(port)), 5))

    return connect


def first_bytes(port: str, sent: bytes) -> Silence:
    def connect(harness: ServerHarness, stack: ExitStack) -> None:
        for _ in range(SILENT):
            one = socket.create_connection(("localhost", harness.port(port)), 5)
            stack.enter_context(one).sendall(sent)

    return connect


def no_call(port: str) -> Silence:
    """Shakes hands, says that it speaks HTTP/2, and no more."""

    def connect(harness: ServerHarness, stack: ExitStack) -> None:
        context = ssl.create_default_context(cafile=harness.site.authority.certificate_path)
        context.set_alpn_protocols(["h2"])
        if port == "port":
            tls = harness.site.tls("nobody")
            context.load_cert_chain(tls.cert, tls.key)

        def one(_: int) -> ssl.SSLSocket:
            plain = socket.create_connection(("localhost", harness.port(port)), 5)
            wrapped = context.wrap_socket(plain, server_hostname="localhost")
            wrapped.sendall(PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            return wrapped

        with ThreadPoolExecutor(8) as pool:
            for connection in pool.map(one, range(SILENT)):
                stack.enter_context(connection)

    return connect


def no_request(port: str, method: str, *callers: str) -> Silence:
    """Calls, and never sends what it asks for."""

    def call(harness: ServerHarness, stack: ExitStack) -> None:
        over = threading.Event()

        def nothing() -> Iterator[bytes]:
            over.wait(60)
            yield from ()

        def channel(number: int) -> grpc.Channel:
            who = callers[number % len(callers)]
            tls = harness.site.tls(who) if port == "port" else None
            return stack.enter_context(harness.channel(port, tls))

        channels = [channel(number) for number in range(10)]
        calls: list[object] = []
        stack.callback(calls.clear)
        stack.callback(over.set)
        for number in range(SILENT):
            each = number % len(channels)
            who = callers[each % len(callers)]
            metadata = harness.token(who) if port == "jwt_port" and who else ()
            send = channels[each].stream_unary(method, None, None)
            # Kept: a call that nobody holds is cancelled.
            calls.append(send.future(nothing(), timeout=50, metadata=metadata))

    return call


KINDS: dict[str, Silence] = {
    "no bytes": no_bytes("port"),
    "no bytes, jwt": no_bytes("jwt_port"),
    "no bytes, health": no_bytes("health_port"),
    "no bytes, metrics": no_bytes("metrics_port"),
    "no TLS": first_bytes("port", PREFACE),
    "no TLS, jwt": first_bytes("jwt_port", PREFACE),
    "half a handshake": first_bytes("port", b"\x16\x03\x01\x02\x00\x01\x00"),
    "half a preface, health": first_bytes("health_port", PREFACE[:10]),
    "half a request, metrics": first_bytes("metrics_port", b"GET /metrics HT"),
    "no call": no_call("port"),
    "no call, jwt": no_call("jwt_port"),
    "no role": no_request("port", TOKENIZE, "nobody", "no-one"),
    "no role, jwt": no_request("jwt_port", TOKENIZE, "nobody", "no-one"),
    "no token": no_request("jwt_port", TOKENIZE, ""),
    "no request": no_request("port", TOKENIZE, "restore-pipeline", "auditor"),
    "no request, health": no_request("health_port", CHECK, ""),
    "no reading, health watch": first_bytes("health_port", deaf_watch("liveness")),
    "no request, health watch": no_request("health_port", WATCH, ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_silent_callers_keep_nobody_from_an_answer(harness: ServerHarness, kind: str) -> None:
    with ExitStack() as stack:
        KINDS[kind](harness, stack)
        harness.settle()
        end = time.monotonic() + RECEIVE_TIMEOUT
        while time.monotonic() < end:
            harness.answers()
    assert harness.server.health("liveness") == "SERVING"
    # Nor do they fill the log: all of it is ours, and bounded for an address.
    lines = harness.server.lines()
    closed = [line for line in lines if line["event"] == "connection closed"]
    strangers = [line for line in lines if line["event"] == "call" and not line["principal"]]
    assert len(closed) < 2 * len(KINDS)
    assert len(strangers) < 2 * len(KINDS)


CHECK_AND_STAY = check_call("liveness")
FLOODS = {
    "one address, main": ("port", b"", 1, 1000),
    "one address, jwt": ("jwt_port", b"", 1, 1000),
    "one address, health": ("health_port", b"", 1, 512),
    "two addresses that ask health once": ("health_port", CHECK_AND_STAY, 2, 256),
    "six addresses, main": ("port", b"", 6, 250),
}


class Flood:
    """Connections from addresses of this machine, each opened again once it is closed."""

    def __init__(self, port: int, sent: bytes, address: str, size: int) -> None:
        self._port, self._sent, self._address, self._size = port, sent, address, size
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        here: list[socket.socket] = []
        while not self._over.wait(0.2):
            here = [each for each in here if self._is_open(each)]
            with suppress(OSError):
                while len(here) < self._size and not self._over.is_set():
                    here.append(self._open())
        for each in here:
            each.close()

    def _open(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), 1, (self._address, 0))
        made.sendall(self._sent)
        made.setblocking(False)
        return made

    @staticmethod
    def _is_open(connection: socket.socket) -> bool:
        try:
            while connection.recv(4096):
                pass
        except BlockingIOError:
            return True
        except OSError:
            pass
        connection.close()
        return False


@pytest.mark.parametrize("kind", FLOODS)
def test_connections_that_come_back_at_once_leave_room_for_others(
    harness: ServerHarness, kind: str
) -> None:
    port, sent, addresses, size = FLOODS[kind]
    with ExitStack() as stack:
        for number in range(addresses):
            flood = Flood(harness.port(port), sent, f"127.0.0.{2 + number}", size)
            stack.callback(flood.stop)
        time.sleep(1)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            harness.answers()
