"""Check and Watch on a real gRPC server of few threads, beside callers who send nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from vault.rpc.health_calls import HealthCalls
from vault.rpc.receiving import Receiver

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ASK = health_pb2.HealthCheckRequest(service="liveness")


@pytest.fixture
def servicer() -> health.HealthServicer:
    made = health.HealthServicer()
    made.set("liveness", SERVING)
    return made


@pytest.fixture
def channel(servicer: health.HealthServicer) -> Iterator[grpc.Channel]:
    calls = HealthCalls(servicer, Receiver(4, 4, 60.0), lambda _: None)
    server = grpc.server(ThreadPoolExecutor(6), handlers=[calls])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as made:
        yield made
    server.stop(0).wait()


def test_check_answers(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(ASK, timeout=5).status == SERVING
    with pytest.raises(grpc.RpcError) as failure:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=5)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


def test_watch_tells_each_change_and_holds_no_thread(
    channel: grpc.Channel, servicer: health.HealthServicer
) -> None:
    watches = []
    for _ in range(12):
        watches.append(health_pb2_grpc.HealthStub(channel).Watch(ASK, timeout=10))
        assert next(watches[-1]).status == SERVING
    servicer.set("liveness", NOT_SERVING)
    assert [next(watch).status for watch in watches] == [NOT_SERVING] * 12
    assert health_pb2_grpc.HealthStub(channel).Check(ASK, timeout=5).status == NOT_SERVING
    for watch in watches:
        watch.cancel()


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
