"""`make bench-server`: the whole server over TLS, beside a handler that does nothing.

One run starts a development environment and, on the same machine, a server whose handler
only answers its input back. Prints unary rates with p50 and p99, and values a second in
batches, each also as a share of the trivial handler's.
"""

from __future__ import annotations

import itertools
import multiprocessing
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc

from vault.client import ClientTls
from vault.dev.authority import Authority
from vault.dev.environment import DevEnvironment
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.tokenization_service_pb2_grpc import TokenizationServiceStub

CALLERS = (1, 4, 16, 64)
BATCHES = (100, 1_000, 10_000)
SECONDS = 1.5
_OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]


def echo(
    request: messages.TokenizeRequest, context: grpc.ServicerContext
) -> messages.TokenizeResponse:
    """Answers the values as they came: what gRPC, TLS and protobuf cost on their own."""
    del context
    return messages.TokenizeResponse(tokens=request.values)


@dataclass(frozen=True)
class Rate:
    """What one measurement saw: calls and values a second, and latencies in milliseconds."""

    calls: float
    values: float
    p50: float
    p99: float


Call = Callable[[TokenizationServiceStub, int], object]


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


def measure(address: str, tls: ClientTls, callers: int, size: int, call: Call) -> Rate:
    """Lets ``callers`` threads, each on a connection of its own, call for some seconds."""
    latencies: list[float] = []
    start = threading.Barrier(callers + 1)
    numbers = itertools.count()

    def work() -> None:
        options = [*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(address, tls.credentials(), options=options) as channel:
            stub = TokenizationServiceStub(channel)
            call(stub, next(numbers))
            start.wait()
            end = time.perf_counter() + SECONDS
            while (began := time.perf_counter()) < end:
                call(stub, next(numbers))
                latencies.append(time.perf_counter() - began)

    with futures.ThreadPoolExecutor(callers) as pool:
        jobs = [pool.submit(work) for _ in range(callers)]
        start.wait()
        for job in jobs:
            job.result()
    latencies.sort()
    calls = len(latencies) / SECONDS
    return Rate(
        calls, calls * size, *(1000 * latencies[int(len(latencies) * q)] for q in (0.5, 0.99))
    )


def tokenizer(field: str, size: int, *, fresh: bool) -> Call:
    """Returns a call that tokenizes a batch: new values every time, or the same ones."""

    def call(stub: TokenizationServiceStub, number: int) -> object:
        base = (number * size if fresh else 0) + 10**15
        values = [str(base + each) for each in range(size)]
        answer = stub.Tokenize(messages.TokenizeRequest(field=field, values=values), timeout=60)
        if answer.errors:
            raise SystemExit(f"{field}: {answer.errors[0].reason}")
        return answer

    return call


def detokenizer(field: str, tokens: Sequence[str]) -> Call:
    """Returns a call that detokenizes one batch, over and over."""
    request = messages.DetokenizeRequest(field=field, tokens=tokens, view="full")

    def call(stub: TokenizationServiceStub, number: int) -> object:
        del number
        answer = stub.Detokenize(request, timeout=60)
        if answer.errors:
            raise SystemExit(f"{field}: {answer.errors[0].reason}")
        return answer

    return call


def tokens_of(address: str, tls: ClientTls, field: str, size: int) -> list[str]:
    """Tokenizes a batch to detokenize later."""
    with grpc.secure_channel(address, tls.credentials(), options=_OPTIONS) as channel:
        values = [str(10**15 + each) for each in range(size)]
        request = messages.TokenizeRequest(field=field, values=values)
        return list(TokenizationServiceStub(channel).Tokenize(request, timeout=60).tokens)


def row(name: str, callers: int, size: int, rate: Rate, baseline: Rate | None) -> None:
    """Prints one measurement."""
    share = f"{rate.calls / baseline.calls:6.0%}" if baseline else "      "
    print(
        f"{name:34} {callers:3d} x {size:6,d}  {rate.calls:8,.0f} calls/s"
        f"  {rate.values:11,.0f} values/s  p50 {rate.p50:7.1f} ms  p99 {rate.p99:7.1f} ms  {share}",
        flush=True,
    )


def compare(
    name: str,
    trivial_server: tuple[str, ClientTls],
    real: tuple[str, ClientTls],
    call: Call,
    at: tuple[int, int],
) -> None:
    """Measures a real call beside the trivial one, in turn."""
    callers, size = at
    trivial = measure(*trivial_server, callers, size, tokenizer("echo", size, fresh=False))
    row("trivial handler", callers, size, trivial, None)
    row(name, callers, size, measure(*real, callers, size, call), trivial)


def main() -> None:
    """Runs every measurement and prints it."""
    cores, python = multiprocessing.cpu_count(), platform.python_version()
    print(f"{platform.machine()}, {cores} cores, Python {python}")
    with tempfile.TemporaryDirectory() as name, DevEnvironment(Path(name) / "dev", port=0) as dev:
        authority = Authority(Path(name) / "dev" / "pki")
        files = authority.issue_server("echo")
        context = multiprocessing.get_context("spawn")
        ready: multiprocessing.Queue[int] = context.Queue()
        arguments = (files.cert, files.key, authority.certificate_path, ready)
        process = context.Process(target=serve_echo, args=arguments, daemon=True)
        process.start()
        roles = {role: ClientTls(dev.ca, pair.cert, pair.key) for role, pair in dev.clients.items()}
        writer = (dev.address, roles["pipeline"])
        reader = (dev.address, roles["restore_pipeline"])
        trivial_server = (f"127.0.0.1:{ready.get(timeout=30)}", roles["pipeline"])
        for at in [(callers, 1) for callers in CALLERS] + [(2, size) for size in BATCHES]:
            size = at[1]
            compare(
                "vaultless Tokenize",
                trivial_server,
                writer,
                tokenizer("account_id", size, fresh=True),
                at,
            )
            vaultless = tokens_of(*writer, "account_id", size)
            compare(
                "vaultless Detokenize",
                trivial_server,
                reader,
                detokenizer("account_id", vaultless),
                at,
            )
            compare(
                "vaulted Tokenize, new values",
                trivial_server,
                writer,
                tokenizer("national_id", size, fresh=True),
                at,
            )
            compare(
                "vaulted Tokenize, known values",
                trivial_server,
                writer,
                tokenizer("national_id", size, fresh=False),
                at,
            )
            vaulted = tokens_of(*writer, "national_id", size)
            compare(
                "vaulted Detokenize",
                trivial_server,
                reader,
                detokenizer("national_id", vaulted),
                at,
            )
        process.terminate()


if __name__ == "__main__":
    main()
