"""The listeners' TLS: read, checked, reloaded, and refused where it is a development one.

gRPC says nothing useful about a wrong PEM file, so each is tried here first. TLS 1.2 is
gRPC's own minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from vault.config import ServerSettings, read_secret
from vault.errors import ConfigError
from vault.rpc.authn.development_mark import is_development_authority
from vault.rpc.authn.reloading import FileWatch, Reloading

__all__ = ["jwt_listener_credentials", "server_credentials"]


def server_credentials(
    settings: ServerSettings, *, allow_development: bool, watch: FileWatch | None = None
) -> grpc.ServerCredentials:
    """Reads the mTLS listener's certificate, key and client authority.

    They are checked again at every handshake: changed files count from the next one
    on, and files that are wrong are logged and leave the old ones in force.

    Raises:
        ConfigError: a file is missing, open to others, no PEM, or the key is another
            certificate's; or one of a development environment is not allowed.
    """

    def read() -> grpc.ServerCertificateConfiguration:
        pair = _read_pair(settings, allow_development=allow_development)
        authorities = _read(settings.client_ca, "server.client_ca")
        trusted = _certificates(authorities, "server.client_ca")
        _refuse_development(trusted, allow_development=allow_development)
        return grpc.ssl_server_certificate_configuration([pair], authorities)

    paths = (settings.cert, settings.key, settings.client_ca)
    files = Reloading("certificates of the mTLS listener", paths, read)
    (watch or FileWatch()).add("certificates of the mTLS listener", files.problem)
    return _reloaded(files, ask_for_certificate=True)


def jwt_listener_credentials(
    settings: ServerSettings, *, allow_development: bool, watch: FileWatch | None = None
) -> grpc.ServerCredentials:
    """Reads the JWT listener's certificate and key: the mTLS listener's, reloaded like them.

    Callers are not asked for a certificate. Raises ConfigError as ``server_credentials``.
    """

    def read() -> grpc.ServerCertificateConfiguration:
        pair = _read_pair(settings, allow_development=allow_development)
        return grpc.ssl_server_certificate_configuration([pair])

    paths = (settings.cert, settings.key)
    files = Reloading("certificate of the JWT listener", paths, read)
    (watch or FileWatch()).add("certificate of the JWT listener", files.problem)
    return _reloaded(files, ask_for_certificate=False)


def _reloaded(
    files: Reloading[grpc.ServerCertificateConfiguration], *, ask_for_certificate: bool
) -> grpc.ServerCredentials:
    initial = files.current()
    in_force = [initial]

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # None where nothing is new: else gRPC would set TLS up again for every connection.
        current = files.current()
        if current is in_force[0]:
            return None
        in_force[0] = current
        return current

    return grpc.dynamic_ssl_server_credentials(
        initial,
        changed,  # type: ignore[arg-type] # the stubs do not know that None is "no change"
        ask_for_certificate,
    )


def _read_pair(settings: ServerSettings, *, allow_development: bool) -> tuple[bytes, bytes]:
    """Returns key and chain, PEM."""
    chain = _read(settings.cert, "server.cert")
    key = read_secret(settings.key, "server.key").encode()
    certificates = _certificates(chain, "server.cert")
    if _public_key_of(key) != _spki(certificates[0]):
        raise ConfigError("server.key: is not the key of the certificate in server.cert")
    _refuse_development(certificates, allow_development=allow_development)
    return key, chain


def _refuse_development(
    certificates: Sequence[x509.Certificate], *, allow_development: bool
) -> None:
    if not allow_development and any(map(is_development_authority, certificates)):
        raise ConfigError(
            "server.client_ca, server.cert: made by `tokenvault dev`, which keeps its "
            "authority's key beside the data; serve with certificates of a real authority"
        )


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error.strerror}") from None


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError(f"{name}: is not a PEM certificate") from None


def _public_key_of(pem: bytes) -> bytes:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ConfigError("server.key: is not an unencrypted PEM private key") from None
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
