"""No proxy of the environment is asked for this machine's own services."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from vault.client.loopback import no_proxy_options


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "127.9.9.9:50051", "localhost:1", "LOCALHOST", "[::1]:1", "::1",
     "dns:///localhost:1", "ipv4:127.0.0.1:1", "ipv6:[::1]:1"],
)  # fmt: skip
def test_loopback_is_reached_directly(address: str) -> None:
    assert no_proxy_options(address) == (("grpc.enable_http_proxy", 0),)


@pytest.mark.parametrize(
    "address",
    ["tokens.example.org:1", "127.0.0.1.example.org:1", "localhost.example.org", "10.0.0.1"],
)
def test_other_addresses_keep_the_environment_s_proxy(address: str) -> None:
    assert no_proxy_options(address) == ()


def test_an_answer_comes_in_spite_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        ask = health_pb2.HealthCheckRequest()
        with grpc.insecure_channel(address, no_proxy_options(address)) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(ask, timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
            health_pb2_grpc.HealthStub(channel).Check(ask, timeout=1)
    finally:
        server.stop(0)
