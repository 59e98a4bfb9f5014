"""Bounds on connections: how many from one address, and how long without a known caller's call.

gRPC for Python does not control who connects: it has a bound for all connections together,
and none for one address; after the handshake a connection may stay for ever. So a listener's
sockets are found among this process's own descriptors a few times a second, and those over a
bound are shut down; gRPC then sees a caller who hung up, and cleans up as for any other.
gRPC itself closes the newest where there are too many, so its own bound stands well above
ours (``accepted_connections``): a flood must not keep others out until the next sweep.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vault.rpc.peers import address_of, host_and_port, plain_host
from vault.telemetry.log_samples import LogSampler
from vault.telemetry.logging import get_log

__all__ = ["ConnectionLimits", "Connections", "accepted_connections"]

# Why a connection is closed: for the log and a metric.
_SILENT = "no call of a known caller in time"
_ADDRESS = "too many connections of one address"
_ROOM = "no call of a known caller yet, and little room"
_FULL = "too many connections, and others called later"
# gRPC accepts this multiple of what we let stay.
_HEADROOM = 4
# A new connection may be about to call.
_GRACE = 1.0
# Under pressure unknown callers are closed before their time, so that there is always room.
_PRESSURE = 0.75
_DESCRIPTORS = next(
    (path for path in (Path("/proc/self/fd"), Path("/dev/fd")) if path.is_dir()), None
)
_log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections a listener keeps, and for how long.

    Attributes:
        total: connections altogether.
        each: connections of one address.
        first_call: seconds until the first call of a known caller.
        known: whether a call proves its caller known. On a port without identity it does not:
            it is a sign of life, and protects no connection where others need room.
    """

    total: int
    each: int
    first_call: float
    known: bool = True


def accepted_connections(total: int) -> int:
    """Returns how many connections gRPC may accept where ``total`` may stay.

    A quarter of the process's file descriptors at most, as there is more than one listener.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _HEADROOM * total
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(total, min(most, descriptors // 4))


@dataclass(slots=True)
class _Connection:
    descriptor: int
    inode: int
    endpoint: tuple[str, int]
    peer: str
    address: str
    since: float
    called: float | None = None

    @property
    def quiet_since(self) -> float:
        """The time of its last call, or else of its arrival."""
        return self.since if self.called is None else self.called


class _Remaining:
    """The connections that stay, while it is decided which are closed."""

    def __init__(self, here: Sequence[_Connection]) -> None:
        self.size = len(here)
        self._of_address = Counter(each.address for each in here)
        self._gone: set[int] = set()

    def at_address_of(self, connection: _Connection) -> int:
        """Returns how many connections of the same address remain."""
        return self._of_address[connection.address]

    def has_excess(self, connection: _Connection, room: int) -> bool:
        """Returns whether more than ``room`` remain, and its address has more than its share."""
        return self.size > room and self.at_address_of(connection) > room / len(self._of_address)

    def close(
        self, queue: Sequence[_Connection], why: str, must: Callable[[_Connection], bool]
    ) -> Iterator[tuple[_Connection, str]]:
        """Yields those of a queue that must be closed; each makes room for the next."""
        for each in queue:
            if each.inode not in self._gone and must(each):
                self._gone.add(each.inode)
                self.size -= 1
                self._of_address[each.address] -= 1
                yield each, why


class Connections:
    """The connections of one listener of this process.

    Args:
        listener: its name, for the log and the metrics.
        counted: called with how many connections there are.
        closed: called for each that is closed, with the reason (one of a fixed set).
    """

    def __init__(
        self,
        listener: str,
        host: str,
        port: int,
        bounds: ConnectionLimits,
        counted: Callable[[int], None] = lambda _: None,
        closed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._listener = listener
        self._port = port
        self._host = host
        self._bounds = bounds
        self._counted = counted
        self._closed = closed
        self._samples = LogSampler()
        self._calls: dict[str, float] = {}
        # By inode: a descriptor's number is soon reused.
        self._known: dict[int, _Connection | None] = {}

    def note_call(self, peer: str) -> None:
        """Notes a call of a known caller on the connection from ``peer`` (as gRPC has it)."""
        self._calls[peer] = time.monotonic()

    def close_excess(self) -> None:
        """Closes connections over a bound."""
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
        """Yields what to close: unknown callers first, the longest silent first."""
        bounds, remaining = self._bounds, _Remaining(here)
        here = sorted(here, key=lambda each: each.quiet_since)
        arriving = self._arriving(here, now)
        unknown = [each for each in here if self._is_unknown(each) and each.inode not in arriving]
        callers = [each for each in here if not self._is_unknown(each) or each.inode in arriving]
        overdue = [
            each for each in here if each.called is None and now - each.since >= bounds.first_call
        ]
        yield from remaining.close(overdue, _SILENT, lambda _: True)
        yield from remaining.close(
            [*unknown, *callers], _ADDRESS, lambda each: remaining.at_address_of(each) > bounds.each
        )
        pressing = int(bounds.total * _PRESSURE)
        settled = [
            each
            for each in unknown
            if remaining.size > bounds.total or now - each.quiet_since >= _GRACE
        ]
        # First of those addresses that have more than their share of the room.
        yield from remaining.close(
            settled, _ROOM, lambda each: remaining.has_excess(each, pressing)
        )
        yield from remaining.close(settled, _ROOM, lambda _: remaining.size > pressing)
        yield from remaining.close(
            callers, _FULL, lambda each: remaining.has_excess(each, bounds.total)
        )
        yield from remaining.close(callers, _FULL, lambda _: remaining.size > bounds.total)

    def _arriving(self, here: Sequence[_Connection], now: float) -> frozenset[int]:
        """Returns the newest unknown callers of each address, who may be about to call.

        At most a quarter of an address's share: opening many at once gains nothing.
        """
        found: set[int] = set()
        of_address: Counter[str] = Counter()
        for each in reversed(here):
            fresh = self._is_unknown(each) and now - each.quiet_since < _GRACE
            if fresh and of_address[each.address] < self._bounds.each // 4:
                of_address[each.address] += 1
                found.add(each.inode)
        return frozenset(found)

    def _is_unknown(self, connection: _Connection) -> bool:
        return connection.called is None or not self._bounds.known

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
        calls = {host_and_port(peer): (peer, when) for peer, when in list(self._calls.items())}
        for each in here:
            _, each.called = calls.pop(each.endpoint, (each.peer, each.called))
        for peer, when in calls.values():
            # A caller who came after the descriptors were read keeps the call for the next sweep.
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
