"""`make bench-reveals`: what a call costs under a grant and a budget, beside the same call without.

One run starts a development environment for each number of workers. Three people detokenize the
same tokens in turn: one whose rule asks nothing, one under a budget of two windows, one under
the budget and a grant of 1,000 tokens. Each row has the ratio to the first: of the
latency (median), and of the processor time of server and Postgres. With ``--baseline`` another
checkout's environment runs beside this one's, and both are measured in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.bench.process_times import seconds_of
from vault.client import Client, ClientJwt, ClientTls
from vault.dev.child import Child
from vault.dev.issuer import JwtIssuer

IDP = "https://idp.example.org"
FIELDS = ("vaulted", "vaultless")
KINDS = ("plain", "budget", "grant")
SIZES = (1, 1000)
GRANTED = 1000
TIMES = 100  # each token of a grant is shown
_BUDGET = "budget: [{values: 1000000000, per: 1h}, {values: 1000000000, per: 7d}]"
POLICY = f"""
version: 1
fields:
  vaulted: {{format: {{alphabet: digits, min: 12, max: 12}}, generator: ff1}}
  vaultless: {{format: {{alphabet: digits, min: 12, max: 12}}, generator: ff1, storage: vaultless}}
roles:
  pipeline: [{{fields: ["*"], allow: [tokenize]}}]
  plain: [{{fields: ["*"], allow: [detokenize], view: full}}]
  budget: [{{fields: ["*"], allow: [detokenize], view: full, {_BUDGET}}}]
  grant:
    - fields: ["*"]
      allow: [request_reveal, detokenize]
      view: full
      approvals: [{{of: lead}}]
      grant_ttl: 1d
      {_BUDGET}
  lead: [{{fields: ["*"], allow: [approve_reveal]}}]
principals:
  - {{spiffe: "spiffe://example.org/pipeline", roles: [pipeline]}}
"""
_GROUP = (
    "  - {{jwt: {{issuer: '{issuer}', audience: tokenvault, claim: groups, value: {role}}}, "
    "roles: [{role}]}}\n"
)
_ENVIRONMENT = Path(__file__).with_name("dev_environment.py")


@dataclass(frozen=True)
class Measured:
    """One block of calls: median latency in ms, and processor time in ms a call."""

    latency: float
    server: float
    postgres: float

    @property
    def processor(self) -> float:
        """Of both."""
        return self.server + self.postgres


class Served:
    """An environment, its callers and their tokens."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self._directory = directory
        self._found = json.loads((directory / "dev.json").read_text())
        self._issuer = JwtIssuer(directory / "issuer")
        self._names = count()
        tls = self._found["clients"]["pipeline"]
        files = ClientTls(*(Path(each) for each in (self._found["ca"], tls["cert"], tls["key"])))
        with Client(self._found["address"], files) as client:
            values = [f"{at:012}" for at in range(GRANTED)]
            self.tokens = {name: client.tokenize(name, values).values for name in FIELDS}

    def client(self, role: str) -> Client:
        """A person of a role's group."""
        number, now = next(self._names), int(time.time())
        person = f"{role}-{number}@example.org"
        claims: dict[str, object] = {
            "iss": IDP, "aud": "tokenvault", "sub": person, "iat": now, "exp": now + 86400,
            "groups": [role], "email": person, "email_verified": True,
        }  # fmt: skip
        path = self._directory / f"person-{number}"
        path.write_text(self._issuer.sign(claims))
        path.chmod(0o600)
        return Client(self._found["jwt_address"], ClientJwt(Path(self._found["ca"]), path))

    def granted(self, client: Client, field: str) -> str:
        """A new grant of all tokens."""
        tokens = [str(token) for token in self.tokens[field]]
        made = client.reveals.request(field, tokens, reason="a bench", times=TIMES)
        with self.client("lead") as lead:
            return str(lead.reveals.approve(made.id).id)

    def burnt(self) -> tuple[float, float]:
        """Processor time so far, of the server and of Postgres."""
        marks = (f"{self._directory}/server.toml", f"{self._directory}/postgres")
        server, postgres = (seconds_of(mark) for mark in marks)
        return server, postgres

    def measure(self, kind: str, field: str, size: int, callers: int, calls: int) -> Measured:
        """Lets so many callers make so many calls each, under a grant of their own."""
        with ExitStack() as stack:
            clients = [stack.enter_context(self.client(kind)) for _ in range(callers)]
            grants = [self.granted(each, field) if kind == "grant" else "" for each in clients]

            def run(client: Client, grant: str, count: int) -> list[float]:
                taken = []
                for at in range(count):
                    first = at * size % GRANTED
                    tokens = self.tokens[field][first : first + size]
                    began = time.perf_counter()
                    answer = client.detokenize(field, tokens, "full", grant=grant)
                    taken.append(time.perf_counter() - began)
                    if answer.errors:
                        raise RuntimeError(str(answer.errors[0].reason))
                return taken

            with ThreadPoolExecutor(callers) as pool:
                list(pool.map(run, clients, grants, [2] * callers))  # connected
                before = self.burnt()
                taken = [
                    t for each in pool.map(run, clients, grants, [calls] * callers) for t in each
                ]
                after = self.burnt()
        each = [1000 * (b - a) / len(taken) for a, b in zip(before, after, strict=True)]
        return Measured(1000 * statistics.median(taken), *each)


