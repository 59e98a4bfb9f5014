"""What a server checks before it serves: ports, certificates, keys."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from vault.config import ServerSettings
from vault.dev.authority import Authority
from vault.errors import ConfigError
from vault.rpc.authn.tls import server_credentials
from vault.server.port_binding import bind_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on and would share."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_a_port_that_would_be_shared_is_refused(taken: int) -> None:
    def must_not_bind(address: str) -> int:
        pytest.fail(f"bound {address}")

    with pytest.raises(ConfigError, match=rf"server\.port: cannot listen on 127.0.0.1:{taken}"):
        bind_port("server.port", "127.0.0.1", taken, must_not_bind)


def test_a_host_of_elsewhere_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"server\.port: cannot listen on 192\.0\.2\.1"):
        bind_port("server.port", "192.0.2.1", 50051, lambda _: 50051)


@pytest.fixture
def authority(private_tmp: Path) -> Authority:
    return Authority(private_tmp / "pki")


@pytest.fixture
def settings(authority: Authority) -> ServerSettings:
    files = authority.issue_server("server")
    return ServerSettings.model_validate(
        {
            "cert": str(files.cert),
            "key": str(files.key),
            "client_ca": str(authority.certificate_path),
            "trust_domain": "example.org",
        }
    )


def test_development_certificates_pass_only_in_development(settings: ServerSettings) -> None:
    credentials = server_credentials(settings, allow_development=True)
    assert isinstance(credentials, grpc.ServerCredentials)
    with pytest.raises(ConfigError, match="made by `tokenvault dev`"):
        server_credentials(settings, allow_development=False)


def test_a_key_of_another_certificate_is_refused(
    settings: ServerSettings, authority: Authority
) -> None:
    other = settings.model_copy(update={"key": authority.issue_server("other").key})
    with pytest.raises(ConfigError, match=r"server\.key: is not the key of the certificate"):
        server_credentials(other, allow_development=True)


def test_a_key_that_others_can_read_is_refused(settings: ServerSettings) -> None:
    settings.key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"server\.key: .* chmod 600"):
        server_credentials(settings, allow_development=True)


@pytest.mark.parametrize("name", ["cert", "key", "client_ca"])
def test_what_is_no_pem_is_refused_by_name(
    settings: ServerSettings, private_tmp: Path, name: str
) -> None:
    path = private_tmp / "nonsense"
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=rf"server\.{name}: is not"):
        server_credentials(settings.model_copy(update={name: path}), allow_development=True)


@pytest.mark.parametrize("name", ["cert", "key", "client_ca"])
def test_a_missing_file_is_told_by_name(settings: ServerSettings, name: str) -> None:
    gone = settings.model_copy(update={name: Path("/nonexistent/file")})
    with pytest.raises(ConfigError, match=rf"server\.{name}: .* cannot be read"):
        server_credentials(gone, allow_development=True)
