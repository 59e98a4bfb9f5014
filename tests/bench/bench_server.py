"""`make bench-server`: the whole server over TLS, beside a handler that does nothing and a peer.

One run starts a development environment with one worker, then with two; on the same machine
a server whose handler only answers its input back, and an OpenBao whose transit engine
encrypts one value a call. Each row has calls a second, latencies, and the processor time that
a call took of the server and of Postgres. With ``--baseline`` another checkout's environment
runs beside this one's, and all are measured in turn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import grpc

from tests.bench.http2_load import GrpcCall, SmallCall, http2_loop
from tests.bench.load import Generator, Rate, Target, Work, grpc_loop, tokens_of
from tests.bench.openbao_transit import transit
from tests.bench.process_times import resident, seconds_of, seconds_to_serving
from vault.dev.authority import Authority, spiffe_id
from vault.dev.child import Child
from vault.v1 import tokenization_service_pb2 as messages

T = TypeVar("T")
BATCHES = (100, 1_000, 10_000)
BATCH_CALLERS = 2
LONG = 3  # times as long for batches that take a second each, for their percentiles
GENERATOR_FULL = 0.9
_OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]
_ENVIRONMENT = Path(__file__).with_name("dev_environment.py")


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long each time."""

    checkouts: Mapping[str, Path]
    workers: Sequence[int]
    callers: Sequence[int]
    batches: Sequence[int]
    seconds: float
    rounds: int


@dataclass(frozen=True)
class Served:
    """Something to call, and whose time it takes: a process, or a mark in its command line."""

    name: str
    roles: Mapping[str, Target]
    processes: Mapping[str, str | int]

    def burnt(self) -> Mapping[str, float]:
        """Processor time so far, in seconds."""
        return {part: seconds_of(mark) for part, mark in self.processes.items()}


def echo(
    request: messages.TokenizeRequest, context: grpc.ServicerContext
) -> messages.TokenizeResponse:
    """Answers the values as they came: what gRPC, TLS and protobuf cost on their own."""
    del context
    return messages.TokenizeResponse(tokens=request.values)


