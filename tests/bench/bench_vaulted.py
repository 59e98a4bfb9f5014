"""`make bench-vaulted`: a vaulted field beside bare statements on tables of the same shape.

One run, one Postgres that keeps its commits, everything in turn: bare statements
(``bare_tables``), the use case in this process (policy, audit, keys, everything between the
wire's bytes), and the server over gRPC with TLS. New values, the same again, and their tokens back.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from tests.bench.bare_tables import FIELD, Bare, Rows, Tables
from tests.bench.in_parallel import in_parallel
from tests.bench.process_times import seconds_of
from vault.client import ClientTls
from vault.config import load_settings
from vault.dev.environment import DevEnvironment
from vault.dev.postgres import EmbeddedPostgres
from vault.model import Caller, Principal
from vault.server.wiring import Backend, open_backend
from vault.service.call import Call
from vault.telemetry.metrics import AuditMetrics, PolicyMetrics, WebhookMetrics
from vault.v1 import tokenization_service_pb2 as messages

IN_FLIGHT = 4
BATCHES = (1_000, 10_000)
# Values of one measurement: as many as are known to both sides.
VALUES = 40_000
OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]
SERVICE = "/vault.v1.TokenizationService/"
ANSWERS: dict[str, type[messages.TokenizeResponse | messages.DetokenizeResponse]] = {
    "Tokenize": messages.TokenizeResponse,
    "Detokenize": messages.DetokenizeResponse,
}
KINDS = ("new", "known", "detokenized")
RPC = {"new": "Tokenize", "known": "Tokenize", "detokenized": "Detokenize"}
ROLE = {"Tokenize": "pipeline", "Detokenize": "restore_pipeline"}
# Makes one call in a lane: (lane, RPC, request), the encoded answer.
Ask = Callable[[int, str, bytes], bytes]


def values(first: int, size: int) -> list[str]:
    """Distinct 16-digit values in no order."""
    return [str(10**15 + at * 7_919_999_983 % (9 * 10**15)) for at in range(first, first + size)]


def batches(texts: Sequence[str], size: int) -> list[list[str]]:
    """Cuts a column into batches."""
    return [list(texts[at : at + size]) for at in range(0, len(texts), size)]


def request(rpc: str, texts: Sequence[str]) -> bytes:
    """A batch's request, encoded."""
    if rpc == "Tokenize":
        return messages.TokenizeRequest(field=FIELD, values=texts).SerializeToString()
    return messages.DetokenizeRequest(field=FIELD, tokens=texts).SerializeToString()


