"""Ten times the load that this machine can take: told quickly, bounded, survived."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.flood import flood, processes_of, refusal, watching
from tests.bench.load import Target, Work, tokens_of
from tests.http2 import PREFACE, frame
from vault.v1.tokenization_service_pb2 import TokenizeRequest
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, StartServer

pytestmark = pytest.mark.alone

SECONDS = 5.0
SMALL = {
    "max_workers": 4,
    "max_concurrent_rpcs": 16,
    # A third more than the flood's 64: from three quarters on, those that have had no call
    # admitted for a second make room for others.
    "max_connections": 100,
    # Everybody here calls from one address.
    "max_connections_per_address": 100,
}
NEW = Work("national_id", 1, fresh=True)


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    return start_server("small", {"server": SMALL}, environment={})


def target(server: Server, identity: str) -> Target:
    tls = server.site.tls(identity)
    return Target(server.address, tls.ca, tls.cert, tls.key)


def capacity(target: Target) -> float:
    """Calls a second of one caller: within a small factor of what the server can take."""
    with target.connected() as stub:
        NEW.call(stub, 0)
        began, done = time.monotonic(), 0
        while time.monotonic() < began + 1:
            done += 1
            NEW.call(stub, done)
    return done


def test_ten_times_the_load_is_refused_and_survived(server: Server) -> None:
    noisy, quiet = target(server, "pipeline"), target(server, "restore-pipeline")
    known = Work("national_id", 1, tokens=tokens_of(noisy, "national_id", 1))
    rate = min(3000.0, 10 * capacity(noisy))
    health = server._port("health_port")
    with watching(server.settings, health, quiet, known) as watch:
        told = flood(noisy, NEW, rate, SECONDS)
    # Every call was answered: done, refused with a reason, or dropped before it was begun.
    begun, never_begun = {"OK", "REFUSED", "BARE"}, {"CANCELLED", "REFUSED_STREAM"}
    assert set(told.outcomes) <= begun | never_begun, told.outcomes
    assert told.outcomes.total() == told.offered
    assert told.outcomes["OK"] > 0
    assert told.outcomes["REFUSED"] > 0
    assert told.latency("REFUSED", 0.5) < 5
    # Health answered, one process lived through it, and its memory is bounded.
    assert watch.unhealthy == []
    assert watch.slowest_health < 2
    assert len(watch.lives) == 1
    assert max(watch.resident) < watch.resident[0] + 150
    # Another caller had the places that the flood could not take.
    assert watch.quiet
    assert watch.quiet_failures["REFUSED"] == 0
    # Afterwards all is as before.
    assert capacity(noisy) > 5
    with server.client("auditor") as auditor:
        assert list(auditor.verify_audit().findings) == []


def test_a_caller_who_never_sends_his_requests_holds_only_his_own_places(server: Server) -> None:
    noisy, quiet = target(server, "pipeline"), target(server, "restore-pipeline")
    known = Work("national_id", 1, tokens=tokens_of(noisy, "national_id", 1))
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(30)
        yield from ()

    with ExitStack() as stack:
        stack.callback(over.set)
        pending = []
        for _ in range(3 * SMALL["max_concurrent_rpcs"]):
            credentials = server.site.tls("pipeline").credentials()
            channel = stack.enter_context(grpc.secure_channel(noisy.address, credentials))
            send = channel.stream_unary("/vault.v1.TokenizationService/Tokenize", None, None)
            pending.append(send.future(nothing(), timeout=20))
        share = SMALL["max_concurrent_rpcs"] // 2
        end = time.monotonic() + 15
        while sum(call.done() for call in pending) < len(pending) - share:
            assert time.monotonic() < end
            time.sleep(0.02)
        ended = [call for call in pending if call.done()]
        failures = [failure for call in ended if (failure := call.exception())]
        assert {refusal(failure) for failure in failures} == {"REFUSED"}
        with quiet.connected() as stub:
            for number in range(20):
                known.call(stub, number)


def connections(server: Server) -> float:
    """How many connections the mTLS listener has, as of its last look."""
    with urlopen(f"http://{server.metrics}/metrics", timeout=5) as page:
        return next(
            sample.value
            for family in text_string_to_metric_families(page.read().decode())
            for sample in family.samples
            if sample.name == "tokenvault_connections" and sample.labels == {"listener": "mtls"}
        )


def test_connections_too_many_are_closed_and_the_newest_caller_is_answered(server: Server) -> None:
    tls = server.site.tls("pipeline")
    ask = TokenizeRequest(field="national_id", values=["0000000001"])
    with ExitStack() as stack:
        for _ in range(SMALL["max_connections"] + 20):
            channel = stack.enter_context(
                grpc.secure_channel(
                    server.address, tls.credentials(), [("grpc.use_local_subchannel_pool", 1)]
                )
            )
            TokenizationServiceStub(channel).Tokenize(ask, timeout=5)
        end = time.monotonic() + 10
        while not SMALL["max_connections"] - 20 <= connections(server) <= SMALL["max_connections"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert server.health("readiness") == "SERVING"
    with server.client("pipeline") as client:
        assert client.tokenize("national_id", ["0000000001"]).errors == {}
    assert processes_of(server.settings) == [server.process.pid]


def test_strangers_who_fill_every_connection_leave_room_for_a_caller(server: Server) -> None:
    tls = server.site.tls("nobody")
    context = ssl.create_default_context(cafile=tls.ca)
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(tls.cert, tls.key)
    port = int(server.address.rpartition(":")[2])
    with ExitStack() as stack:
        opened = 0
        for _ in range(2 * SMALL["max_connections"]):
            plain = stack.enter_context(socket.create_connection(("localhost", port), 5))
            try:
                # Handshake, the HTTP/2 preface with empty settings, and no word more.
                stack.enter_context(
                    context.wrap_socket(plain, server_hostname="localhost")
                ).sendall(PREFACE + frame(4, 0, 0, b""))
            except OSError:
                continue
            opened += 1
        assert opened >= SMALL["max_connections"] // 2
        began = time.monotonic()
        with server.client("pipeline") as client:
            assert client.tokenize("national_id", ["0000000001"]).errors == {}
        assert time.monotonic() - began < 5
    closed = [line for line in server.lines() if line["event"] == "connection closed"]
    assert closed[-1]["reason"] in (
        "no call of a known caller yet, and little room",
        "too many connections of one address",
    )