@contextmanager
def environment(name: str, checkout: Path, directory: Path, workers: int) -> Iterator[Served]:
    """A development environment of a checkout, which has its own interpreter."""
    directory.mkdir()
    policy = directory.with_suffix(".yaml")
    groups = (_GROUP.format(issuer=IDP, role=role) for role in (*KINDS, "lead"))
    policy.write_text(POLICY + "".join(groups))
    python = checkout / ".venv/bin/python"
    command = [str(python), "-P", str(_ENVIRONMENT), str(directory), str(workers), str(policy)]
    child = Child("the environment", command, log=directory.with_suffix(".log"), grace=60.0)
    child.start()
    try:
        while not (directory / "dev.json").exists():
            if child.exit_code() is not None:
                raise SystemExit(f"{checkout}: no environment: {child.log_tail()}")
            time.sleep(0.1)
        yield Served(name, directory)
    finally:
        child.stop()


def medians(found: Sequence[Measured]) -> Measured:
    """The middle of several rounds, of each figure apart."""
    return Measured(
        statistics.median(each.latency for each in found),
        statistics.median(each.server for each in found),
        statistics.median(each.postgres for each in found),
    )


def compare(
    systems: Sequence[Served], field: str, size: int, callers: int, options: argparse.Namespace
) -> None:
    """Prints the rows of one field and size."""
    todo = [(served, kind) for kind in KINDS for served in systems]
    found: Mapping[tuple[str, str], list[Measured]] = {
        (served.name, kind): [] for served, kind in todo
    }
    calls = min(TIMES - 2, options.calls) if size == GRANTED else options.calls
    for _ in range(options.rounds):
        for served, kind in todo:
            measured = served.measure(kind, field, size, callers, calls)
            found[served.name, kind].append(measured)
    for served, kind in todo:
        mine, plain = found[served.name, kind], found[served.name, "plain"]
        of = medians(mine)
        pairs = list(zip(mine, plain, strict=True))
        latency = statistics.median(one.latency / other.latency for one, other in pairs)
        processor = statistics.median(one.processor / other.processor for one, other in pairs)
        print(
            f"{served.name:9} {field:9} {size:6,d} {callers:7d} {kind:7} {of.latency:8.2f}"
            f" {of.server:8.2f} {of.postgres:8.2f}   x {latency:4.2f}   x {processor:4.2f}",
            flush=True,
        )


def main(arguments: Sequence[str]) -> None:
    """Runs every measurement and prints it."""
    parser = argparse.ArgumentParser(prog="bench_reveals", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many are printed")
    parser.add_argument("--calls", type=int, default=60, help="of each caller in a round")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batches", type=int, nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--fields", nargs="+", default=list(FIELDS), choices=FIELDS)
    parser.add_argument("--baseline", type=Path, help="another checkout, `make install`ed")
    options = parser.parse_args(arguments)
    checkouts = {"this": Path(__file__).parents[2]}
    if options.baseline is not None:
        checkouts["baseline"] = options.baseline.resolve()
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            systems = [
                stack.enter_context(environment(name, path, Path(directory) / name, workers))
                for name, path in checkouts.items()
            ]
            print(
                f"{workers} worker(s)\n{'':9} {'field':9} {'batch':>6} {'callers':>7} {'':7}"
                f" {'p50 ms':>8} {'server':>8} {'Postgres':>8} {'latency':>8} {'processor':>8}"
            )
            for field in options.fields:
                for size in options.batches:
                    compare(systems, field, size, workers, options)


if __name__ == "__main__":
    main(sys.argv[1:])
