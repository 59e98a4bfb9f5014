"""`make bench-columns`: Tokenize and TokenizeColumn of a vaultless field, all on and cut out.

One run starts the whole server, and beside it the same server with policy and audit cut out
(``baseline_server``) and bare handlers: gRPC, TLS, protobuf, format and cipher alone. One
client calls all three in turn, with 16-digit values. Then a copy of the whole server's parts
in this process says where its time goes.
"""

from __future__ import annotations

import itertools
import multiprocessing
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import grpc
from prometheus_client import CollectorRegistry

from vault.audit.appender import PostgresAuditAppender
from vault.client import ClientTls, PackedColumn
from vault.config import load_settings
from vault.crypto.field_key import FieldKey
from vault.dev.authority import Authority
from vault.dev.environment import DevEnvironment
from vault.dev.ports import persistent_port
from vault.formats.columnar.text_column import TextColumn
from vault.model import Caller, Principal
from vault.policy.reading.load import parse_policy
from vault.postgres import transaction
from vault.postgres.begin import PendingBegin
from vault.rpc.methods import columns as packed
from vault.rpc.methods import tokenization as unpacked
from vault.rpc.methods.column_codec import decode_column
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.server.wiring import open_backend
from vault.service import conversion
from vault.service.admission import Admission
from vault.service.call import Call
from vault.service.columnar import vaultless_column
from vault.service.columnar.vaultless_column import tokenize_column
from vault.service.conversion import Conversion
from vault.telemetry.metrics import AuditMetrics, PolicyMetrics, WebhookMetrics
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1.column_pb2 import StringColumn

FIELD = "account_id"
ROOT = Path(__file__).parents[2]
POLICY = ROOT / "deploy/policy.yaml"
BATCHES = (1_000, 10_000, 50_000)
# One call after the other, and as many at a time as the SDK has.
IN_FLIGHT = (1, 4)
ROUNDS = 5
SECONDS = 1.0
CALLS, WARM = 40, 5
MOST = 100_000
SERVICE = "/vault.v1.TokenizationService/"
OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]
RPCS = ("Tokenize", "TokenizeColumn")
Paths = tuple[str, str, str]


def values(size: int) -> list[str]:
    """Distinct 16-digit values in no order."""
    return [str(10**15 + at * 7_919_999_983 % (9 * 10**15)) for at in range(size)]


def requests(size: int) -> dict[str, bytes]:
    """The same batch for either RPC, encoded."""
    texts = values(size)
    packed = PackedColumn.of(texts)
    column = StringColumn(data=bytes(packed.data or b""), offsets=bytes(packed.offsets))
    return {
        "Tokenize": messages.TokenizeRequest(field=FIELD, values=texts).SerializeToString(),
        "TokenizeColumn": messages.TokenizeColumnRequest(
            field=FIELD, values=column
        ).SerializeToString(),
    }


def bare_handlers() -> dict[str, Callable[[bytes], bytes]]:
    """Format and cipher between the wire's decoding and encoding, and nothing else."""
    field = parse_policy(POLICY.read_text("utf-8"), "sample").fields[FIELD]
    key = FieldKey(bytes(range(32)), "default", FIELD, 1)

    def convert(texts: TextColumn | list[str]) -> Conversion[str]:
        return tokenize_column(key, field, field.tweak_version, texts, field.format.parse)

    def tokenize(raw: bytes) -> bytes:
        ask = messages.TokenizeRequest.FromString(raw)
        return messages.TokenizeResponse(
            tokens=convert(list(ask.values)).answers
        ).SerializeToString()

    def tokenize_packed(raw: bytes) -> bytes:
        sent = decode_column(messages.TokenizeColumnRequest.FromString(raw).values)
        made = convert(sent.texts)
        return messages.TokenizeColumnResponse(
            tokens=sent.answer(made.answers, made.failures)
        ).SerializeToString()

    return {"Tokenize": tokenize, "TokenizeColumn": tokenize_packed}


