"""Certificates and authorities change under a running server."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from vault.config import ServerSettings
from vault.dev.authority import Authority, Credentials
from vault.rpc.authn.tls import jwt_listener_credentials, server_credentials

Read = Callable[..., grpc.ServerCredentials]


class Files:
    """A server's files, and the means to replace them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = ServerSettings.model_validate(
            {
                "cert": str(home / "server.pem"),
                "key": str(home / "server.key"),
                "client_ca": str(home / "clients.pem"),
                "trust_domain": "example.org",
            }
        )

    def install(self, server: Credentials, clients: Authority) -> None:
        for source, target in (
            (server.cert, self.settings.cert),
            (server.key, self.settings.key),
            (clients.certificate_path, self.settings.client_ca),
        ):
            copy = self.home / "new"
            shutil.copyfile(source, copy)
            copy.chmod(0o600)
            copy.replace(target)


@pytest.fixture
def old(private_tmp: Path) -> Authority:
    return Authority(private_tmp / "old")


@pytest.fixture
def new(private_tmp: Path) -> Authority:
    return Authority(private_tmp / "new")


@pytest.fixture
def files(private_tmp: Path, old: Authority) -> Files:
    home = private_tmp / "files"
    home.mkdir()
    found = Files(home)
    found.install(old.issue_server("server"), old)
    return found


@contextmanager
def serving(files: Files, read: Read) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    credentials = read(files.settings, allow_development=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def serial(port: int) -> int:
    """The certificate that the server shows, whoever signed it."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial_of(files: Credentials) -> int:
    return x509.load_pem_x509_certificate(files.cert.read_bytes()).serial_number


def is_let_in(port: int, trusted: Authority, caller: Credentials | None) -> bool:
    """Whether a call gets past TLS: no server method is there to answer it."""
    pair = (caller.key.read_bytes(), caller.cert.read_bytes()) if caller else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.certificate_path.read_bytes(), *pair)
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    with grpc.secure_channel(f"localhost:{port}", credentials, options=options) as channel:
        try:
            channel.unary_unary("/x/Y", bytes, bytes)(b"", timeout=5)
        except grpc.RpcError as error:
            assert error.code() in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    raise AssertionError("answered")


def test_a_new_certificate_and_a_new_authority_count_at_the_next_handshake(
    files: Files, old: Authority, new: Authority
) -> None:
    of_old = old.issue_client("a", "spiffe://example.org/a")
    of_new = new.issue_client("a", "spiffe://example.org/a")
    with serving(files, server_credentials) as port:
        assert serial(port) == serial_of(old.issue_server("server"))
        assert is_let_in(port, old, of_old)
        assert not is_let_in(port, old, of_new)
        files.install(new.issue_server("server"), new)
        assert serial(port) == serial_of(new.issue_server("server"))
        assert is_let_in(port, new, of_new)
        assert not is_let_in(port, new, of_old)
        assert not is_let_in(port, new, None)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, how) for name in ("cert", "key", "client_ca") for how in ("nonsense", "gone")),
        ("cert", "of another pair"),
        ("key", "of another pair"),
    ],
)
def test_bad_files_leave_the_old_ones_in_force(
    files: Files,
    old: Authority,
    new: Authority,
    name: str,
    how: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path: Path = getattr(files.settings, name)
    caller = old.issue_client("a", "spiffe://example.org/a")
    with serving(files, server_credentials) as port:
        if how == "gone":
            path.unlink()
        elif how == "nonsense":
            path.write_text("nonsense")
        else:
            shutil.copyfile(getattr(new.issue_server("server"), name), path)
        for _ in range(2):
            assert serial(port) == serial_of(old.issue_server("server"))
            assert is_let_in(port, old, caller)
        told = "".join(capsys.readouterr())
        assert told.count("the old ones stay") == 1
        assert f"server.{'key' if how == 'of another pair' else name}" in told
        assert "PRIVATE" not in told
        # Mended, they count again.
        files.install(new.issue_server("server"), new)
        assert serial(port) == serial_of(new.issue_server("server"))


def test_the_jwt_listeners_certificate_is_reloaded_too(
    files: Files, old: Authority, new: Authority
) -> None:
    with serving(files, jwt_listener_credentials) as port:
        assert is_let_in(port, old, None)
        files.install(new.issue_server("server"), old)
        assert serial(port) == serial_of(new.issue_server("server"))
        assert is_let_in(port, new, None)
        assert not is_let_in(port, old, None)
