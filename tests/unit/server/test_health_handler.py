"""Check and Watch on a real gRPC server of few threads, beside callers who send nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.http2 import deaf_watch
from vault.rpc.receiving import Receiver
from vault.server import health_handler
from vault.server.health_handler import HealthHandler, ServingStatuses

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ASK = health_pb2.HealthCheckRequest(service="liveness")


@pytest.fixture
def statuses() -> ServingStatuses:
    made = ServingStatuses()
    made.set("liveness", serving=True)
    return made


@pytest.fixture
def port(statuses: ServingStatuses) -> Iterator[int]:
    calls = HealthHandler(statuses, Receiver(4, 4, 60.0), lambda _: None)
    pool = ThreadPoolExecutor(12)
    server = grpc.server(pool, handlers=[calls])
    made = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made
    server.stop(0).wait()
    pool.shutdown()


@pytest.fixture
def channel(port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as made:
        yield made


def test_check_answers(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(ASK, timeout=5).status == SERVING
    with pytest.raises(grpc.RpcError) as failure:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_watch_tells_each_change(channel: grpc.Channel, statuses: ServingStatuses) -> None:
    watches = []
    for _ in range(2):
        watches.append(health_pb2_grpc.HealthStub(channel).Watch(ASK, timeout=10))
        assert next(watches[-1]).status == SERVING
    statuses.set("liveness", serving=False)
    assert [next(watch).status for watch in watches] == [NOT_SERVING] * 2
    assert health_pb2_grpc.HealthStub(channel).Check(ASK, timeout=5).status == NOT_SERVING
    for watch in watches:
        watch.cancel()


def test_one_watch_too_many_ends_the_oldest(
    channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_handler, "WATCHES", 2)
    watches = []
    for _ in range(3):
        watches.append(health_pb2_grpc.HealthStub(channel).Watch(ASK, timeout=10))
        assert next(watches[-1]).status == SERVING
    with pytest.raises(grpc.RpcError) as failure:
        next(watches[0])
    assert failure.value.code() is grpc.StatusCode.CANCELLED
    assert [watch.is_active() for watch in watches[1:]] == [True, True]
    for watch in watches:
        watch.cancel()


def test_a_watch_of_an_unknown_service_waits_for_it(
    channel: grpc.Channel, statuses: ServingStatuses
) -> None:
    ask = health_pb2.HealthCheckRequest(service="later")
    watch = health_pb2_grpc.HealthStub(channel).Watch(ask, timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    statuses.set("later", serving=True)
    assert next(watch).status == SERVING
    watch.cancel()


def test_who_watches_and_reads_nothing_stops_nobody(
    channel: grpc.Channel, statuses: ServingStatuses, port: int
) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            deaf.sendall(deaf_watch("liveness"))
        over = threading.Event()
        over.wait(0.5)
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(ASK, timeout=5).status == SERVING
        statuses.set("liveness", serving=False)
        assert stub.Check(ASK, timeout=5).status == NOT_SERVING


def test_watches_that_end_while_the_standing_changes_hold_nothing(
    channel: grpc.Channel, statuses: ServingStatuses
) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for number in range(60):
        watch = stub.Watch(ASK, timeout=10)
        next(watch)
        watch.cancel()
        statuses.set("liveness", serving=bool(number % 2))
    assert stub.Check(ASK, timeout=5).status == SERVING


def test_an_end_is_the_end(statuses: ServingStatuses) -> None:
    statuses.end()
    statuses.set("liveness", serving=True)
    assert statuses.get("liveness") == NOT_SERVING


@pytest.mark.parametrize("method", ["Check", "Watch"])
def test_silent_calls_give_way(channel: grpc.Channel, method: str) -> None:
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(30)
        yield from ()

    send = channel.stream_unary(f"/grpc.health.v1.Health/{method}", None, None)
    silent = [send.future(nothing(), timeout=20) for _ in range(4)]
    over.wait(0.5)
    assert not any(call.done() for call in silent)
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(ASK, timeout=5).status == SERVING
    over.wait(0.1)
    assert [call.done() for call in silent].count(True) == 1
    over.set()


def test_what_is_no_request_is_refused(channel: grpc.Channel) -> None:
    send = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
    with pytest.raises(grpc.RpcError) as failure:
        send(b"\xff\xff", timeout=5)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/grpc.health.v1.Health/List", None, None)(b"", timeout=5)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
