"""Minutes of mixed load, run by `make soak`: the server's memory must not grow."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.bench.flood import watching
from vault.client import CallError

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, StartServer

MINUTES = float(os.environ.get("SOAK_MINUTES", "5"))
WARM_UP = 0.3  # of the samples: pools fill, chain heads open, the interpreter's arenas grow
MIB_PER_MINUTE = 2.0


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    return start_server("soaked", {"log": {"level": "warning"}}, environment={})


def slope(samples: list[float], seconds: float) -> float:
    """MiB a minute over the samples after the warm-up."""
    steady = samples[int(len(samples) * WARM_UP) :]
    step = seconds / len(samples) / 60
    line = statistics.linear_regression([n * step for n in range(len(steady))], steady)
    return line.slope


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_memory_is_flat_under_mixed_load(server: Server) -> None:
    over = threading.Event()
    numbers = itertools.count(10**11)
    done: Counter[str] = Counter()
    pipeline = server.site.tls("pipeline")

    def new_values() -> None:
        column = [str(next(numbers)) for _ in range(300)]
        with server.client("pipeline") as client:
            client.tokenize("national_id", column[:1])
            tokens = client.tokenize("national_id", column).values
        with server.client("restore-pipeline") as client:
            assert client.detokenize("national_id", tokens).values == column

    def mistakes() -> None:
        with server.client("pipeline") as client:
            client.tokenize("national_id", ["x", "1", "9" * 500])
            for field in ("no_such_field", "card_number"):
                with suppress(CallError):
                    client.detokenize(field, ["0" * 16])
        with server.client("stranger") as client, suppress(CallError):
            client.tokenize("national_id", ["0123456789"])

    def garbage() -> None:
        credentials = pipeline.credentials()
        with grpc.secure_channel(server.address, credentials) as channel:
            for name in ("Tokenize", f"T{next(numbers)}"):
                method = f"/vault.v1.TokenizationService/{name}"
                send = channel.unary_unary(method, None, None)
                for body in (b"\xff" * 1000, b""):
                    with suppress(grpc.RpcError):
                        send(body, timeout=5)
        with grpc.insecure_channel(server.address) as channel, suppress(grpc.RpcError):
            channel.unary_unary("/x/Y", None, None)(b"", timeout=0.5)

    def run(step: Callable[[], None]) -> None:
        while not over.is_set():
            step()
            done[step.__name__] += 1

    steps = [new_values, new_values, mistakes, garbage]
    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    with watching(server.settings, server._port("health_port")) as watch:
        for thread in threads:
            thread.start()
        over.wait(MINUTES * 60)
        over.set()
        for thread in threads:
            thread.join()
    growth = slope(watch.resident, MINUTES * 60)
    print(
        f"\n{dict(done)} rounds; memory: start {watch.resident[0]:.0f},"
        f" peak {max(watch.resident):.0f}, end {watch.resident[-1]:.0f} MiB;"
        f" {growth:+.2f} MiB a minute after the warm-up"
    )
    assert min(done[step.__name__] for step in steps) > 10
    assert watch.unhealthy == []
    assert len(watch.lives) == 1
    assert growth < MIB_PER_MINUTE
