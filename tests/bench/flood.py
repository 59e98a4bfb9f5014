"""More calls than a server can take, for a while: who is refused, how, and who notices.

Open loop: calls are sent at a fixed rate, however slowly answers come. All is bounded:
seconds, connections, calls under way; and it only ever goes to loopback.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bench.load import PROCESSES, Target, Work, quantile
from vault.v1 import tokenization_service_pb2 as messages

_CONNECTIONS = 32  # of each process
_UNDER_WAY = 1500  # calls of each process
_TIMEOUT = 10.0
_REFUSED_STREAM = "RST_STREAM with error code 7"  # RFC 9113, section 8.7


class _Answer(Protocol):
    """A call that has ended."""

    def exception(self) -> BaseException | None: ...
    def result(self) -> messages.TokenizeResponse: ...


@dataclass
class Told:
    """What the flood's callers were told.

    Attributes:
        offered: calls sent.
        withheld: calls that were due and not sent: too many under way already.
        outcomes: calls by outcome: OK, REFUSED (OVERLOADED with RetryInfo), BARE (refused
            by gRPC without a reason), CANCELLED (dropped by gRPC's core before Python had
            seen it), REFUSED_STREAM (the same, as HTTP/2 says it: nothing was begun), or
            another status and its message.
        latencies: seconds, by outcome.
    """

    offered: int = 0
    withheld: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def add(self, outcome: str, seconds: float) -> None:
        """Notes the end of a call."""
        self.outcomes[outcome] += 1
        self.latencies.setdefault(outcome, []).append(seconds)

    def merged(self, others: Sequence[Told]) -> Told:
        """Returns the sum, with latencies in order."""
        for other in others:
            self.offered += other.offered
            self.withheld += other.withheld
            self.outcomes += other.outcomes
            for outcome, found in other.latencies.items():
                self.latencies.setdefault(outcome, []).extend(found)
        for found in self.latencies.values():
            found.sort()
        return self

    def latency(self, outcome: str, q: float) -> float:
        """Seconds."""
        return quantile(self.latencies.get(outcome, []), q)


def flood(target: Target, work: Work, rate: float, seconds: float) -> Told:
    """Sends ``rate`` calls a second from several processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context) as pool:
        start = time.monotonic() + 3.0
        share = rate / PROCESSES
        jobs = [
            pool.submit(_open_loop, target, work, share, start, seconds) for _ in range(PROCESSES)
        ]
        return Told().merged([job.result() for job in jobs])


def _open_loop(target: Target, work: Work, rate: float, start: float, seconds: float) -> Told:
    told, lock, under_way = Told(), threading.Lock(), 0
    numbers = itertools.count(random.randrange(10**9) * 10)

    def ended(began: float, call: _Answer) -> None:
        nonlocal under_way
        seconds, outcome = time.monotonic() - began, _outcome(call)
        with lock:
            under_way -= 1
            told.add(outcome, seconds)

    with ExitStack() as stack:
        stubs = [stack.enter_context(target.connected()) for _ in range(_CONNECTIONS)]
        time.sleep(max(0.0, start - time.monotonic()))
        begun = time.monotonic()
        for number in itertools.count():
            now = time.monotonic()
            if now >= begun + seconds:
                break
            due = begun + number / rate
            if due > now:
                time.sleep(due - now)
            if under_way >= _UNDER_WAY:
                told.withheld += 1
                time.sleep(0.0005)
                continue
            request = work.request(next(numbers))
            with lock:
                under_way += 1
            told.offered += 1
            sent = time.monotonic()
            call = stubs[number % len(stubs)].Tokenize.future(request, timeout=_TIMEOUT)
            call.add_done_callback(partial(ended, sent))
        last = time.monotonic() + _TIMEOUT + 5
        while under_way and time.monotonic() < last:
            time.sleep(0.05)
    if under_way:
        told.outcomes["UNANSWERED"] += under_way
    return told


def _outcome(call: _Answer) -> str:
    error = call.exception()
    if error is None:
        return "BAD ITEM" if call.result().errors else "OK"
    return refusal(error)