class Service:
    """The service by one way to call it."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.name = name
        self._ask = ask

    def run(self, rpc: str, requests: Sequence[bytes]) -> None:
        """Makes calls, so many at a time, and reads their answers."""

        def call(lane: int, asked: bytes) -> None:
            if ANSWERS[rpc].FromString(self._ask(lane, rpc, asked)).errors:
                raise RuntimeError("a value failed")

        in_parallel(call, requests, IN_FLIGHT)

    def tokens(self, texts: Sequence[str]) -> list[str]:
        """Returns the tokens of a batch."""
        answer = self._ask(0, "Tokenize", request("Tokenize", texts))
        return list(messages.TokenizeResponse.FromString(answer).tokens)


@contextmanager
def use_case(dev: DevEnvironment) -> Iterator[Service]:
    """The use cases in this process: from the request's bytes to the answer's."""
    registry = CollectorRegistry()
    metrics = AuditMetrics(registry), PolicyMetrics(registry), WebhookMetrics(registry)
    callers = {
        rpc: Caller(
            Principal("spiffe", f"spiffe://example.org/{role.replace('_', '-')}"),
            "bench",
            "",
            "0" * 32,
        )
        for rpc, role in ROLE.items()
    }
    with open_backend(load_settings(dev.settings), *metrics) as backend:
        yield Service("use case", _asking(backend, callers))


def _asking(backend: Backend, callers: Mapping[str, Caller]) -> Ask:
    def ask(_: int, rpc: str, asked: bytes) -> bytes:
        bound = backend.methods[SERVICE + rpc](asked)
        return bound.run(Call(rpc, callers[rpc], backend.policy())).encoded

    return ask


@contextmanager
def over_grpc(dev: DevEnvironment) -> Iterator[Service]:
    """The server, over TLS, a connection for each caller and call in flight."""
    channels = {
        (rpc, lane): grpc.secure_channel(
            dev.address,
            ClientTls(dev.ca, dev.clients[role].cert, dev.clients[role].key).credentials(),
            options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)],
        )
        for rpc, role in ROLE.items()
        for lane in range(IN_FLIGHT)
    }
    stubs = {
        (rpc, lane): channel.unary_unary(SERVICE + rpc, None, None)
        for (rpc, lane), channel in channels.items()
    }

    def ask(lane: int, rpc: str, asked: bytes) -> bytes:
        answer = stubs[rpc, lane](asked, timeout=120)
        assert isinstance(answer, bytes)
        return answer

    try:
        for channel in channels.values():
            grpc.channel_ready_future(channel).result(timeout=60)
        yield Service("server, gRPC", ask)
    finally:
        for channel in channels.values():
            channel.close()


class Clock:
    """Times work, and what processor time it takes where."""

    def __init__(self, dev: DevEnvironment) -> None:
        self._server = str(dev.settings)
        pid_file = dev.directory / "postgres" / "data" / "postmaster.pid"
        self._postgres = int(pid_file.read_text().split()[0])

    def _taken(self) -> dict[str, float]:
        return {
            "client": time.process_time(),
            "server": seconds_of(self._server),
            "Postgres": seconds_of(self._postgres),
        }

    def measure(self, work: Callable[[], None]) -> dict[str, float]:
        """Returns seconds of the wall clock (``wall``) and of each group's processors."""
        before, began = self._taken(), time.perf_counter()
        work()
        wall, after = time.perf_counter() - began, self._taken()
        return {"wall": wall, **{name: after[name] - before[name] for name in before}}


Works = dict[str, Callable[[], None]]


