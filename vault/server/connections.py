"""Connections: how many of one address, and for how long without a call of a known caller.

gRPC for Python has no say in who connects: it has a bound for all connections together,
and none for one address; who has shaken hands may stay for ever. So a listener's sockets
are looked at among this process's own descriptors once a second, and those over a bound
are shut down; gRPC then sees a caller who hung up, and cleans up as for any other.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vault.rpc.peers import address_of, endpoint_of, plain_host
from vault.telemetry.log_samples import Samples
from vault.telemetry.logging import get_log

__all__ = ["Bounds", "Connections"]

# Why a connection is closed: for the log and a metric.
_SILENT = "no call of a known caller in time"
_ADDRESS = "too many connections of one address"
_ROOM = "no call of a known caller yet, and little room"
# Who has just connected may be about to call.
_GRACE = 1.0
# Under pressure strangers leave before their time, so that there is always room.
_PRESSURE = 0.75
_DESCRIPTORS = next(
    (path for path in (Path("/proc/self/fd"), Path("/dev/fd")) if path.is_dir()), None
)
_log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a listener has room for.

    Attributes:
        total: connections altogether; gRPC closes those beyond.
        each: connections of one address.
        first_call: seconds until the first call of a known caller.
    """

    total: int
    each: int
    first_call: float


@dataclass(slots=True)
class _Connection:
    descriptor: int
    inode: int
    endpoint: tuple[str, int]
    peer: str
    address: str
    since: float
    called: float | None = None


class Connections:
    """The connections of one listener of this process.

    Args:
        listener: its name, for the log and the metrics.
        counted: is told how many connections there are.
        closed: is told of each that is closed, and why (one of a fixed set).
    """

    def __init__(
        self,
        listener: str,
        host: str,
        port: int,
        bounds: Bounds,
        counted: Callable[[int], None] = lambda _: None,
        closed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._listener = listener
        self._port = port
        self._host = host
        self._bounds = bounds
        self._counted = counted
        self._closed = closed
        self._samples = Samples()
        self._calls: dict[str, float] = {}
        # By inode: a descriptor's number is soon another's.
        self._known: dict[int, _Connection | None] = {}

    def called(self, peer: str) -> None:
        """Notes a call of a known caller on the connection from ``peer`` (as gRPC has it)."""
        self._calls[peer] = time.monotonic()

    def look(self) -> None:
        """Closes what is over a bound."""
        now = time.monotonic()
        here = self._here(now)
        self._counted(len(here))
        for connection, why in self._excess(here, now):
            if _shut(connection):
                self._closed(why)
                if self._samples.take(connection.address):
                    _log.warning(
                        "connection closed",
                        listener=self._listener,
                        peer=connection.peer,
                        reason=why,
                    )

    def _excess(self, here: list[_Connection], now: float) -> Iterator[tuple[_Connection, str]]:
        """Yields whom to close: strangers first, those who have been here longest."""
        left, of_address = len(here), Counter(each.address for each in here)
        pressing = int(self._bounds.total * _PRESSURE)
        strangers = sorted(
            (each for each in here if each.called is None and now - each.since >= _GRACE),
            key=lambda each: each.since,
        )
        for each in strangers:
            if now - each.since >= self._bounds.first_call:
                why = _SILENT
            elif of_address[each.address] > self._bounds.each:
                why = _ADDRESS
            elif left > pressing:
                why = _ROOM
            else:
                continue
            left -= 1
            of_address[each.address] -= 1
            yield each, why
        callers = [each for each in here if each.called is not None]
        for each in sorted(callers, key=lambda each: each.called or 0.0):
            if of_address[each.address] > self._bounds.each:
                of_address[each.address] -= 1
                yield each, _ADDRESS

    @cached_property
    def _hosts(self) -> frozenset[str]:
        """The listener's own addresses; none for all of the machine's."""
        found = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        hosts = frozenset(plain_host(str(address[0])) for *_, address in found)
        return frozenset() if hosts & {"0.0.0.0", "::"} else hosts  # noqa: S104 - not bound here

    def _here(self, now: float) -> list[_Connection]:
        """Returns the listener's connections, each with its last call."""
        found: dict[int, _Connection | None] = {}
        for descriptor, inode in _sockets():
            known = self._known.get(inode)
            if known is None and inode not in self._known:
                known = self._read(descriptor, inode, now)
            if known is not None:
                known.descriptor = descriptor
            found[inode] = known
        self._known = found
        here = [each for each in found.values() if each is not None]
        calls = {endpoint_of(peer): (peer, when) for peer, when in list(self._calls.items())}
        for each in here:
            _, each.called = calls.pop(each.endpoint, (each.peer, each.called))
        for peer, when in calls.values():
            # Who came after the descriptors were read keeps his call for the next look.
            if when < now - _GRACE:
                self._calls.pop(peer, None)
        return here

    def _read(self, descriptor: int, inode: int, now: float) -> _Connection | None:
        """Returns the connection, or None for a socket that is not this listener's."""
        with suppress(OSError), _opened(descriptor, inode) as own:
            if own.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            near, number = own.getsockname()[:2]
            # A connection that this process has made elsewhere may have the same number at
            # another of the machine's addresses.
            if number != self._port or (self._hosts and plain_host(near) not in self._hosts):
                return None
            host, port = own.getpeername()[:2]
            endpoint = plain_host(host), int(port)
            peer = f"{'ipv6:' if ':' in endpoint[0] else 'ipv4:'}{endpoint[0]}:{port}"
            return _Connection(descriptor, inode, endpoint, peer, address_of(host), now)
        return None


def _sockets() -> Iterator[tuple[int, int]]:
    """Yields descriptor and inode of this process's sockets."""
    if _DESCRIPTORS is None:
        return
    with os.scandir(_DESCRIPTORS) as entries:
        descriptors = [int(entry.name) for entry in entries]
    for descriptor in descriptors:
        with suppress(OSError):
            found = os.fstat(descriptor)
            if stat.S_ISSOCK(found.st_mode):
                yield descriptor, found.st_ino


def _opened(descriptor: int, inode: int) -> socket.socket:
    """Returns a handle of our own, which stays that socket's. Raises OSError if it is gone."""
    own = os.dup(descriptor)
    try:
        if os.fstat(own).st_ino == inode:
            return socket.socket(fileno=own)
    except OSError:
        os.close(own)
        raise
    os.close(own)
    raise OSError("the descriptor is another's by now")


def _shut(connection: _Connection) -> bool:
    with suppress(OSError), _opened(connection.descriptor, connection.inode) as own:
        own.shutdown(socket.SHUT_RDWR)
        return True
    return False
