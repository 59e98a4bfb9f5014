"""Checks addresses: gRPC would take port 443 where none is given."""

from __future__ import annotations

import re

__all__ = ["address_problem"]

_WANTED = "the address is HOST:PORT, as in tokens.example.org:50051"
# gRPC's own ways to name a target; what follows is theirs to judge.
_TARGET = re.compile("(?:dns|unix|unix-abstract|vsock|xds):(?![0-9]*$)", re.IGNORECASE)
_URL = re.compile("([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_HOST_PORT = re.compile(
    r"(?:ipv[46]:)?(?:\[[0-9a-f:.%\w]+\]|[^\s:/\[\]@]+):([0-9]{1,5})", re.ASCII | re.IGNORECASE
)
_LAST_PORT = 65535


def address_problem(address: str) -> str:
    """Returns what is wrong with an address, or "". Quotes nothing of it."""
    if _TARGET.match(address):
        return ""
    if scheme := _URL.match(address):
        return f"{_WANTED}: leave {scheme[1].lower()}:// out"
    if address.count(":") > 1 and "[" not in address and not address.startswith("ipv"):
        return f"{_WANTED}; an IPv6 address stands in brackets, as in [::1]:50051"
    if ":" not in address.rpartition("]")[2]:
        return f"{_WANTED}: it names no port"
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match[1]) <= _LAST_PORT:
        return _WANTED
    return ""
