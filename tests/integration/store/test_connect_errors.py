"""Connections that cannot be made, with the real libpq: each says what is in the way."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import URL
from structlog.testing import capture_logs

from vault.audit.integrator import Integrator
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.authority import Authority, Credentials
from vault.dev.postgres import SERVICE, Database
from vault.errors import AuditUnavailable, ConfigError, StoreUnavailable, for_operators
from vault.postgres import engine as engines
from vault.postgres.engine import make_engine
from vault.postgres.migrate import current_revision, migrate
from vault.postgres.schema_revision import check_schema
from vault.postgres.transaction import transaction

if TYPE_CHECKING:
    from tests.integration.conftest import Owner

SSL_REQUEST = 8  # bytes
KEY = MacKey(1, bytes(32))
PASSWORD = "hunter2"
Answer = Callable[[socket.socket], None]


def failure(url: URL | str, password: str = PASSWORD) -> StoreUnavailable:
    made = make_engine(url, password=password)
    try:
        with pytest.raises(StoreUnavailable) as caught, transaction(made, time.monotonic() + 30):
            pytest.fail("it connects")
    finally:
        made.dispose()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    # Callers learn what is wrong, not where it is.
    for secret in ("hunter2", "canary", "127.0.0", "localhost", "some_role", "some_database"):
        assert secret not in error.message
    assert "hunter2" not in error.where
    return error


@pytest.fixture
def stranger() -> Iterator[Callable[..., str]]:
    """Answers in the place of Postgres; returns host and port."""
    listeners: list[socket.socket] = []

    def serve(listener: socket.socket, answer: Answer) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    answer(connection)
                except (OSError, ssl.SSLError):
                    continue

    def start(answer: Answer, host: str = "127.0.0.1") -> str:
        listener = socket.create_server((host, 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        return f"{host}:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def with_tls(credentials: Credentials) -> Answer:
    """Takes the SSLRequest and makes a real handshake, and no more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials.cert, credentials.key)

    def answer(connection: socket.socket) -> None:
        assert len(connection.recv(SSL_REQUEST)) == SSL_REQUEST
        connection.sendall(b"S")
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1024)

    return answer


def says(words: bytes) -> Answer:
    """Takes the startup message and refuses, as a server of any language may."""

    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        body = b"".join(
            part + b"\0" for part in ("SFATAL\u00c9".encode(), b"VFATAL", b"CXX000", b"M" + words)
        )
        connection.sendall(b"E" + (len(body) + 5).to_bytes(4) + body + b"\0")

    return answer


def address(place: str, options: str = "") -> str:
    return f"postgresql://some_role@{place}/some_database?{options}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def verify(authority: Authority) -> str:
    return f"sslmode=verify-full&sslrootcert={authority.certificate_path}"


def test_an_unknown_host() -> None:
    error = failure(address("nosuchhost.invalid"))
    assert "its host name cannot be resolved" in error.message
    assert error.where == "nosuchhost.invalid:5432, role some_role, database some_database"


def test_a_wrong_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure(address(f"127.0.0.1:{port}"))
    assert "nothing listens at its address" in error.message
    assert f"127.0.0.1:{port}" in for_operators(error)


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    error = failure(f"postgresql://some_role@/some_database?host={tmp_path}")
    assert "nothing listens" in error.message


def test_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines._CONNECT_ARGS, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(address(f"127.0.0.1:{silent.getsockname()[1]}"))
    assert "it does not answer in time" in error.message


def test_no_tls_where_it_is_demanded(database: Database) -> None:
    url = database.service_url.update_query_dict({"sslmode": "require"})
    assert "it offers no TLS, and sslmode demands it" in failure(url).message


def test_another_ca(stranger: Callable[..., str], authority: Authority, tmp_path: Path) -> None:
    place = stranger(with_tls(authority.issue_server("server")))
    other = Authority(tmp_path / "other")
    error = failure(address(place, verify(other)))
    assert "not signed by the CA of sslrootcert" in error.message


def test_a_certificate_for_other_names(stranger: Callable[..., str], authority: Authority) -> None:
    place = stranger(with_tls(authority.issue_server("server")), "127.0.0.2")
    error = failure(address(place, verify(authority)))
    assert "its TLS certificate is for other names" in error.message
    assert place in error.where


def test_a_certificate_that_has_expired(stranger: Callable[..., str], tmp_path: Path) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=100)
    old = Authority(tmp_path / "old", clock=lambda: past)
    place = stranger(with_tls(old.issue_server("server")))
    assert "or is out of date" in failure(address(place, verify(old))).message


def test_a_ca_file_that_is_not_there_is_a_setting_to_mend(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"sslrootcert: .*/ca\.pem: No such file"):
        make_engine(address("127.0.0.1", f"sslmode=verify-full&sslrootcert={missing}"))


