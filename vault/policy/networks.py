"""Ranges of addresses, and the addresses that callers come from."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

__all__ = ["Address", "Network", "contains", "network_of", "unmapped"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_MAPPED_PREFIX = 96


def network_of(text: str) -> Network:
    """Reads a range such as ``10.0.0.0/8``; one of IPv4 within IPv6 becomes one of IPv4.

    Raises ValueError for what is no range, or names an address within one.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, IPv4Network) or network.prefixlen < _MAPPED_PREFIX:
        return network  # a shorter prefix is of other addresses too
    inner = network.network_address.ipv4_mapped
    return IPv4Network((inner, network.prefixlen - _MAPPED_PREFIX)) if inner else network


def unmapped(address: Address) -> Address:
    """Returns an address of IPv4 within IPv6 (``::ffff:10.0.0.1``) as what it is."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if inner is None else inner


def contains(network: Network, address: Address) -> bool:
    """Returns whether an address is of a range; one of another version never is."""
    return unmapped(address) in network
