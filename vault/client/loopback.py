"""Loopback addresses, which no proxy of the environment can reach."""

from __future__ import annotations

import re

__all__ = ["no_proxy_options"]

_LOOPBACK = re.compile(
    r"(?:(?:dns|ipv4|ipv6):/*)?(?:localhost|127(?:\.[0-9]{1,3}){3}|\[?::1\]?)(?::[0-9]+)?",
    re.IGNORECASE,
)


def no_proxy_options(address: str) -> tuple[tuple[str, int], ...]:
    """Returns the channel's options by which gRPC asks no proxy for a loopback address.

    It would ask whatever ``https_proxy`` or ``http_proxy`` names, of this machine's own
    services too, unless ``no_proxy`` has them.
    """
    return (("grpc.enable_http_proxy", 0),) if _LOOPBACK.fullmatch(address) else ()
