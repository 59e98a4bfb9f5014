"""Connections of a real gRPC server in this process: which are closed, and which stay."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import grpc
import pytest
from structlog.testing import capture_logs

from vault.rpc.peers import address_of, host_and_port, peer_address, plain_host
from vault.server import connections as module
from vault.server.connections import ConnectionLimits, Connections, accepted_connections

ROOMY = ConnectionLimits(total=100, each=100, first_call=60.0)


@dataclass
class Place:
    """A server that echoes, and a look at its connections."""

    port: int
    peers: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def connections(self, bounds: ConnectionLimits) -> Connections:
        return Connections("mtls", "::", self.port, bounds, self.counts.append, self.closed.append)

    def stranger(self, stack: ExitStack, host: str = "127.0.0.1") -> socket.socket:
        return stack.enter_context(socket.create_connection((host, self.port), 5))


class _Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    def __init__(self, peers: list[str]) -> None:
        self._peers = peers

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._peers.append(context.peer())
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place(0)
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Echo(made.peers)])
    made.port = server.add_insecure_port("[::]:0")
    server.start()
    yield made
    server.stop(0).wait()


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE", 0.0)


def call(stack: ExitStack, place: Place, host: str = "127.0.0.1") -> str:
    """Calls on a connection of its own, which stays; returns the peer as gRPC has it."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    channel = stack.enter_context(grpc.insecure_channel(f"{host}:{place.port}", options))
    assert channel.unary_unary("/a/b", None, None)(b"x", timeout=5) == b"x"
    return place.peers[-1]


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.5)
    try:
        while received := connection.recv(1024):
            assert received  # gRPC's own settings
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False
    return False


def test_strangers_are_closed_in_time_and_callers_stay(place: Place) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(100, 100, first_call=0.2))
        stranger = place.stranger(stack)
        connections.note_call(call(stack, place))
        connections.close_excess()
        assert place.closed == []
        assert place.counts == [2]
        time.sleep(0.25)
        connections.close_excess()
        assert place.closed == ["no call of a known caller in time"]
        assert not is_open(stranger)
        time.sleep(0.1)
        connections.close_excess()
        assert place.counts[-1] == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_call_is_known_to_its_connection(place: Place, host: str) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(100, 100, first_call=0.0))
        connections.note_call(call(stack, place, host))
        connections.close_excess()
        assert place.closed == []


def test_who_only_makes_refused_calls_is_a_stranger(place: Place) -> None:
    with ExitStack() as stack:
        call(stack, place)
        place.connections(ConnectionLimits(100, 100, first_call=0.0)).close_excess()
        assert len(place.closed) == 1


def test_an_address_has_its_share_and_strangers_go_first(place: Place) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(100, each=3, first_call=60.0))
        connections.note_call(call(stack, place))
        for _ in range(5):
            place.stranger(stack)
        connections.note_call(call(stack, place))
        time.sleep(0.1)
        connections.close_excess()
        assert place.closed == ["too many connections of one address"] * 4
        call_again = place.peers
        assert len(call_again) == 2


def test_of_callers_the_one_who_called_longest_ago_goes(place: Place) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(100, each=1, first_call=60.0))
        first = call(stack, place)
        second = call(stack, place)
        connections.note_call(second)
        connections.note_call(first)
        with capture_logs() as logs:
            connections.close_excess()
        assert [line["peer"] for line in logs] == [second]


def test_there_is_always_room_for_those_who_call(place: Place) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(total=8, each=8, first_call=60.0))
        for _ in range(8):
            place.stranger(stack)
        time.sleep(0.1)
        connections.close_excess()
        assert place.closed == ["no call of a known caller yet, and little room"] * 2


def test_the_log_has_one_line_for_an_address(place: Place) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            place.stranger(stack)
        time.sleep(0.1)
        with capture_logs() as logs:
            place.connections(ConnectionLimits(100, 100, first_call=0.0)).close_excess()
        assert len(place.closed) == 5
        assert [line["event"] for line in logs] == ["connection closed"]


