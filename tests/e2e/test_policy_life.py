"""Two servers and their policy files: reload, agreement, limits counted together."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from tests import preloaded
from vault.client import CallError, Client
from vault.v1 import tokenization_service_pb2 as messages
from vault.v1 import tokenization_service_pb2_grpc as stubs

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

FIELDS = """version: 1
fields:
  ssn: {format: us_ssn, generator: ff1}
"""
ROLES = """
limits:
  - {fields: [ssn], actions: [tokenize], values: 100, per: 366d, by: principal}
roles:
  loader: [{fields: ["*"], allow: [tokenize]}]
  auditor: [{allow: [read_audit, read_policy]}]
principals:
  - {spiffe: "spiffe://example.org/loader", roles: [loader]}
  - {spiffe: "spiffe://example.org/racer", roles: [loader]}
  - {spiffe: "spiffe://example.org/auditor", roles: [auditor]}
"""
SECOND = "  email: {format: email, generator: random}\n"


def policy(more_fields: str = "", mark: str = "") -> str:
    return f"# {mark}\n{FIELDS}{more_fields}{ROLES}"


@dataclass
class Replica:
    server: Server
    file: Path

    def digest(self) -> str:
        with self.server.client("auditor") as auditor:
            return auditor.get_policy().digest

    def metric(self, sample: str) -> float:
        with urlopen(f"http://{self.server.metrics}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        (value,) = (line.split()[1] for line in page.splitlines() if line.startswith(f"{sample} "))
        return float(value)

    def run(
        self, site: Site, *command: str, identity: str = "auditor"
    ) -> subprocess.CompletedProcess[str]:
        tls = site.tls(identity)
        files = ["--ca", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key)]
        return preloaded.run(
            [preloaded.TOKENVAULT, *command, "--address", self.server.address, *files]
        )

    def logged(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.server.lines() if line["event"] == event]

    def await_log(self, event: str, count: int = 1) -> dict[str, object]:
        end = time.monotonic() + 15
        while len(found := self.logged(event)) < count:
            assert time.monotonic() < end, (event, self.server.log.read_text())
            time.sleep(0.05)
        return found[count - 1]


@pytest.fixture(scope="module")
def make_replica(site: Site, start_server: StartServer) -> Callable[[str, str], Replica]:
    def make(name: str, document: str) -> Replica:
        file = site.directory / f"{name}.yaml"
        file.write_text(document)
        return Replica(start_server(name, {"policy": {"path": str(file)}}), file)

    return make


@pytest.fixture(scope="module")
def pair(make_replica: Callable[[str, str], Replica]) -> tuple[Replica, Replica]:
    return make_replica("a", policy()), make_replica("b", policy())


REFUSED = "policy file refused, the policy before it stays"


def test_a_bad_file_keeps_the_old_policy_on_every_server(pair: tuple[Replica, Replica]) -> None:
    a, b = pair
    before = a.digest()
    a.file.write_text(policy("  iban: {format: ibann, generator: ff1}\n"))
    problem = str(a.await_log(REFUSED)["problem"])
    assert "a.yaml:5" in problem
    assert "did you mean 'iban'" in problem
    time.sleep(2.5)
    assert len(a.logged(REFUSED)) == 1
    assert a.digest() == b.digest() == before
    a.file.write_text(policy())
    a.server.await_health("policy_file", serving=True)


def test_a_refused_file_shows_wherever_one_looks_and_calls_go_on(
    pair: tuple[Replica, Replica], site: Site
) -> None:
    a, b = pair
    good = a.file.read_text()
    a.file.write_text(policy("  iban: {format: ibann, generator: ff1}\n"))
    a.server.await_health("policy_file", serving=False)
    assert a.server.health("readiness") == a.server.health("policy") == "SERVING"
    since = a.metric("tokenvault_policy_file_differs_since_seconds")
    assert 0 < time.time() - since < 60
    assert b.metric("tokenvault_policy_file_differs_since_seconds") == 0
    assert a.metric('tokenvault_probe{probe="policy_file"}') == 0
    with a.server.client("loader") as loader:
        assert loader.tokenize("ssn", ["536-90-4399"]).errors == {}
    shown = a.run(site, "policy", "show")
    assert shown.returncode == 1
    assert "did you mean 'iban'" in shown.stdout
    checked = a.run(site, "policy", "check", str(b.file), "--server")
    assert checked.returncode == (0 if b.file.read_text() == good else 1)
    a.file.write_text(good)
    a.server.await_health("policy_file", serving=True)
    assert a.metric("tokenvault_policy_file_differs_since_seconds") == 0
    assert a.run(site, "policy", "show").returncode == 0
    assert a.run(site, "policy", "show", "--document").stdout == good
    denied = a.run(site, "policy", "show", identity="loader")
    assert (denied.returncode, denied.stdout) == (3, "")


def test_a_file_that_changes_a_used_field_is_refused(pair: tuple[Replica, Replica]) -> None:
    a, _ = pair
    with a.server.client("loader") as loader:
        loader.tokenize("ssn", ["536-90-4399"])
    a.file.write_text(policy(mark="shape").replace("generator: ff1", "generator: random"))
    assert "another token spec" in str(a.await_log(REFUSED, 3)["problem"])


def changes_in(bodies: list[str]) -> list[dict[str, object]]:
    return [body for body in map(json.loads, bodies) if body["kind"] == "policy"]


def test_servers_go_over_together_once_all_have_the_file(
    pair: tuple[Replica, Replica], read_audit: Callable[[], list[str]]
) -> None:
    a, b = pair
    before = a.digest()
    changes = len(changes_in(read_audit()))
    a.file.write_text(policy(SECOND))
    waits = a.await_log("policy waits for other servers")
    assert waits["policy"] != before
    assert a.digest() == b.digest() == before
    with a.server.client("loader") as loader, pytest.raises(CallError, match="FIELD_NOT_FOUND"):
        loader.tokenize("email", ["a@b.example"])

    # SIGHUP: at once, not at the next look; and it does not end the server.
    b.file.write_text(policy(SECOND))
    b.server.process.send_signal(signal.SIGHUP)
    a.await_log("policy in force")
    b.await_log("policy in force")
    assert a.digest() == b.digest() == waits["policy"]
    records = sorted(changes_in(read_audit()), key=lambda body: str(body["time"]))
    # Files that were refused left none.
    assert len(records) == changes + 1 == 2
    assert records[-1]["previous_policy_digest"] == before
    assert records[-1]["policy_digest"] == waits["policy"]
    assert records[-1]["server_count"] == 2
    with a.server.client("auditor") as auditor:
        assert not auditor.verify_audit().findings
        servers = {each.digest for each in auditor.get_policy().servers}
        assert servers == {waits["policy"]}
    for each in pair:
        with each.server.client("loader") as loader:
            assert loader.tokenize("email", ["a@b.example"]).errors == {}


def test_a_newcomer_with_another_file_serves_what_is_in_force(
    pair: tuple[Replica, Replica], make_replica: Callable[[str, str], Replica]
) -> None:
    a, b = pair
    before = a.digest()
    newcomer = make_replica("c", policy(SECOND, mark="newer"))
    assert newcomer.digest() == before
    # Rolling on: the others get the file too, one of them by being stopped.
    assert b.server.stop() == 0
    a.file.write_text(policy(SECOND, mark="newer"))
    newcomer.await_log("policy in force", 2)
    a.await_log("policy in force", 2)
    assert newcomer.digest() == a.digest() != before
    b.server.start()
    assert b.digest() == a.digest()
    assert newcomer.server.stop() == 0
    b.file.write_text(a.file.read_text())


def refusal_of(site: Site, server: Server, identity: str, values: list[str]) -> status_pb2.Status:
    tls = site.tls(identity)
    credentials = grpc.ssl_channel_credentials(
        tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes()
    )
    with grpc.secure_channel(server.address, credentials) as channel:
        stub = stubs.TokenizationServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Tokenize(messages.TokenizeRequest(field="ssn", values=values), timeout=10)
    metadata = {entry.key: entry.value for entry in caught.value.trailing_metadata() or ()}
    details = metadata["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    return status_pb2.Status.FromString(details)


def test_a_limit_is_exact_over_servers(
    site: Site, pair: tuple[Replica, Replica], read_audit: Callable[[], list[str]]
) -> None:
    """Forty batches of 7 against a limit of 100 and two servers: 14 go through, no more."""
    clients = [each.server.client("racer") for each in pair]

    def call(number: int) -> str:
        client: Client = clients[number % 2]
        values = [f"123-45-{number * 7 + i + 1:04}" for i in range(7)]
        try:
            client.tokenize("ssn", values)
        except CallError as error:
            assert error.code == "RESOURCE_EXHAUSTED"
            return error.reason
        return "OK"

    before = len([body for body in read_audit() if "LIMIT_EXCEEDED" in body])
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(call, range(40)))
    for client in clients:
        client.close()
    assert outcomes.count("OK") == 14
    assert outcomes.count("LIMIT_EXCEEDED") == 26
    # The window ends within the year: nobody waits for it.
    assert time.monotonic() - began < 30
    refused = [body for body in read_audit() if "LIMIT_EXCEEDED" in body][before:]
    assert len(refused) == 26
    assert all('"denied"' in body for body in refused)

    status = refusal_of(site, pair[0].server, "racer", ["123-45-0001"] * 3)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "LIMIT_EXCEEDED"
    assert status.details[1].Unpack(retry)
    assert 0 < retry.retry_delay.seconds <= 366 * 86_400