def refusal(error: BaseException) -> str:
    """The outcome of a failed call: see ``Told``; else its status with what it says."""
    # What gRPC raises is a call as well, which its types do not say.
    call = cast("grpc.Call", error)
    code: grpc.StatusCode = call.code()
    if code is grpc.StatusCode.CANCELLED:
        return code.name
    if code is grpc.StatusCode.UNAVAILABLE and _REFUSED_STREAM in (call.details() or ""):
        return "REFUSED_STREAM"
    if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return f"{code.name}: {call.details()}"
    raw = dict(call.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    details = status_pb2.Status.FromString(raw).details
    unpacked = [any(each.Unpack(into) for each in details) for into in (info, retry)]
    return "REFUSED" if all(unpacked) and info.reason == "OVERLOADED" else "BARE"


@dataclass
class Watch:
    """What was seen beside the flood: health, memory, and one well-behaved caller.

    Attributes:
        unhealthy: health checks that failed, took over a second, or said NOT_SERVING.
        slowest_health: seconds.
        resident: MiB of all server processes, one sample each half second.
        lives: the processes' ids, each time they were another set than before.
        quiet: latencies of the well-behaved caller's calls, seconds.
        quiet_failures: his calls by outcome.
    """

    unhealthy: list[str] = field(default_factory=list)
    slowest_health: float = 0.0
    resident: list[float] = field(default_factory=list)
    lives: list[frozenset[int]] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    quiet_failures: Counter[str] = field(default_factory=Counter)


@contextmanager
def watching(
    settings: Path, health: str, quiet: Target | None = None, work: Work | None = None
) -> Iterator[Watch]:
    """Watches the server of a settings file for the block."""
    watch, over = Watch(), threading.Event()
    steps: list[Callable[[], None]] = [lambda: _look(watch, settings, over)]
    steps.append(lambda: _ask(watch, health, over))
    if quiet is not None and work is not None:
        steps.append(lambda: _call(watch, quiet, work, over))
    threads = [threading.Thread(target=step, daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        over.set()
        for thread in threads:
            thread.join()
        watch.quiet.sort()


def processes_of(settings: Path) -> list[int]:
    """The server's processes: the one with the settings file, and its workers."""
    own = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _serves(entry, str(settings).encode())
    ]
    workers = [
        int(child)
        for pid in own
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return own + workers


def _serves(entry: Path, settings: bytes) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # The guard of a development server has the same words further on.
    return settings in words and b"vault.dev.server" in words[1:4]


def resident(pids: Sequence[int]) -> float:
    """MiB of memory that processes hold."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _look(watch: Watch, settings: Path, over: threading.Event) -> None:
    while not over.wait(0.5):
        try:
            pids = processes_of(settings)
            watch.resident.append(resident(pids))
        except OSError:
            continue  # one of them has just ended; the next look shows which
        if not watch.lives or watch.lives[-1] != frozenset(pids):
            watch.lives.append(frozenset(pids))


def _ask(watch: Watch, address: str, over: threading.Event) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while not over.wait(0.1):
            for service in ("liveness", "readiness"):
                began = time.monotonic()
                try:
                    ask = health_pb2.HealthCheckRequest(service=service)
                    answer = stub.Check(ask, timeout=5, wait_for_ready=True).status
                    if answer != health_pb2.HealthCheckResponse.SERVING:
                        watch.unhealthy.append(f"{service}: not serving")
                except grpc.RpcError as error:
                    watch.unhealthy.append(f"{service}: {error.code().name}")
                took = time.monotonic() - began
                watch.slowest_health = max(watch.slowest_health, took)


def _call(watch: Watch, quiet: Target, work: Work, over: threading.Event) -> None:
    with quiet.connected() as stub:
        for number in itertools.count():
            if over.wait(0.05):
                return
            began = time.monotonic()
            try:
                work.call(stub, number)
                watch.quiet.append(time.monotonic() - began)
            except grpc.RpcError as error:
                watch.quiet_failures[refusal(error)] += 1
