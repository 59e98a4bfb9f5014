"""Where a call comes from, by the names that gRPC gives peers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from vault.rpc.peers import network_address


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.1.2.3:50051", "10.1.2.3"),
        ("ipv6:[::1]:50051", "::1"),
        ("ipv6:%5B2001:db8::1%5D:50051", "2001:db8::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50051", "fe80::1"),
        ("ipv6:[::ffff:10.1.2.3]:50051", "10.1.2.3"),
    ],
)
def test_a_peer_has_its_address(peer: str, address: str) -> None:
    assert network_address(peer) == ip_address(address)


@pytest.mark.parametrize(
    "peer",
    ["", "peer", "unix:/run/vault.sock", "unix-abstract:x:10.1.2.3:5", "ipv4:10.1.2.3", "ipv4:x:5"],
)
def test_what_is_no_network_has_none(peer: str) -> None:
    assert network_address(peer) is None