@pytest.mark.parametrize("broken", ["gone", "no certificate"])
def test_a_ca_file_that_goes_or_breaks_while_the_service_runs(
    stranger: Callable[..., str], authority: Authority, tmp_path: Path, broken: str
) -> None:
    place = stranger(with_tls(authority.issue_server("server")))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate_path.read_bytes())
    made = make_engine(address(place, f"sslmode=verify-full&sslrootcert={ca}"))
    if broken == "gone":
        ca.unlink()
    else:
        ca.write_text("no certificate\n")
    with pytest.raises(StoreUnavailable, match="CA file of sslrootcert is not there or cannot"):
        check_schema(made)
    made.dispose()


def test_a_client_key_that_others_can_read(
    stranger: Callable[..., str], authority: Authority, tmp_path: Path
) -> None:
    credentials = authority.issue_server("server")
    key = tmp_path / "client.key"
    key.write_bytes(credentials.key.read_bytes())
    key.chmod(0o644)
    place = stranger(with_tls(credentials))
    options = f"{verify(authority)}&sslcert={credentials.cert}&sslkey={key}"
    assert "client certificate or key" in failure(address(place, options)).message


def test_no_such_database(database: Database) -> None:
    error = failure(database.service_url.set(database="nosuch"), password="")
    assert "no database of that name" in error.message
    assert "database nosuch" in error.where


@pytest.mark.parametrize(
    ("role", "password"), [("nobody_of_that_name", "hunter2"), (SERVICE, "hunter2")]
)
def test_a_refused_login_says_whose(database: Database, role: str, password: str) -> None:
    url = database.service_url.set(username=role).difference_update_query(["passfile"])
    error = failure(url, password)
    assert "the database refuses the login" in error.message
    assert f"role {role}" in error.where


def test_an_owner_whose_login_is_refused_is_not_called_the_service(database: Database) -> None:
    url = database.owner_url.difference_update_query(["passfile"])
    with pytest.raises(StoreUnavailable) as caught:
        migrate(url, SERVICE, password="wrong")
    assert "service" not in caught.value.message
    assert f"role {url.username}," in caught.value.where


def test_a_login_without_a_password(database: Database) -> None:
    url = database.service_url.difference_update_query(["passfile"])
    assert "it asks for a password" in failure(url, password="").message


def test_a_database_that_the_role_may_not_enter(database: Database, owner: Owner) -> None:
    owner.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM {SERVICE}")
    assert "the database refuses the login" in failure(database.service_url).message


def test_what_is_not_postgres(stranger: Callable[..., str]) -> None:
    place = stranger(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert "not available" in failure(address(place)).message
    place = stranger(lambda connection: None)
    assert "closes the connection" in failure(address(place)).message


@pytest.mark.parametrize(
    "words",
    [
        b"canary 4111111111111111",
        b"certificate verify failed: canary",
        b"Connection refused, canary hunter2",
        b"x\nMultiple connection attempts failed. All failures were:\n"
        b"- host: 'canary': Connection refused",
    ],
)
def test_what_the_server_says_is_not_taken_for_libpqs_words_and_goes_nowhere(
    stranger: Callable[..., str], words: bytes
) -> None:
    place = stranger(says(words))
    with capture_logs() as logs:
        error = failure(address(place, "sslmode=disable"))
    for told in (error.message, error.where, repr(error), str(logs)):
        assert "canary" not in told
        assert "4111" not in told
    assert "certificate" not in error.message


def test_of_several_hosts_each_cause_is_told_once(stranger: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    closing = stranger(lambda connection: None)
    error = failure(address(f"127.0.0.1:{port},127.0.0.1:{port},{closing}"))
    assert error.message.count("nothing listens") == 1
    assert error.message.count("closes the connection") == 1
    assert f"127.0.0.1:{port}, 127.0.0.1:{port}, {closing}" in error.where


def test_the_log_names_cause_and_place(stranger: Callable[..., str]) -> None:
    place = stranger(lambda connection: None)
    made = make_engine(address(place))
    with capture_logs() as logs, pytest.raises(StoreUnavailable) as caught:
        current_revision(made)
    made.dispose()
    assert caught.value.__context__ is None
    (entry,) = [each for each in logs if each["event"] == "database error"]
    assert "closes the connection" in entry["cause"]
    assert place in entry["where"]


def test_the_audit_says_it_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    made = make_engine(address(place))
    reader = PostgresAuditReader(made, lambda _: KEY)
    with capture_logs() as logs, pytest.raises(AuditUnavailable) as caught:
        reader.page(0, 10)
    with pytest.raises(AuditUnavailable) as not_integrated:
        Integrator(made, lambda: KEY, lambda _: KEY).integrate()
    made.dispose()
    # The driver's error, whose text may quote values, is not even the context of ours.
    assert caught.value.__context__ is None
    assert not_integrated.value.__context__ is None
    assert "nothing listens at its address" in caught.value.message
    assert place not in caught.value.message
    (entry,) = [each for each in logs if each["event"] == "audit not available"]
    assert place in entry["where"]
