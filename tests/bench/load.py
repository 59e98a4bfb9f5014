"""The load generator: client processes of their own, each with threads and connections.

Threads of one Python process would themselves be what is measured. What the processes
burn is returned too: on a machine that server and clients share it is part of the result.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from vault.client import ClientTls
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

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

    def request(self, number: int) -> messages.TokenizeRequest:
        """The request of a tokenizing call."""
        base = 10**15 + (number * self.size if self.fresh else 0)
        values = [str(base + each) for each in range(self.size)]
        return messages.TokenizeRequest(field=self.field, values=values)


@dataclass(frozen=True)
class Rate:
    """Calls a second, latencies in milliseconds, and cores the clients burnt."""

    calls: float
    p50: float
    p99: float
    client_cores: float


class Generator:
    """A context manager: the client processes."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Generator:
        list(self._pool.map(time.sleep, [0.5] * PROCESSES))  # started, modules imported
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def measure(self, target: Target, work: Work, callers: int, seconds: float) -> Rate:
        """Lets ``callers`` call, each one call at a time on its own connection."""
        shares = [callers // PROCESSES + (n < callers % PROCESSES) for n in range(PROCESSES)]
        # Connections and their first calls come before the window that is counted.
        start = time.monotonic() + 0.5 + 0.03 * callers
        jobs = [
            self._pool.submit(_closed_loop, target, work, share, start, start + seconds)
            for share in shares
            if share
        ]
        results = [job.result() for job in jobs]
        latencies = sorted(itertools.chain.from_iterable(found for found, _ in results))
        if not latencies:
            raise RuntimeError("not one call ended in time")
        p50, p99 = (1000 * quantile(latencies, q) for q in (0.5, 0.99))
        cores = sum(cpu for _, cpu in results) / seconds
        return Rate(len(latencies) / seconds, p50, p99, cores)


def quantile(ordered: Sequence[float], q: float) -> float:
    """Of sorted samples; 0 where there are none."""
    return ordered[int(len(ordered) * q)] if ordered else 0.0


def tokens_of(target: Target, field: str, size: int) -> tuple[str, ...]:
    """Tokenizes a batch to detokenize later."""
    with target.connected() as stub:
        return tuple(stub.Tokenize(Work(field, size).request(0), timeout=60).tokens)


def _closed_loop(
    target: Target, work: Work, callers: int, start: float, end: float
) -> tuple[list[float], float]:
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
    return taken, burnt
