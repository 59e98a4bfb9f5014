"""Peers as gRPC names them, and what counts as one address."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote

__all__ = ["address_of", "host_and_port", "network_address", "peer_address", "plain_host"]


def address_of(host: str) -> str:
    """Returns what counts as one address: an IPv4 address, or an IPv6 network of 64 bits."""
    plain = plain_host(host)
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return plain
    # A host of its own network has as many IPv6 addresses as it likes.
    prefix = 64 if address.version == 6 else 32
    network = ipaddress.ip_network((address, prefix), strict=False)
    return str(network) if address.version == 6 else plain


def peer_address(peer: str) -> str:
    """Returns the address of a peer as gRPC names it (``ipv4:host:port``)."""
    return address_of(host_and_port(peer)[0])


def host_and_port(peer: str) -> tuple[str, int]:
    """Returns host and port of a peer as gRPC names it; of other kinds its name and 0."""
    kind, _, rest = peer.partition(":")
    host, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return peer, 0
    return plain_host(unquote(host)), int(port)


def network_address(peer: str) -> IPv4Address | IPv6Address | None:
    """Returns the address of a peer as gRPC names it; None for what is no network's (``unix:``)."""
    host, port = host_and_port(peer)
    try:
        return ipaddress.ip_address(host) if port else None
    except ValueError:
        return None


def plain_host(host: str) -> str:
    """Returns an address without what gRPC and sockets write differently.

    That is brackets, an interface (by name or by number), and IPv4 within IPv6.
    """
    return host.strip("[]").partition("%")[0].removeprefix("::ffff:")
