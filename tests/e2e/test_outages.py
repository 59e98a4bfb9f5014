"""The database gone, the key server sealed, the server stopped: told, survived, recovered."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vault.client import CallError, Client, RetryPolicy
from vault.dev.openbao import DevOpenBao
from vault.dev.postgres import SERVICE, Database, EmbeddedPostgres
from vault.postgres.migrate import migrate

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

CARD = "4539578763621486"
ONCE = RetryPolicy(attempts=1)

Serve = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def module_database(postgres_server: EmbeddedPostgres) -> Database:
    """The database of a Postgres of this module's own, which the tests stop."""
    database = postgres_server.create_database("outage")
    migrate(database.owner_url, SERVICE)
    return database


@pytest.fixture(scope="module")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    tls = server.site.tls("pipeline")
    with Client(server.address, tls, retry=ONCE, timeout=10) as client:
        yield client


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(CallError) as caught:
        call()
    assert CARD not in str(caught.value)
    assert caught.value.retryable
    return caught.value.reason


def test_the_database_goes_and_comes_back(server: Server, client: Client) -> None:
    token = client.tokenize("card_number", [CARD]).values
    server.site.postgres.stop()
    try:
        with pytest.raises(CallError) as caught:
            client.tokenize("card_number", [CARD])
        assert caught.value.reason == "STORE_UNAVAILABLE"
        # Where the database is, the log says, and no caller learns.
        assert str(server.site.postgres.port) not in caught.value.message
        server.await_health("readiness", serving=False)
        assert server.health("database") == "NOT_SERVING"
        assert server.health("liveness") == "SERVING"
    finally:
        server.site.postgres.start()
    server.await_health("readiness", serving=True)
    assert client.tokenize("card_number", [CARD]).values == token
    with server.client("auditor") as auditor:
        assert list(auditor.verify_audit().findings) == []
    log = server.log.read_text()
    assert "the database is not available: nothing listens at its address" in log
    assert f"127.0.0.1:{server.site.postgres.port}, role {SERVICE}, database" in log
    assert CARD not in log
    # Each call and each second's look met it; it is said once a minute.
    said = [line for line in server.lines() if line["event"] == "database error"]
    causes = [(line["sqlstate"], line.get("cause"), line["kind"]) for line in said]
    assert len(causes) == len(set(causes))


def test_no_start_without_the_database(serve: Serve) -> None:
    changes = {"database": {"url": f"postgresql://{SERVICE}@127.0.0.1:1/tokenvault"}}
    ended = serve("no-database", changes, development=True)
    assert ended.returncode != 0
    assert "database" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("place", "code", "told"),
    [
        ("127.0.0.1:1/x", 2, "nothing listens at its address: check host and port"),
        ("nosuchhost.invalid/x", 2, "its host name cannot be resolved"),
        ("127.0.0.1:1/x?sslmode=verifyfull", 2, "sslmode: did you mean verify-full?"),
        ("127.0.0.1:1/x?sslrootcert=/nosuch.pem", 2, "sslrootcert: /nosuch.pem: No such file"),
    ],
)
def test_a_start_without_the_database_ends_with_what_is_in_the_way(
    serve: Serve, place: str, code: int, told: str
) -> None:
    changes = {"database": {"url": f"postgresql://{SERVICE}@{place}"}}
    ended = serve("no-database", changes, development=True)
    assert ended.returncode == code
    last = ended.stderr.strip().splitlines()[-1]
    assert told in last
    if "option" not in told and "ssl" not in told:
        assert f"role {SERVICE}, database x" in last


def test_a_trust_domain_of_no_principal_is_told_at_start(start_server: StartServer) -> None:
    server = start_server("other-domain", {"server": {"trust_domain": "example.com"}})
    told = [line for line in server.lines() if line["event"] == "principals that nobody can be"]
    assert any("no principal of the policy is of" in str(line["problem"]) for line in told)
    assert server.stop() == 0


def test_keys_serve_from_memory_until_their_end(
    site: Site, start_server: StartServer, key_server: DevOpenBao, serve: Serve
) -> None:
    server = start_server("short-keys", {"keys": {"lifetime": "6s"}})
    with Client(server.address, site.tls("pipeline"), retry=ONCE) as client:
        token = client.tokenize("card_number", [CARD]).values
        key_server.seal()
        try:
            assert client.tokenize("card_number", [CARD]).values == token
            server.await_health("keys", serving=False)
            assert client.tokenize("card_number", [CARD]).values == token
            refused = serve("sealed", {}, development=True)
            assert refused.returncode != 0
            assert "sealed" in refused.stderr
            assert _await_reason(client) == "KEYS_UNAVAILABLE"
            assert server.health("readiness") == "NOT_SERVING"
        finally:
            key_server.unseal()
        server.await_health("readiness", serving=True, seconds=60)
        assert client.tokenize("card_number", [CARD]).values == token


def _await_reason(client: Client) -> str:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.tokenize("card_number", [CARD])
        except CallError as error:
            return error.reason
        time.sleep(0.1)
    return ""


def test_sigterm_lets_calls_end(start_server: StartServer) -> None:
    server = start_server("drained")
    values = [f"{n:010d}" for n in range(20_000)]
    outcome: list[object] = []

    def work() -> None:
        with Client(server.address, server.site.tls("pipeline"), retry=ONCE) as client:
            while True:
                try:
                    outcome.append(client.tokenize("national_id", values[:2000]))
                except CallError as error:
                    outcome.append(error)
                    return

    thread = threading.Thread(target=work)
    thread.start()
    while not outcome:
        time.sleep(0.02)
    assert server.stop() == 0
    thread.join()
    # What was under way ended well; what came after was turned away, to be repeated.
    last = outcome.pop()
    assert isinstance(last, CallError)
    assert last.retryable
    assert not any(isinstance(each, CallError) for each in outcome)
    events = [line["event"] for line in server.lines()]
    assert events[-1] == "stopped"
    assert "draining" in events


def test_a_second_server_on_the_data_takes_over(server: Server, start_server: StartServer) -> None:
    with server.client("pipeline") as client:
        tokens = client.tokenize("card_number", [CARD]).values
    other = start_server("other")
    with other.client("fraud-analyst") as client:
        assert client.detokenize("card_number", tokens).values == [CARD]


def test_logs_hold_no_value(site: Site) -> None:
    logs = [path.read_text() for path in Path(site.directory).rglob("server.log")]
    assert len(logs) >= 3
    assert not any(CARD in log for log in logs)