def serve_bare(pair: Paths, ready: multiprocessing.Queue[int]) -> None:
    """Runs the bare handlers in a process of their own, until it is ended."""
    cert, key, ca = (Path(path).read_bytes() for path in pair)
    listener = grpc.server(futures.ThreadPoolExecutor(8), options=OPTIONS)

    def handler(work: Callable[[bytes], bytes]) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(lambda raw, _: work(raw))

    handlers = {name: handler(work) for name, work in bare_handlers().items()}
    service = grpc.method_handlers_generic_handler(SERVICE.strip("/"), handlers)
    listener.add_generic_rpc_handlers((service,))
    credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
    port = listener.add_secure_port("127.0.0.1:0", credentials)
    listener.start()
    ready.put(port)
    listener.wait_for_termination()


@contextmanager
def bare_server(authority: Authority) -> Iterator[str]:
    """Yields the address of the bare handlers."""
    files = authority.issue_server("bare")
    pair = str(files.cert), str(files.key), str(authority.certificate_path)
    context = multiprocessing.get_context("spawn")
    ready: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=serve_bare, args=(pair, ready), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{ready.get(timeout=30)}"
    finally:
        process.terminate()


@contextmanager
def server(dev: DevEnvironment, directory: Path, module: str) -> Iterator[tuple[str, Path]]:
    """Yields address and settings of a server like the environment's, for larger batches."""
    directory.mkdir()

    def other_port(found: re.Match[str]) -> str:
        return f"{found[1]} = {persistent_port(directory / f'{found.start()}')}"

    text = re.sub(r"(?m)^(\w*port) = \d+$", other_port, dev.settings.read_text("utf-8"))
    settings = directory / "server.toml"
    settings.write_text(text.replace("[server]\n", f"[server]\nmax_batch = {MOST}\n"))
    port = load_settings(settings).server.port
    command = [sys.executable, "-m", module, "--config", str(settings)]
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, cwd=ROOT)
    try:
        yield f"127.0.0.1:{port}", settings
    finally:
        process.terminate()
        process.wait(20)


class Connection:
    """One client on one connection, that sends encoded requests."""

    def __init__(self, address: str, tls: ClientTls) -> None:
        self._channel = grpc.secure_channel(address, tls.credentials(), options=OPTIONS)
        grpc.channel_ready_future(self._channel).result(timeout=60)

    def once(self, rpc: str, request: bytes) -> float:
        """Returns the seconds of one call."""
        began = time.perf_counter()
        self._channel.unary_unary(SERVICE + rpc, None, None)(request, timeout=60)
        return time.perf_counter() - began

    def rate(self, rpc: str, request: bytes, size: int, in_flight: int = 1) -> float:
        """Returns values a second over a second or so, with so many calls at a time."""
        call = self._channel.unary_unary(SERVICE + rpc, None, None)
        answer: type[messages.TokenizeResponse | messages.TokenizeColumnResponse] = (
            messages.TokenizeResponse if rpc == "Tokenize" else messages.TokenizeColumnResponse
        )
        began = time.perf_counter()

        def repeat() -> int:
            calls = 0
            while time.perf_counter() < began + SECONDS:
                if answer.FromString(call(request, timeout=60)).errors:
                    raise SystemExit("a value failed")
                calls += 1
            return calls

        with futures.ThreadPoolExecutor(in_flight) as pool:
            jobs = [pool.submit(repeat) for _ in range(in_flight)]
            calls = sum(job.result() for job in jobs)
        return calls * size / (time.perf_counter() - began)


def compare(whole: Connection, cut_out: Connection, bare: Connection) -> None:
    """Prints values a second of the three servers, turn and turn about."""
    print(f"\nvalues/s, median of {ROUNDS} turns; ratios: all on to cut out, all on to bare")
    print(f"{'':16}{'batch':>8}{'in flight':>11}{'all on':>12}{'cut out':>12}{'bare':>12}")
    for size in BATCHES:
        asked = requests(size)
        for rpc, in_flight in itertools.product(RPCS, IN_FLIGHT):
            servers = whole, cut_out, bare
            turns = [
                [one.rate(rpc, asked[rpc], size, in_flight) for one in servers]
                for _ in range(1 + ROUNDS)
            ]
            on, cut, less = (statistics.median(own) for own in zip(*turns[1:], strict=True))
            print(
                f"{rpc:16}{size:8,d}{in_flight:11d}{on:12,.0f}{cut:12,.0f}{less:12,.0f}"
                f"{on / cut:8.2f}{on / less:6.2f}",
                flush=True,
            )