class Bench:
    """Both sides, and which values are known."""

    def __init__(self, dev: DevEnvironment, bare: Bare, ways: Sequence[Service]) -> None:
        self._bare = bare
        self._ways = ways
        self._next = itertools.count(VALUES, VALUES)
        self._known = values(0, VALUES)
        self._tokens = [
            token for batch in batches(self._known, 10_000) for token in ways[0].tokens(batch)
        ]
        self._clock = Clock(dev)
        # What the service has by now is what both sides begin with.
        self.tables = Tables(bare.conninfo)

    def works(self, kind: str, size: int) -> Works:
        """Prepares a measurement of every side; what is prepared is run once."""
        if kind == "new":
            length = self.tables.ciphertext_length()
            rows = [Rows.random(size, length) for _ in range(VALUES // size)]
            works: Works = {self._bare.name: lambda: self._bare.insert(rows)}
        else:
            stored = batches(self.tables.stored_tokens(VALUES), size)
            works = {self._bare.name: lambda: self._bare.look_up(stored)}
        return works | {way.name: self._call(way, kind, size) for way in self._ways}

    def _call(self, way: Service, kind: str, size: int) -> Callable[[], None]:
        texts = {
            "new": lambda: values(next(self._next), VALUES),
            "known": lambda: self._known,
            "detokenized": lambda: self._tokens,
        }[kind]()
        rpc = RPC[kind]
        requests = [request(rpc, batch) for batch in batches(texts, size)]
        return lambda: way.run(rpc, requests)

    def round(self, kind: str, size: int, turn: int) -> dict[str, dict[str, float]]:
        """Measures every side once, every other time in the opposite order."""
        works = list(self.works(kind, size).items())
        ordered = works if turn % 2 else works[::-1]
        return {name: self._clock.measure(work) for name, work in ordered}


Times = Mapping[tuple[str, int, str], Mapping[str, float]]


def measure(bench: Bench, rows: int, sizes: Sequence[int], rounds: int) -> Times:
    """Returns median seconds of every kind, batch size and side at so many rows."""
    seen: defaultdict[tuple[str, int, str], list[dict[str, float]]] = defaultdict(list)
    for turn in range(rounds + 1):  # the first warms up
        for size in sizes:
            # At ten million the rows that a run adds are few; filling takes minutes.
            if not rows <= bench.tables.count() <= rows * 1.2:
                bench.tables.fill(rows)
            for kind in reversed(KINDS):
                for name, times in bench.round(kind, size, turn).items():
                    seen[kind, size, name].append(times)
    return {
        key: {name: statistics.median(each[name] for each in found[1:]) for name in found[0]}
        for key, found in seen.items()
    }


def report(rows: int, times: Times) -> None:
    """Prints rates, how far each is from bare, and processor time."""
    print(f"\n{rows:,} rows present, {IN_FLIGHT} in flight; processor time in us a value")
    groups = ("client", "server", "Postgres")
    head = "".join(f"{name:>10}" for name in (*groups, "all"))
    print(f"{'':12}{'batch':>8}  {'':16}{'values/s':>10}{'off':>7}{head}")
    for (kind, size, name), found in times.items():
        bare = times[kind, size, Bare.name]["wall"]
        burnt = [found[group] / VALUES * 1e6 for group in groups]
        spent = "".join(f"{each:10.1f}" for each in (*burnt, sum(burnt)))
        off = f"{found['wall'] / bare:6.2f}x" if name != Bare.name else ""
        print(f"{kind:12}{size:8,d}  {name:16}{VALUES / found['wall']:10,.0f}{off:>7}{spent}")


def report_slowdown(small: int, small_times: Times, large: int, large_times: Times) -> None:
    """Prints how much slower each became between two sizes, also beside bare."""
    print(f"\nfrom {small:,} to {large:,} rows: times slower, and beside the bare statements")
    slower = {key: found["wall"] / small_times[key]["wall"] for key, found in large_times.items()}
    for (kind, size, name), times in slower.items():
        beside = "" if name == Bare.name else f"{times / slower[kind, size, Bare.name]:8.2f}"
        print(f"{kind:12}{size:8,d}  {name:16}{times:8.2f}{beside}")


def number(text: str) -> int:
    """Reads 100000, 100k or 1M."""
    scale = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    return int(text.rstrip("kM")) * scale


def main() -> None:
    """Runs every measurement and prints it."""
    parser = argparse.ArgumentParser(prog="make bench-vaulted", description=__doc__)
    parser.add_argument("rows", nargs="*", type=number, default=[100_000], help="such as 100k 1M")
    parser.add_argument("--batch", nargs="*", type=number, default=BATCHES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="server processes")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {multiprocessing.cpu_count()} cores shared by all,"
        f" Python {platform.python_version()}, {options.workers} server process(es);"
        f" medians of {options.rounds} rounds",
        flush=True,
    )
    with (
        tempfile.TemporaryDirectory() as name,
        DevEnvironment(Path(name) / "dev", port=0, workers=options.workers) as dev,
    ):
        postgres = EmbeddedPostgres(dev.directory / "postgres")
        postgres.port = int((dev.directory / "postgres" / "port").read_text())
        conninfo = postgres.superuser_conninfo("tokenvault")
        with (
            use_case(dev) as local,
            over_grpc(dev) as remote,
            Bare.opened(conninfo, IN_FLIGHT) as bare,
        ):
            bench = Bench(dev, bare, [local, remote])
            found = {}
            for rows in sorted(options.rows):
                found[rows] = measure(bench, rows, options.batch, options.rounds)
                report(rows, found[rows])
            for small, large in itertools.pairwise(found):
                report_slowdown(small, found[small], large, found[large])


if __name__ == "__main__":
    main()