def test_other_sockets_of_the_process_are_left_alone(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ExitStack() as stack:
        near = stack.enter_context(socket.create_connection(other.getsockname()))
        far = stack.enter_context(other.accept()[0])
        place.connections(ConnectionLimits(100, 0, first_call=0.0)).close_excess()
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        assert call(stack, place)


def test_a_connection_of_our_own_with_the_ports_number_is_left_alone() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.3", 0)) as elsewhere,
        socket.socket() as ours,
    ):
        port = listener.getsockname()[1]
        ours.bind(("127.0.0.2", port))  # as the kernel might choose
        ours.connect(elsewhere.getsockname())
        closed: list[str] = []
        bounds = ConnectionLimits(100, 0, first_call=0.0)
        Connections("mtls", "127.0.0.1", port, bounds, closed=closed.append).close_excess()
        assert closed == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_one_however_it_is_written(host: str, address: str) -> None:
    assert address_of(host) == address


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.7:4242", "192.0.2.7"),
        ("ipv4:192.0.2.7:4242", "::ffff:192.0.2.7"),
        ("ipv6:%5Bfe80::1%252%5D:4242", "fe80::1%eth0"),
    ],
)
def test_a_connection_is_found_however_its_peer_is_written(peer: str, host: str) -> None:
    assert host_and_port(peer) == (plain_host(host), 4242)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:4242", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3::4%5D:4242", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:3::4]:4242", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%252%5D:4242", "fe80::/64"),
        ("unix:/run/socket", "unix:/run/socket"),
    ],
)
def test_a_peer_has_an_address(peer: str, address: str) -> None:
    assert peer_address(peer) == address


def test_an_address_over_its_share_has_no_grace(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE", 60.0)
    with ExitStack() as stack:
        for _ in range(5):
            place.stranger(stack)
        time.sleep(0.1)
        place.connections(ConnectionLimits(100, each=2, first_call=60.0)).close_excess()
        assert place.closed == ["too many connections of one address"] * 3


def test_who_has_just_come_is_heard_before_old_callers_stay(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(total=8, each=8, first_call=60.0))
        for _ in range(8):
            connections.note_call(call(stack, place))
        time.sleep(0.1)
        monkeypatch.setattr(module, "_GRACE", 60.0)
        new = place.stranger(stack)
        time.sleep(0.1)
        connections.close_excess()
        assert place.closed == ["too many connections of one address"]
        assert is_open(new)


def test_where_room_is_short_those_leave_who_take_most_of_it(place: Place) -> None:
    with ExitStack() as stack:
        alone = place.stranger(stack, "::1")
        for _ in range(9):
            place.stranger(stack)
        time.sleep(0.1)
        place.connections(ConnectionLimits(total=8, each=100, first_call=60.0)).close_excess()
        assert len(place.closed) == 4
        assert is_open(alone)


def test_on_a_port_without_identity_a_call_protects_nobody(place: Place) -> None:
    with ExitStack() as stack:
        connections = place.connections(
            ConnectionLimits(total=8, each=8, first_call=60.0, known=False)
        )
        for _ in range(8):
            connections.note_call(call(stack, place))
        connections.close_excess()
        assert place.closed == ["no call of a known caller yet, and little room"] * 2


def test_callers_leave_only_where_there_is_no_room_at_all(place: Place) -> None:
    with ExitStack() as stack:
        connections = place.connections(ConnectionLimits(total=4, each=8, first_call=60.0))
        for _ in range(6):
            connections.note_call(call(stack, place))
        connections.close_excess()
        assert place.closed == ["too many connections, and others called later"] * 2


def test_grpc_accepts_more_than_may_stay_as_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for descriptors, accepted in ((100_000, 4000), (8_000, 2000), (1_024, 1000)):
        limits = (descriptors, descriptors)
        monkeypatch.setattr(resource, "getrlimit", lambda _, found=limits: found)
        assert accepted_connections(1000) == accepted
