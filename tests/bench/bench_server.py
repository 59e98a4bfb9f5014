"""`make bench-server`: the whole server over TLS, beside a handler that does nothing.

One run starts a development environment with one worker, then with two, and on the same
machine a server whose handler only answers its input back. Prints one table: unary calls
of 1 to 64 callers, and batches of two callers, each also as a share of the trivial
handler's rate under the same generator.
"""

from __future__ import annotations

import multiprocessing
import platform
import sys
import tempfile
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.bench.load import Generator, Rate, Target, Work, tokens_of
from vault.dev.authority import Authority
from vault.dev.environment import DevEnvironment
from vault.v1 import tokenization_service_pb2 as messages

CALLERS = (1, 4, 16, 64)
BATCHES = (100, 1_000, 10_000)
BATCH_CALLERS = 2
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
_OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]


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
def trivial_server(pki: Path) -> Iterator[str]:
    """The address of the trivial server."""
    authority = Authority(pki)
    files = authority.issue_server("echo")
    context = multiprocessing.get_context("spawn")
    ready: multiprocessing.Queue[int] = context.Queue()
    arguments = (files.cert, files.key, authority.certificate_path, ready)
    process = context.Process(target=serve_echo, args=arguments, daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{ready.get(timeout=30)}"
    finally:
        process.terminate()


def row(name: str, workers: str, at: tuple[int, int], rate: Rate, share: str) -> None:
    """Prints one measurement."""
    callers, size = at
    print(
        f"{name:26} {workers:>7} {callers:7d} {size:7,d} {rate.calls:9,.0f}"
        f" {rate.calls * size:11,.0f} {rate.p50:9.1f} {rate.p99:9.1f}"
        f" {rate.client_cores:8.2f} {share:>10}",
        flush=True,
    )


def kinds(writer: Target, size: int) -> Iterator[tuple[str, str, Work]]:
    """Every kind of call: name, role, work."""
    for storage, field in (("vaultless", "account_id"), ("vaulted", "national_id")):
        yield f"{storage} Tokenize, new", "pipeline", Work(field, size, fresh=True)
        if storage == "vaulted":
            yield f"{storage} Tokenize, known", "pipeline", Work(field, size)
        tokens = tokens_of(writer, field, size)
        yield f"{storage} Detokenize", "restore_pipeline", Work(field, size, tokens=tokens)


def measure(directory: Path, workers: int, generator: Generator) -> None:
    """Prints every measurement of a server with so many workers."""
    with (
        DevEnvironment(directory, port=0, workers=workers) as dev,
        trivial_server(directory / "pki") as trivial,
    ):
        roles = {
            role: Target(dev.address, dev.ca, pair.cert, pair.key)
            for role, pair in dev.clients.items()
        }
        writer = roles["pipeline"]
        nothing = Target(trivial, writer.ca, writer.cert, writer.key)
        # Enough calls for a percentile of batches that take a second each.
        long = {10_000: 3 * SECONDS}
        for at in [(n, 1) for n in CALLERS] + [(BATCH_CALLERS, size) for size in BATCHES]:
            callers, size = at
            seconds = long.get(size, SECONDS)
            base = generator.measure(nothing, Work("echo", size), callers, seconds)
            row("trivial handler", "-", at, base, "")
            for name, role, work in kinds(writer, size):
                rate = generator.measure(roles[role], work, callers, seconds)
                row(name, str(workers), at, rate, f"{rate.calls / base.calls:.0%}")


def main() -> None:
    """Runs every measurement and prints it."""
    cores, python = multiprocessing.cpu_count(), platform.python_version()
    print(f"{platform.machine()}, {cores} cores shared with the clients, Python {python}")
    print(
        f"{'':26} {'workers':>7} {'callers':>7} {'batch':>7} {'calls/s':>9} {'values/s':>11}"
        f" {'p50 ms':>9} {'p99 ms':>9} {'client':>8} {'of trivial':>10}"
    )
    with tempfile.TemporaryDirectory() as name, Generator() as generator:
        for workers in (1, 2):
            measure(Path(name) / f"dev-{workers}", workers, generator)
    print("client: cores that the load generator burnt")


if __name__ == "__main__":
    main()