FINISHES = ("_tokenized", "_detokenized")

# What is timed: (name of the step, its owner, attribute). Steps lie within each other; a
# step's own time is without those within it.
STEPS: tuple[tuple[str, object, str], ...] = (
    ("policy", Admission, "admit_field"),
    ("transaction and MAC", PostgresUnitOfWork, "run"),
    ("audit record", PostgresAuditAppender, "append"),
    ("parse", vaultless_column, "split_items"),
    ("cipher", vaultless_column, "cipher_rows"),
    ("render", vaultless_column, "join_texts"),
    ("token-set digest", conversion, "packed_token_set"),
    ("decode", packed, "decode_column"),
    *(("encode", methods, name) for methods in (packed, unpacked) for name in FINISHES),
    ("wait for BEGIN", PendingBegin, "time"),
    ("wait for COMMIT", transaction, "_conclude"),
)


class Clock:
    """Own time per step, of nested calls in one thread."""

    def __init__(self) -> None:
        self.own: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times a block as a step."""
        self._inner.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            self.own[name] += whole - self._inner.pop()
            self._inner[-1] += whole

    def wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        """Returns a function that is timed as a step."""

        def timed(*arguments: object, **named: object) -> object:
            with self.step(name):
                return real(*arguments, **named)

        return timed


def where_time_goes(settings: Path, whole: Connection) -> None:
    """Prints milliseconds a call per step; the wire is what a client sees beside them."""
    caller = Caller(Principal("spiffe", "spiffe://example.org/pipeline"), "bench", "", "0" * 32)
    registry = CollectorRegistry()
    metrics = AuditMetrics(registry), PolicyMetrics(registry), WebhookMetrics(registry)
    opened = open_backend(load_settings(settings), *metrics)
    with opened as backend, ExitStack() as stack:
        clock = Clock()
        for name, owner, attribute in STEPS:
            timed = clock.wrapped(name, getattr(owner, attribute))
            stack.enter_context(patch.object(owner, attribute, timed))
        table: dict[tuple[str, int], dict[str, float]] = {}
        for size in BATCHES:
            asked = requests(size)
            for rpc in RPCS:
                method = backend.methods[SERVICE + rpc]
                found: list[dict[str, float]] = []
                # A wire call after each call in here, so that both see the same machine.
                for _ in range(CALLS):
                    clock.own.clear()
                    with clock.step("decode"):
                        bound = method(asked[rpc])
                    bound.run(Call(rpc, caller, backend.policy()))
                    found.append({**clock.own, "whole call": whole.once(rpc, asked[rpc])})
                steps = {
                    name: 1000 * statistics.median(each[name] for each in found[WARM:])
                    for name in found[-1]
                }
                seen = steps.pop("whole call")
                steps["gRPC, TLS, client"] = seen - sum(steps.values())
                table[rpc, size] = {**steps, "whole call": seen}
    names = list(dict.fromkeys(name for steps in table.values() for name in steps))
    print("\nmilliseconds a call" + "".join(f"{rpc[:10]:>12}" for rpc, _ in table))
    print(f"{'':19}" + "".join(f"{size:12,d}" for _, size in table))
    for name in [*(n for n in names if n != "whole call"), "whole call"]:
        print(f"{name:19}" + "".join(f"{found.get(name, 0):12.2f}" for found in table.values()))


def main() -> None:
    """Runs every measurement and prints it."""
    cores, python = multiprocessing.cpu_count(), platform.python_version()
    print(f"{platform.machine()}, {cores} cores, Python {python}; one server, one client")
    with tempfile.TemporaryDirectory() as name, DevEnvironment(Path(name) / "dev", port=0) as dev:
        pair = dev.clients["pipeline"]
        tls = ClientTls(dev.ca, pair.cert, pair.key)
        authority = Authority(Path(name) / "dev" / "pki")
        with (
            server(dev, Path(name) / "whole", "vault.dev.server") as (address, settings),
            server(dev, Path(name) / "cut", "tests.bench.baseline_server") as (cut_address, _),
            bare_server(authority) as bare_address,
        ):
            whole, cut_out, bare = (
                Connection(each, tls) for each in (address, cut_address, bare_address)
            )
            compare(whole, cut_out, bare)
            where_time_goes(settings, whole)


if __name__ == "__main__":
    main()
