"""``tokenvault dev``: Postgres, OpenBao and the server as one thing that starts and stops.

Everything lies under one directory (0700) and listens on loopback. A second start goes on
with the same data.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vault.client.loopback import no_proxy_options
from vault.dev.authority import Authority, Credentials
from vault.dev.callers import choose_callers
from vault.dev.child import Child
from vault.dev.deployed_files import deployed_file
from vault.dev.issuer import JwtCallers, JwtIssuer, choose_jwt_callers
from vault.dev.issuer_server import CLIENT_ID, IssuerServer
from vault.dev.openbao import DevOpenBao
from vault.dev.policy_log import PolicyLogReader
from vault.dev.ports import LOOPBACK, is_free, persistent_port
from vault.dev.postgres import SERVICE, EmbeddedPostgres
from vault.dev.private_files import private_directory, write_private
from vault.dev.server_settings import Ports, choose_ports, render
from vault.dev.welcome import welcome
from vault.errors import ConfigError, PolicyError, SetupError
from vault.policy.model import Policy
from vault.policy.reading.load import parse_policy
from vault.postgres.migrate import migrate

__all__ = ["DevEnvironment"]

_READY_TIMEOUT = 60.0
_ATTEMPTS = 3
_WATCH_EVERY = 0.2
# Above the server's own time to drain, so that it is never cut short.
_SERVER_GRACE = 30.0


class Component(Protocol):
    """One of the programs of an environment."""

    def exit_code(self) -> int | None:
        """Returns the exit code once it has ended."""

    def log_tail(self) -> str:
        """Returns the end of its log."""


class DevEnvironment:
    """A development environment in a directory: a context manager, or ``run``."""

    def __init__(
        self,
        directory: Path,
        *,
        policy: Path | None = None,
        port: int | None = None,
        workers: int = 1,
    ) -> None:
        """Starts nothing yet.

        Args:
            directory: where everything is kept; made if missing.
            policy: the policy file; the sample policy if None.
            port: the service's port; the one of the last start, or a free one, if None.
            workers: server processes on the port.
        """
        self.directory = directory.absolute()
        self._policy = (policy or deployed_file("policy.yaml")).absolute()
        self._port = port
        self._workers = workers
        self._report: Callable[[str], None] = lambda _: None
        self._stack = ExitStack()
        self._components: dict[str, Component] = {}
        self._ports = Ports(0, 0, 0, 0, 0)
        self._fields: tuple[str, ...] = ()
        self.clients: Mapping[str, Credentials] = {}
        self.tokens: Mapping[str, Path] = {}
        self.ca = self.directory / "pki" / "ca.pem"

    @property
    def address(self) -> str:
        """Where the service listens, with mTLS."""
        return f"{LOOPBACK}:{self._ports.service}"

    @property
    def jwt_address(self) -> str:
        """Where the service listens for callers with a JWT, with TLS."""
        return f"{LOOPBACK}:{self._ports.jwt}"

    @property
    def issuer_address(self) -> str:
        """Where people log in, and get JWTs, with HTTPS."""
        return f"https://{LOOPBACK}:{self._ports.issuer}"

    @property
    def health(self) -> str:
        """Where health checks are answered, in plaintext."""
        return f"{LOOPBACK}:{self._ports.health}"

    @property
    def metrics(self) -> str:
        """Where Prometheus finds metrics."""
        return f"{LOOPBACK}:{self._ports.metrics}"

    @property
    def description(self) -> Path:
        """``dev.json``: there while the environment is ready."""
        return self.directory / "dev.json"

    @property
    def settings(self) -> Path:
        """The server's settings file."""
        return self.directory / "server.toml"

    def run(self, report: Callable[[str], None]) -> None:
        """Starts, and stays until Ctrl-C, SIGTERM or SIGHUP; stops everything in order.

        Must run in the main thread. ``report`` takes lines about what happens and what to try next.
        Raises TokenvaultError where something does not start or ends by itself, and
        KeyboardInterrupt where a signal came before all was ready; everything is stopped
        by then.
        """
        self._report = report
        with _interruptible(), self:
            policy_log = PolicyLogReader(self.directory / "server.log")
            try:
                report(self._welcome())
                while True:
                    time.sleep(_WATCH_EVERY)
                    self.check()
                    for line in policy_log.read():
                        report(line)
            except KeyboardInterrupt:
                self._report("Stopping.")

    def start(self) -> None:
        """Starts everything and returns once the service is ready. Raises TokenvaultError."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stops the server, which drains; then OpenBao, then Postgres. Safe to call twice."""
        self._components.clear()
        self._stack.close()

    def check(self) -> None:
        """Raises SetupError if one of the programs has ended by itself."""
        for name, component in self._components.items():
            code = component.exit_code()
            if code is not None:
                raise SetupError(
                    f"{name} ended by itself with {code}; its log in {self.directory} ends:\n"
                    f"{component.log_tail()}"
                )

    def _start(self) -> None:
        policy = self._read_policy()
        # Not read again for the welcome: whoever waits for dev.json may interrupt at once.
        self._fields = tuple(policy.fields)
        callers = choose_callers(policy)
        jwt_callers = choose_jwt_callers(policy)
        private_directory(self.directory)
        self._stack.enter_context(_locked(self.directory / "lock"))
        self.description.unlink(missing_ok=True)
        self._ports = choose_ports(self.directory, self._port, self._report)
        authority = Authority(self.directory / "pki")
        self.clients = callers.issue(authority)
        issuer = JwtIssuer(self.directory / "issuer")
        self.tokens = issuer.issue(jwt_callers)
        postgres = EmbeddedPostgres(self.directory / "postgres")
        openbao = DevOpenBao(self.directory / "openbao", authority)
        self._report("Starting Postgres and OpenBao")
        # Registered before they start: stopping what never started does nothing.
        self._stack.callback(postgres.stop)
        self._stack.callback(openbao.stop)
        with ThreadPoolExecutor(2) as pool:
            begun = [pool.submit(postgres.start), pool.submit(openbao.start)]
        for each in begun:
            each.result()
        self._components |= {"Postgres": postgres, "OpenBao": openbao}
        role = openbao.setup()
        migrate(postgres.owner_url, SERVICE)
        self._report("Starting the service")
        for attempts_left in reversed(range(_ATTEMPTS)):
            toml = render(
                self._ports,
                callers.trust_domain,
                self._policy,
                authority,
                postgres,
                openbao,
                role,
                jwt_callers.settings(issuer.jwks_path),
                workers=self._workers,
            )
            write_private(self.settings, toml)
            try:
                self._start_server()
                break
            except SetupError:
                # Another installation that started just now may have been quicker.
                if not attempts_left or all(map(is_free, self._ports)):
                    raise
                self._ports = choose_ports(self.directory, self._port, self._report)
        self._start_issuer(authority, issuer, jwt_callers)
        self._describe()

    def _start_issuer(self, authority: Authority, issuer: JwtIssuer, callers: JwtCallers) -> None:
        certificate = authority.issue_server("issuer")
        for attempts_left in reversed(range(_ATTEMPTS)):
            server = IssuerServer(
                self._ports.issuer,
                certificate,
                tuple(callers.groups),
                lambda approval: issuer.login_token(callers, approval),
                issuer.jwks_path.read_text(),
            )
            try:
                server.start()
            except OSError as error:
                if not attempts_left:
                    raise SetupError(
                        f"the issuer cannot listen at {server.address}: {error.strerror}"
                    ) from None
                # Another installation that started just now was quicker.
                found = persistent_port(self.directory / "issuer_port")
                self._ports = self._ports._replace(issuer=found)
            else:
                self._stack.callback(server.stop)
                return

    def _welcome(self) -> str:
        found = self.directory == Path.cwd() / ".tokenvault"
        options = [] if found else ["--dev", str(self.directory)]
        return welcome(self.address, self.description, options, self.clients, self._fields)

    def _read_policy(self) -> Policy:
        try:
            text = self._policy.read_bytes().decode("utf-8")
        except OSError as error:
            raise PolicyError(f"{self._policy}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PolicyError(f"{self._policy}: is not UTF-8 text") from None
        return parse_policy(text, str(self._policy))

    def _start_server(self) -> None:
        # -P: a directory named "vault" where the command was given is not ours.
        command = [sys.executable, "-P", "-m", "vault.dev.server", "--config", str(self.settings)]
        server = Child("server", command, log=self.directory / "server.log", grace=_SERVER_GRACE)
        self._stack.callback(server.stop)
        server.start()
        self._components["The service"] = server
        self._await_ready()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT
        with grpc.insecure_channel(self.health, no_proxy_options(self.health)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            # In this order: whoever has our certificate got all its ports, so that no other
            # installation answers for it.
            while not (_is_ours(self.address, self.ca) and _is_serving(stub)):
                self.check()
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"the service did not become ready; see {self.directory}/server.log"
                    )
                time.sleep(0.05)

    def _describe(self) -> None:
        content = {
            "address": self.address,
            "jwt_address": self.jwt_address,
            "health": self.health,
            "metrics": self.metrics,
            "ca": str(self.ca),
            "issuer": {"address": self.issuer_address, "client_id": CLIENT_ID},
            "clients": {
                role: {
                    "cert": str(files.cert),
                    "key": str(files.key),
                    "token": str(self.tokens[role]),
                }
                for role, files in self.clients.items()
            },
        }
        write_private(self.description, json.dumps(content, indent=2) + "\n")
        # Gone before anything stops: whoever finds it finds a service.
        self._stack.callback(self.description.unlink, missing_ok=True)

    def __enter__(self) -> DevEnvironment:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _is_ours(address: str, ca: Path) -> bool:
    """Returns whether a server with a certificate of this directory's authority listens."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=ca)
    try:
        with (
            socket.create_connection((host, int(port)), timeout=1.0) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except OSError:  # ssl.SSLError is one
        return False


def _is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(service="readiness"), timeout=1.0)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the directory for this process alone; the lock goes with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"another `tokenvault dev` runs in {path.parent}, as process {file.read().strip()}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turns the signals that end a program into one KeyboardInterrupt.

    Those after the first are ignored: stopping takes seconds and must not be cut short.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
