"""The load generator: client processes of their own, each with threads and connections.

Threads of one Python process would themselves be what is measured. What the processes
burn is returned too: on a machine that server and clients share it is part of the result.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import grpc

from vault.client import ClientTls
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

T = TypeVar("T")
PROCESSES = 2
OPTIONS = [("grpc.max_receive_message_length", 16 << 20), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True)
class Target:
    """A server, and as whom to call it. Survives pickling."""

    address: str
    ca: Path
    cert: Path
    key: Path

    @contextmanager
    def connected(self) -> Iterator[TokenizationServiceStub]:
        """A stub on a connection of its own."""
        credentials = ClientTls(self.ca, self.cert, self.key).credentials()
        with grpc.secure_channel(self.address, credentials, options=OPTIONS) as channel:
            yield TokenizationServiceStub(channel)


@dataclass(frozen=True)
class Work:
    """One kind of call: tokenize (new values each time, or the same), or detokenize."""

    field: str
    size: int
    fresh: bool = False
    tokens: tuple[str, ...] = ()

    def call(self, stub: TokenizationServiceStub, number: int) -> None:
        """Makes one call. Raises RuntimeError where an item failed."""
        if self.tokens:
            ask = messages.DetokenizeRequest(field=self.field, tokens=self.tokens, view="full")
            errors = stub.Detokenize(ask, timeout=60).errors
        else:
            errors = stub.Tokenize(self.request(number), timeout=60).errors
        if errors:
            raise RuntimeError(f"{self.field}: {errors[0].reason}")

    def encoded(self, number: int) -> bytes:
        """A call's request, of whichever kind."""
        if self.tokens:
            ask = messages.DetokenizeRequest(field=self.field, tokens=self.tokens, view="full")
            return ask.SerializeToString()
        return self.request(number).SerializeToString()

    def request(self, number: int) -> messages.TokenizeRequest:
        """The request of a tokenizing call."""
        base = 10**15 + (number * self.size if self.fresh else 0)
        values = [str(base + each) for each in range(self.size)]
        return messages.TokenizeRequest(field=self.field, values=values)


@dataclass(frozen=True)
class Closed:
    """What one client process has seen.

    Attributes:
        latencies: of the calls that ended in time, in seconds.
        burnt: its processor time in seconds.
        busy: the share of the time in which it was not waiting for answers.
    """

    latencies: list[float]
    burnt: float
    busy: float = 0.0


@dataclass(frozen=True)
class Rate:
    """What callers got, and what it took.

    Attributes:
        calls: a second.
        p50: milliseconds, as p99.
        client_cores: cores that the clients burnt.
        busy: of the client processes the one that was waiting for answers the least.
        used: processor time of what was watched, by name, in milliseconds a call.
    """

    calls: float
    p50: float
    p99: float
    client_cores: float
    busy: float
    used: Mapping[str, float]

    @classmethod
    def median(cls, rates: Sequence[Rate]) -> Rate:
        """The middle of several turns, of each figure apart; of the busiest the most."""

        def middle(figure: Callable[[Rate], float]) -> float:
            return statistics.median(map(figure, rates))

        return cls(
            middle(lambda each: each.calls),
            middle(lambda each: each.p50),
            middle(lambda each: each.p99),
            middle(lambda each: each.client_cores),
            max(each.busy for each in rates),
            {name: statistics.median(each.used[name] for each in rates) for name in rates[0].used},
        )


Loop = Callable[[Target, T, int, float, float], Closed]
"""Calls a target from so many callers, from a moment to a moment (``time.monotonic()``)."""


class Generator(Generic[T]):
    """A context manager: the client processes."""

    def __init__(self, loop: Loop[T]) -> None:
        self._loop = loop
        self._pool = ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Generator[T]:
        list(self._pool.map(time.sleep, [0.5] * PROCESSES))  # started, modules imported
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def measure(
        self,
        target: Target,
        work: T,
        callers: int,
        seconds: float,
        burnt: Callable[[], Mapping[str, float]] = dict,
    ) -> Rate:
        """Lets ``callers`` call, each one call at a time on its own connection.

        Args:
            burnt: returns the processor time so far, in seconds, of what is to be watched.
        """
        shares = [callers // PROCESSES + (n < callers % PROCESSES) for n in range(PROCESSES)]
        # Connections and their first calls come before the window that is counted.
        start = time.monotonic() + 0.5 + 0.03 * callers
        jobs = [
            self._pool.submit(self._loop, target, work, share, start, start + seconds)
            for share in shares
            if share
        ]
        time.sleep(max(0.0, start - time.monotonic()))
        before = burnt()
        time.sleep(max(0.0, start + seconds - time.monotonic()))
        after = burnt()
        results = [job.result() for job in jobs]
        latencies = sorted(itertools.chain.from_iterable(each.latencies for each in results))
        if not latencies:
            raise RuntimeError("not one call ended in time")
        p50, p99 = (1000 * quantile(latencies, q) for q in (0.5, 0.99))
        return Rate(
            len(latencies) / seconds,
            p50,
            p99,
            sum(each.burnt for each in results) / seconds,
            max(each.busy for each in results),
            {name: 1000 * (after[name] - before[name]) / len(latencies) for name in before},
        )


def quantile(ordered: Sequence[float], q: float) -> float:
    """Of sorted samples; 0 where there are none."""
    return ordered[int(len(ordered) * q)] if ordered else 0.0


def tokens_of(target: Target, field: str, size: int) -> tuple[str, ...]:
    """Tokenizes a batch to detokenize later."""
    with target.connected() as stub:
        return tuple(stub.Tokenize(Work(field, size).request(0), timeout=60).tokens)


def grpc_loop(target: Target, work: Work, callers: int, start: float, end: float) -> Closed:
    """Calls as the SDK does, each caller in a thread."""
    numbers = itertools.count(random.randrange(10**9) * 10)
    taken: list[float] = []
    burnt = 0.0
    lock = threading.Lock()

    def run(first: bool) -> None:
        nonlocal burnt
        with target.connected() as stub:
            work.call(stub, next(numbers))
            time.sleep(max(0.0, start - time.monotonic()))
            cpu = time.process_time()
            mine = []
            while (began := time.monotonic()) < end:
                work.call(stub, next(numbers))
                if (ended := time.monotonic()) <= end:
                    mine.append(ended - began)
            with lock:
                taken.extend(mine)
                burnt = time.process_time() - cpu if first else burnt

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(run, [n == 0 for n in range(callers)]))
    return Closed(taken, burnt)