def serve_echo(cert: Path, key: Path, ca: Path, ready: multiprocessing.Queue[int]) -> None:
    """Runs the trivial server in a process of its own until it is ended."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=_OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=messages.TokenizeRequest.FromString,
        response_serializer=messages.TokenizeResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(
        "vault.v1.TokenizationService", {"Tokenize": handler}
    )
    server.add_generic_rpc_handlers((service,))
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())], ca.read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    ready.put(port)
    server.wait_for_termination()


@contextmanager
def trivial_server(directory: Path) -> Iterator[Served]:
    """The trivial server, for callers of its own authority."""
    authority = Authority(directory)
    files, caller = (
        authority.issue_server("echo"),
        authority.issue_client("caller", spiffe_id("caller")),
    )
    context = multiprocessing.get_context("spawn")
    ready: multiprocessing.Queue[int] = context.Queue()
    arguments = (files.cert, files.key, authority.certificate_path, ready)
    process = context.Process(target=serve_echo, args=arguments, daemon=True)
    process.start()
    try:
        address = f"127.0.0.1:{ready.get(timeout=30)}"
        target = Target(address, authority.certificate_path, caller.cert, caller.key)
        yield Served("trivial handler", {"": target}, {"server": process.pid or 0})
    finally:
        process.terminate()


@contextmanager
def environment(name: str, checkout: Path, directory: Path, workers: int) -> Iterator[Served]:
    """A development environment of a checkout, which has its own interpreter."""
    python = checkout / ".venv/bin/python"
    if not python.exists():
        raise SystemExit(f"{checkout}: has no .venv: run `make install` there")
    command = [str(python), "-P", str(_ENVIRONMENT), str(directory), str(workers)]
    log = directory.with_suffix(".log")
    child = Child("the environment", command, log=log, grace=60.0)
    child.start()
    try:
        description = directory / "dev.json"
        while not description.exists():
            if child.exit_code() is not None:
                raise SystemExit(f"{checkout}: no environment: {child.log_tail()}")
            time.sleep(0.1)
        found = json.loads(description.read_text())
        roles = {
            role: Target(found["address"], Path(found["ca"]), Path(of["cert"]), Path(of["key"]))
            for role, of in found["clients"].items()
        }
        marks = {"server": f"{directory}/server.toml", "Postgres": f"{directory}/postgres"}
        yield Served(name, roles, marks)
    finally:
        child.stop()


def kinds(writer: Target, size: int) -> Iterator[tuple[str, str, Work]]:
    """Every kind of call: name, role, work."""
    for storage, field in (("vaultless", "account_id"), ("vaulted", "national_id")):
        yield f"{storage} Tokenize, new", "pipeline", Work(field, size, fresh=True)
        if storage == "vaulted":
            yield f"{storage} Tokenize, known", "pipeline", Work(field, size)
        tokens = tokens_of(writer, field, size)
        yield f"{storage} Detokenize", "restore_pipeline", Work(field, size, tokens=tokens)


def row(
    name: str, served: str, workers: str, at: tuple[int, int], rate: Rate, shares: Sequence[str]
) -> None:
    """Prints one measurement."""
    callers, size = at
    used = [rate.used.get(part, 0.0) for part in ("server", "Postgres")]
    print(
        f"{name:26} {served:9} {workers:>7} {callers:7d} {size:7,d} {rate.calls:8,.0f}"
        f" {rate.calls * size:10,.0f} {rate.p50:7.1f} {rate.p99:7.1f}"
        f" {used[0]:7.2f} {used[1]:8.2f} {sum(used):6.2f} {rate.client_cores:7.2f}"
        f"{'!' if rate.busy > GENERATOR_FULL else ' '} {' '.join(f'{each:>9}' for each in shares)}",
        flush=True,
    )


def in_turn(
    plan: Plan,
    generator: Generator[T],
    todo: Sequence[tuple[Served, str, T]],
    callers: int,
    long: int,
) -> list[Rate]:
    """Measures one after the other, all of it several times; returns the medians."""
    found: list[list[Rate]] = [[] for _ in todo]
    for _ in range(plan.rounds):
        for rates, (served, role, call) in zip(found, todo, strict=True):
            target, seconds = served.roles[role], plan.seconds * long
            rates.append(generator.measure(target, call, callers, seconds, served.burnt))
    return [Rate.median(rates) for rates in found]


def compare(
    plan: Plan,
    generator: Generator[T],
    others: Mapping[str, tuple[Served, T]],
    systems: Sequence[tuple[Served, Sequence[tuple[str, str, T]]]],
    workers: int,
    at: tuple[int, int],
) -> None:
    """Prints the rows of so many callers."""
    long = LONG if at[1] >= 10_000 else 1
    measure = partial(in_turn, plan, generator, callers=at[0], long=long)
    rates = measure([(served, "", call) for served, call in others.values()])
    for (served, _), rate in zip(others.values(), rates, strict=True):
        row(served.name, "-", "-", at, rate, ())
    trivial = rates[0].calls
    for same in zip(*(calls for _, calls in systems), strict=True):
        todo = [
            (served, role, call) for (served, _), (_, role, call) in zip(systems, same, strict=True)
        ]
        found = measure(todo)
        base = found[-1].calls
        for (served, _, _), rate in zip(todo, found, strict=True):
            shares = [f"{rate.calls / trivial:.0%}", f"x {rate.calls / base:.2f}"]
            row(same[0][0], served.name, str(workers), at, rate, shares[: len(systems)])


def measure(
    plan: Plan,
    directory: Path,
    workers: int,
    small: Generator[SmallCall],
    large: Generator[Work],
    others: Mapping[str, tuple[Served, SmallCall]],
) -> None:
    """Prints every measurement of servers with so many workers."""
    with ExitStack() as stack:
        systems = [
            stack.enter_context(
                environment(name, checkout, directory / f"{name}-{workers}", workers)
            )
            for name, checkout in plan.checkouts.items()
        ]
        time.sleep(3)  # at rest
        for each in systems:
            mark = each.processes["server"]
            log = directory / f"{each.name}-{workers}/server.log"
            print(
                f"{each.name}, {workers} worker(s): serves after"
                f" {seconds_to_serving(mark, log):.1f} s, {resident(mark):.0f} MiB at rest"
            )
        for callers in plan.callers:
            calls = [
                (
                    each,
                    [
                        (name, role, GrpcCall(work))
                        for name, role, work in kinds(each.roles["pipeline"], 1)
                    ],
                )
                for each in systems
            ]
            compare(plan, small, others, calls, workers, (callers, 1))
        for size in plan.batches:
            batches = [(each, list(kinds(each.roles["pipeline"], size))) for each in systems]
            trivial = {"trivial": (others["trivial"][0], Work("echo", size))}
            compare(plan, large, trivial, batches, workers, (BATCH_CALLERS, size))


def main(arguments: Sequence[str]) -> None:
    """Runs every measurement and prints it."""
    plan = read_plan(arguments)
    cores, python = multiprocessing.cpu_count(), platform.python_version()
    print(f"{platform.machine()}, {cores} cores shared with the clients, Python {python}")
    print(
        f"{'':26} {'':9} {'workers':>7} {'callers':>7} {'batch':>7} {'calls/s':>8} {'values/s':>10}"
        f" {'p50 ms':>7} {'p99 ms':>7} {'server':>7} {'Postgres':>8} {'both':>6} {'client':>7} "
        f" {'trivial':>9} {'baseline':>9}"
    )
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        small = stack.enter_context(Generator[SmallCall](http2_loop))
        large = stack.enter_context(Generator[Work](grpc_loop))
        trivial = stack.enter_context(trivial_server(directory / "echo"))
        peer, encrypt = stack.enter_context(transit(directory / "peer"))
        bao = Served("OpenBao transit/encrypt", {"": peer}, {"server": f"{directory}/peer/openbao"})
        others: dict[str, tuple[Served, SmallCall]] = {
            "trivial": (trivial, GrpcCall(Work("echo", 1))),
            "peer": (bao, encrypt),
        }
        for workers in plan.workers:
            measure(plan, directory, workers, small, large, others)
    print(
        "server, Postgres, both: processor time in ms a call; client: cores that the load generator"
        " burnt (!: it waited for answers less than a tenth of the time, and may be the limit);"
        " trivial: share of the trivial handler's calls; baseline: times the baseline's"
    )


def read_plan(arguments: Sequence[str]) -> Plan:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="bench_server", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many are printed")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--baseline", type=Path, help="another checkout, `make install`ed")
    options = parser.parse_args(arguments)
    checkouts = {"this": Path(__file__).parents[2]}
    if options.baseline is not None:
        checkouts["baseline"] = options.baseline.resolve()
    return Plan(
        checkouts,
        options.workers,
        options.callers,
        options.batches,
        options.seconds,
        options.rounds,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
