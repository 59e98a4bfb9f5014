"""The key server away in four ways: calls go on from memory, then fail closed, then recover.

The four run side by side, each with an OpenBao, a database and a server of its own: what
takes time is the keys' lifetime.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psycopg
import pytest

from vault.client import CallError, Client, RetryPolicy
from vault.config import read_secret
from vault.dev.authority import Authority
from vault.dev.openbao import AppRoleFiles, DevOpenBao, service_policy
from vault.dev.postgres import Database, EmbeddedPostgres
from vault.dev.private_files import write_private

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeServer, Server

CARD = "4539578763621486"
ONCE = RetryPolicy(attempts=1)
LIFETIME = 10.0
# Refreshed at half the lifetime, the keys may be that old already when the outage begins.
LEAST = LIFETIME / 2 - 2
# Between two attempts of the key ring, at most (vault.keys.lease), and some load.
RECOVERY = 10.0 + 20.0


@dataclass
class Scene:
    """A key server and the server that depends on it."""

    openbao: DevOpenBao
    approle: AppRoleFiles
    server: Server
    database: Database

    def seal(self) -> None:
        self.openbao.seal()

    def unseal(self) -> None:
        self.openbao.unseal()

    def stop(self) -> None:
        self.openbao.stop()

    def start(self) -> None:
        self.openbao.start()

    def withdraw(self) -> None:
        """The policy loses the right to open data keys; the login stays valid."""
        left = service_policy().replace("transit/decrypt/", "transit/decrypt-not/")
        self._put_policy(left)

    def grant(self) -> None:
        self._put_policy(service_policy())

    def _put_policy(self, text: str) -> None:
        name = f"{self.approle.key_name}-service"
        self.openbao.admin().write(f"sys/policies/acl/{name}", {"policy": text})

    def revoke(self) -> None:
        """Every login of the AppRole ends, and its secret id logs nobody in again."""
        admin = self.openbao.admin()
        secret = read_secret(self.approle.secret_id_file, "secret_id")
        role = f"auth/approle/role/{self.approle.key_name}"
        admin.write(f"{role}/secret-id/destroy", {"secret_id": secret})
        admin.write("sys/leases/revoke-prefix/auth/approle/login")

    def readmit(self) -> None:
        role = f"auth/approle/role/{self.approle.key_name}/secret-id"
        made = self.openbao.admin().write(role)["data"]
        assert isinstance(made, dict)
        write_private(self.approle.secret_id_file, str(made["secret_id"]))


OUTAGES: dict[str, tuple[Callable[[Scene], None], Callable[[Scene], None], str]] = {
    "stopped": (Scene.stop, Scene.start, "cannot be reached"),
    "sealed": (Scene.seal, Scene.unseal, "is sealed"),
    "withdrawn": (Scene.withdraw, Scene.grant, "permission denied"),
    "revoked": (Scene.revoke, Scene.readmit, "AppRole login is refused"),
}


@dataclass(frozen=True)
class Course:
    """How an outage went; times in seconds since it began, or since it ended."""

    from_memory: float
    failed: float
    slowest_refusal: float
    recovered: float
    log: str
    trouble: str
    page: str
    written_while_away: int


@pytest.fixture(scope="module")
def courses(
    tmp_path_factory: pytest.TempPathFactory,
    make_server: MakeServer,
    postgres_server: EmbeddedPostgres,
    make_database: Callable[[], Database],
) -> Iterator[dict[str, Course]]:
    def scene(name: str) -> Scene:
        directory = tmp_path_factory.mktemp(name)
        openbao = DevOpenBao(directory / "openbao", Authority(directory / "pki"))
        openbao.start()
        database = make_database()
        changes = {"keys": {"lifetime": f"{LIFETIME:.0f}s", "timeout": "2s"}}
        server = make_server(directory, openbao, postgres_server, database, changes)
        return Scene(openbao, server.site.approle, server, database)

    scenes = {name: scene(name) for name in OUTAGES}
    try:
        with ThreadPoolExecutor(len(OUTAGES)) as pool:
            runs = {name: pool.submit(course_of, name, each) for name, each in scenes.items()}
            yield {name: run.result() for name, run in runs.items()}
    finally:
        for each in scenes.values():
            each.openbao.stop()


def course_of(name: str, scene: Scene) -> Course:
    breaking, mending, _ = OUTAGES[name]
    tls = scene.server.site.tls("pipeline")
    with Client(scene.server.address, tls, retry=ONCE, timeout=20) as client:
        (token,) = client.tokenize("card_number", [CARD]).values
        breaking(scene)
        began = time.monotonic()
        last_good = first_bad = began
        while first_bad == began:
            assert time.monotonic() - began < 4 * LIFETIME
            try:
                assert client.tokenize("card_number", [CARD]).values == [token]
                last_good = time.monotonic()
            except CallError as error:
                assert (error.reason, error.retryable) == ("KEYS_UNAVAILABLE", True)
                first_bad = time.monotonic()
            time.sleep(0.1)
        scene.server.await_health("readiness", serving=False)
        trouble = scene.server.health("keys")
        page = metrics_page(scene.server)
        before = rows(scene.database)
        slowest = max(refused(client, f"45395787636{n:05d}") for n in range(5))
        written = rows(scene.database) - before
        mending(scene)
        mended = time.monotonic()
        scene.server.await_health("readiness", serving=True, seconds=60)
        recovered = time.monotonic() - mended
        assert client.tokenize("card_number", [CARD]).values == [token]
    with scene.server.client("fraud-analyst") as reader:
        assert reader.detokenize("card_number", [token]).values == [CARD]
    with scene.server.client("auditor") as auditor:
        assert list(auditor.verify_audit().findings) == []
    return Course(
        last_good - began,
        first_bad - began,
        slowest,
        recovered,
        scene.server.log.read_text(),
        trouble,
        page,
        written,
    )


def refused(client: Client, value: str) -> float:
    began = time.monotonic()
    with pytest.raises(CallError) as caught:
        client.tokenize("card_number", [value])
    assert caught.value.reason == "KEYS_UNAVAILABLE"
    assert value not in str(caught.value)
    return time.monotonic() - began


def rows(database: Database) -> int:
    """All that calls write."""
    counts = [
        f"(SELECT count(*) FROM {table})" for table in ("tokens", "token_index", "audit_records")
    ]
    with psycopg.connect(database.superuser_conninfo) as connection:
        row = connection.execute(f"SELECT {' + '.join(counts)}").fetchone()
    assert row is not None
    return int(str(row[0]))


def metrics_page(server: Server) -> str:
    with urlopen(f"http://{server.metrics}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("name", OUTAGES)
def test_calls_go_on_from_memory_until_the_lifetime_ends(
    courses: dict[str, Course], name: str
) -> None:
    course = courses[name]
    assert LEAST < course.from_memory < course.failed < LIFETIME + 3


@pytest.mark.parametrize("name", OUTAGES)
def test_then_they_fail_at_once_and_write_nothing(courses: dict[str, Course], name: str) -> None:
    course = courses[name]
    assert course.slowest_refusal < 2
    assert course.written_while_away == 0


@pytest.mark.parametrize("name", OUTAGES)
def test_readiness_says_why_before_and_after_the_end(courses: dict[str, Course], name: str) -> None:
    course = courses[name]
    reason = OUTAGES[name][2]
    told = [line for line in course.log.splitlines() if '"not ready"' in line]
    assert any("from memory" in line and reason in line for line in told)
    assert any("the keys have expired" in line and reason in line for line in told)
    assert len(told) <= 4  # once per change
    assert course.trouble == "NOT_SERVING"
    assert 'tokenvault_probe{probe="keys"} 0.0' in course.page
    assert 'tokenvault_probe{probe="database"} 1.0' in course.page
    assert CARD not in course.log


@pytest.mark.parametrize("name", OUTAGES)
def test_it_recovers_by_itself(courses: dict[str, Course], name: str) -> None:
    assert courses[name].recovered < RECOVERY
