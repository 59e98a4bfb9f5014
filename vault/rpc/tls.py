"""The listener's TLS: read, checked, and refused where it is a development one.

gRPC says nothing useful about a wrong PEM file, so each is tried here first. TLS 1.2 is
gRPC's own minimum.
"""

from __future__ import annotations

from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from vault.config import ServerSettings, read_secret
from vault.errors import ConfigError
from vault.rpc.development_mark import is_development_authority

__all__ = ["server_credentials"]


def server_credentials(
    settings: ServerSettings, *, allow_development: bool
) -> grpc.ServerCredentials:
    """Reads the listener's certificate, key and client authority.

    Raises:
        ConfigError: a file is missing, open to others, no PEM, or the key is another
            certificate's; or one of a development environment is not allowed.
    """
    chain = _read(settings.cert, "server.cert")
    key = read_secret(settings.key, "server.key").encode()
    authorities = _read(settings.client_ca, "server.client_ca")
    certificates = _certificates(chain, "server.cert")
    trusted = _certificates(authorities, "server.client_ca")
    if _public_key_of(key) != _spki(certificates[0]):
        raise ConfigError("server.key: is not the key of the certificate in server.cert")
    if not allow_development and any(map(is_development_authority, certificates + trusted)):
        raise ConfigError(
            "server.client_ca, server.cert: made by `tokenvault dev`, which keeps its "
            "authority's key beside the data; serve with certificates of a real authority"
        )
    return grpc.ssl_server_credentials(
        [(key, chain)], root_certificates=authorities, require_client_auth=True
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
