"""Ports: proven free before gRPC binds them, so that no two servers share calls silently."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vault.errors import ConfigError

__all__ = ["bind_port", "reserved_port"]

_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Resolved = tuple[socket.AddressFamily, socket.SocketKind, int, str, _Address]


def bind_port(
    key: str, host: str, port: int, add: Callable[[str], int], *, shared: bool = False
) -> None:
    """Proves the port free and has gRPC listen on it.

    gRPC would share a port that another server listens on with SO_REUSEPORT; a plain
    bind without it fails there.

    Args:
        key: the setting that names the port, for the error.
        add: ``add_secure_port`` or ``add_insecure_port`` of a server made with
            ``grpc.so_reuseport`` 0, or 1 where the port is shared.
        shared: the supervisor has reserved the port for several workers; nothing to prove.

    Raises:
        ConfigError: the port is taken, or the host is not this machine's.
    """
    try:
        if not shared:
            _prove_free(host, port)
        # gRPC raises RuntimeError where binding fails; older ones answered port 0.
        bound = add(_address(host, port))
    except OSError as error:
        raise ConfigError(f"{key}: {_problem(host, port, error.strerror or 'unknown')}") from None
    except RuntimeError:
        raise ConfigError(f"{key}: {_problem(host, port, 'gRPC cannot bind it')}") from None
    if bound != port:
        raise ConfigError(f"{key}: {_problem(host, port, 'gRPC bound another')}")


@contextmanager
def reserved_port(key: str, host: str, port: int) -> Iterator[None]:
    """Proves the port free and keeps it for the workers of this user, for the block.

    The socket is bound and never listens, so no connection comes to it; while every worker
    is down it keeps other users' programs off the port.

    Raises:
        ConfigError: the port is taken, or the host is not this machine's.
    """
    try:
        _prove_free(host, port)
        family, kind, protocol, _, address = _resolve(host, port)
        place = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"{key}: {_problem(host, port, error.strerror or 'unknown')}") from None
    with place:
        try:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            place.bind(address)
        except OSError as error:
            why = error.strerror or "unknown"
            raise ConfigError(f"{key}: {_problem(host, port, why)}") from None
        yield


def _resolve(host: str, port: int) -> _Resolved:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]


def _prove_free(host: str, port: int) -> None:
    family, kind, protocol, _, address = _resolve(host, port)
    with socket.socket(family, kind, protocol) as probe:
        # As gRPC does: a port whose last connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def _address(host: str, port: int) -> str:
    try:
        return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:
        return f"{host}:{port}"


def _problem(host: str, port: int, why: str) -> str:
    return f"cannot listen on {host}:{port} ({why}); stop what listens there or choose another port"
