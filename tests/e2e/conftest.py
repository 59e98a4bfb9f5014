"""Running servers: a process each, over real TLS, Postgres and OpenBao."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests import preloaded
from vault.client import Client, ClientTls
from vault.dev.authority import Authority
from vault.dev.openbao import AppRoleFiles, DevOpenBao
from vault.dev.ports import LOOPBACK, persistent_port
from vault.dev.postgres import SERVICE, Database, EmbeddedPostgres

POLICY = Path(__file__).parents[2] / "deploy/policy.yaml"

Value = str | int | Sequence[str]
Section = Mapping[str, Value]


@dataclass
class Site:
    """What servers share: authority, key server, database."""

    directory: Path
    authority: Authority
    openbao: DevOpenBao
    approle: AppRoleFiles
    postgres: EmbeddedPostgres
    database: Database

    def tls(self, identity: str, authority: Authority | None = None) -> ClientTls:
        """A caller's files; a bare name is a path in the policy's trust domain."""
        uri = identity if "://" in identity else f"spiffe://example.org/{identity}"
        name = "".join(c if c.isalnum() else "-" for c in uri)
        made = (authority or self.authority).issue_client(name, uri)
        return ClientTls(self.authority.certificate_path, made.cert, made.key)

    def sections(self, directory: Path) -> dict[str, dict[str, Value]]:
        """The settings of one more server, on ports of its own."""
        cert = self.authority.issue_server("server")
        return {
            "server": {
                "port": persistent_port(directory / "port"),
                "health_port": persistent_port(directory / "health_port"),
                "metrics_port": persistent_port(directory / "metrics_port"),
                "cert": str(cert.cert),
                "key": str(cert.key),
                "client_ca": str(self.authority.certificate_path),
                "trust_domain": "example.org",
                "probe_interval": "200ms",
                "drain": "5s",
            },
            "database": {
                "url": f"postgresql://{SERVICE}@{LOOPBACK}:{self.postgres.port}/{self.database.name}",
                "password_file": str(self.postgres.password_file(SERVICE)),
            },
            "keys": {
                "address": self.openbao.address,
                "ca": str(self.openbao.ca),
                "key_name": self.approle.key_name,
            },
            "keys.auth": {
                "method": "approle",
                "role_id_file": str(self.approle.role_id_file),
                "secret_id_file": str(self.approle.secret_id_file),
            },
            "policy": {"path": str(POLICY)},
            "log": {"level": "info"},
        }

    def write_settings(self, name: str, changes: Mapping[str, Section]) -> Path:
        """Writes a server's settings, some of them changed."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        sections = self.sections(directory)
        for section, values in changes.items():
            sections.setdefault(section, {}).update(values)
        path = directory / "server.toml"
        path.write_text("".join(_toml(key, values) for key, values in sections.items()))
        return path


def _toml(name: str, values: Section) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    # "jwt.issuers#1" is the first of a list of tables.
    bare, _, item = name.partition("#")
    return "\n".join([f"[[{bare}]]" if item else f"[{bare}]", *lines, ""])


