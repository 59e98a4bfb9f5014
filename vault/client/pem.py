"""Reads a caller's PEM files, each once, and checks that it holds what it should.

gRPC would only say, many times over, that it cannot connect.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from vault.client.private_file import read_private

__all__ = ["read_authority", "read_pair"]

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_CERTIFICATE, _KEY = b"CERTIFICATE", b"PRIVATE KEY"
# By what their labels end with; whatever else a file holds is not quoted.
_KINDS = (
    (_CERTIFICATE, "a certificate"),
    (_KEY, "a private key"),
    (b"CERTIFICATE REQUEST", "a certificate request"),
    (b"PUBLIC KEY", "a public key"),
    (b"CRL", "a revocation list"),
)
_DER = b"\x30"


def read_authority(path: Path) -> bytes:
    """Reads certificates to trust. Raises OSError, which names the file and what is wrong."""
    content = path.read_bytes()
    _check_kind(path, content, _CERTIFICATE)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=content.decode("ascii", "replace")
        )
    except (ssl.SSLError, ValueError):
        raise OSError(f"{path} holds a certificate that cannot be read") from None
    return content


def read_pair(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Reads a certificate and its private key.

    Raises OSError, which names the file and what is wrong; also where others can read the key.
    """
    # Imported late: who has a token needs none of it.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate = cert.read_bytes()
    _check_kind(cert, certificate, _CERTIFICATE)
    secret = read_private(key, lambda content: _check_kind(key, content, _KEY))
    try:
        holders = [each.public_key() for each in x509.load_pem_x509_certificates(certificate)]
    except (ValueError, UnsupportedAlgorithm):
        raise OSError(f"{cert} holds a certificate that cannot be read") from None
    try:
        own = load_pem_private_key(secret, None).public_key()
    except TypeError:  # a password is needed
        raise OSError(
            f"{key} is encrypted: decrypt it into a file of mode 0600, as with openssl pkey"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise OSError(f"{key} holds a private key that cannot be read") from None
    if own != holders[0]:
        if own in holders:
            raise OSError(f"the certificate of {key} must be the first one in {cert}")
        raise OSError(f"{key} is not the private key of {cert}")
    return certificate, secret


def _check_kind(path: Path, content: bytes, wanted: bytes) -> None:
    labels = _LABEL.findall(content)
    if any(label.endswith(wanted) for label in labels):
        return
    names = dict(_KINDS)
    if not content.strip():
        raise OSError(f"{path} is empty")
    for end, name in _KINDS:
        if any(label.endswith(end) for label in labels):
            raise OSError(f"{path} holds {name}, not {names[wanted]}")
    if content.startswith(_DER):
        command = "x509" if wanted == _CERTIFICATE else "pkey"
        raise OSError(
            f"{path} is in DER, not PEM: convert it, as with openssl {command} -inform DER"
        )
    raise OSError(f"{path} holds no {names[wanted][2:]} in PEM")
