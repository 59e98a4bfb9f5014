"""Loopback addresses, which no proxy of the environment can reach."""

from __future__ import annotations

import re

__all__ = ["is_loopback", "no_proxy_options"]

_LOOPBACK = re.compile(
    r"(?:(?:dns|ipv4|ipv6):/*)?(?:localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?)(?::[0-9]+)?",
    re.IGNORECASE,
)


def is_loopback(address: str) -> bool:
    """Returns whether a host, with a port or without, is this machine by its spelling."""
    return _LOOPBACK.fullmatch(address) is not None


def no_proxy_options(address: str) -> tuple[tuple[str, int], ...]:
    """Returns the channel's options by which gRPC asks no proxy for a loopback address.

    It would ask whatever ``https_proxy`` or ``http_proxy`` names, of this machine's own
    services too, unless ``no_proxy`` has them.
    """
    return (("grpc.enable_http_proxy", 0),) if is_loopback(address) else ()