@dataclass
class Server:
    """One server process; one with an environment, be it empty, has an interpreter's start too."""

    site: Site
    settings: Path
    environment: Mapping[str, str] | None = None
    module: str = "vault.dev.server"
    log: Path = field(init=False)
    process: subprocess.Popen[bytes] | preloaded.Process = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.settings.with_name("server.log")

    @property
    def jwt_address(self) -> str:
        return self._port("jwt_port")

    def _port(self, name: str) -> str:
        return f"localhost:{self.settings.with_name(name).read_text().strip()}"

    @property
    def address(self) -> str:
        return self._port("port")

    @property
    def metrics(self) -> str:
        return self._port("metrics_port")

    def start(self) -> None:
        """Starts the server and returns once it is ready."""
        command = [sys.executable, "-m", self.module, "--config", str(self.settings)]
        with self.log.open("ab") as log:
            if self.environment is None:
                self.process = preloaded.start(command, stderr=log, directory=preloaded.ROOT)
            else:
                self.process = subprocess.Popen(
                    command,
                    stderr=log,
                    cwd=preloaded.ROOT,
                    env={**os.environ, "PYTHONFAULTHANDLER": "1", **self.environment},
                )
        self.await_health("readiness", serving=True)

    def health(self, service: str) -> str:
        """Returns the answer of the health server, or the status of the failed call."""
        with grpc.insecure_channel(self._port("health_port")) as channel:
            ask = health_pb2.HealthCheckRequest(service=service)
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(ask, timeout=2)
            except grpc.RpcError as error:
                return error.code().name
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def await_health(self, service: str, *, serving: bool, seconds: float = 60) -> None:
        """Waits until a health service answers so."""
        wanted = "SERVING" if serving else "NOT_SERVING"
        end = time.monotonic() + seconds
        while self.health(service) != wanted:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def client(self, identity: str, batch_size: int = 1000) -> Client:
        return Client(self.address, self.site.tls(identity), batch_size=batch_size)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code; one that hangs leaves its threads in the log."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(10)
            pytest.fail(f"the server did not stop:\n{self.log.read_text()}")

    def lines(self) -> list[dict[str, object]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevOpenBao]:
    directory = tmp_path_factory.mktemp("keys")
    openbao = DevOpenBao(directory / "openbao", Authority(directory / "pki"))
    openbao.start()
    yield openbao
    openbao.stop()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    key_server: DevOpenBao,
    postgres_server: EmbeddedPostgres,
    module_database: Database,
) -> Site:
    directory = tmp_path_factory.mktemp("site")
    authority = Authority(directory / "pki")
    approle = key_server.setup()
    return Site(directory, authority, key_server, approle, postgres_server, module_database)


@pytest.fixture(scope="module")
def start_server(site: Site) -> Iterator[StartServer]:
    """Starts servers of the module's site; they end with the module."""
    servers: list[Server] = []

    def start(
        name: str = "server",
        changes: Mapping[str, Section] | None = None,
        environment: Mapping[str, str] | None = None,
        module: str = "vault.dev.server",
    ) -> Server:
        settings = site.write_settings(name, changes or {})
        server = Server(site, settings, environment, module)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


MakeServer = Callable[..., Server]


@pytest.fixture(scope="module")
def make_server() -> Iterator[MakeServer]:
    """Starts servers on sites of their own; they end with the module."""
    servers: list[Server] = []

    def make(
        directory: Path,
        openbao: DevOpenBao,
        postgres: EmbeddedPostgres,
        database: Database,
        changes: Mapping[str, Section],
    ) -> Server:
        authority = Authority(directory / "pki")
        site = Site(directory, authority, openbao, openbao.setup(), postgres, database)
        server = Server(site, site.write_settings("server", changes))
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        if hasattr(server, "process") and server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    """One server for the whole module."""
    return start_server()


def audit_bodies(site: Site) -> list[str]:
    """Every audit record's body, as stored."""
    import psycopg

    with psycopg.connect(site.database.superuser_conninfo) as connection:
        rows = connection.execute("SELECT body FROM audit_records ORDER BY writer, number")
        return [str(body) for (body,) in rows]


@pytest.fixture(scope="module")
def read_audit(site: Site) -> Callable[[], list[str]]:
    """Reads the audit's stored bodies."""
    return lambda: audit_bodies(site)


@pytest.fixture(scope="module")
def serve(site: Site) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a server that must end by itself; ``tokenvault serve`` unless told otherwise."""

    def run(
        name: str, changes: Mapping[str, Section], *, development: bool = False
    ) -> subprocess.CompletedProcess[str]:
        settings = site.write_settings(name, changes)
        program: list[str | Path] = (
            [sys.executable, "-m", "vault.dev.server"]
            if development
            else [preloaded.TOKENVAULT, "serve"]
        )
        return preloaded.run([*program, "--config", settings])

    return run
