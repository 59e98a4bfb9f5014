"""Who a caller is by its certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from vault.client.private_file import read_private

__all__ = ["ClientTls"]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files of a caller: whom to trust, and who it is."""

    ca: Path
    cert: Path
    key: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises OSError, also where others can read the key or it is another certificate's.
        """
        key = read_private(self.key)
        _check_pair(self.cert, self.key)
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), key, self.cert.read_bytes())

    def trouble(self) -> str:
        """Returns what is wrong with the caller's certificate by this machine's clock, or "".

        The server says nothing: it closes the connection before there is a call to answer.
        """
        # Only here: a second's worth of imports that a call that succeeds does not need.
        from cryptography import x509

        try:
            certificate = x509.load_pem_x509_certificate(self.cert.read_bytes())
        except (OSError, ValueError):
            return ""
        now = datetime.now(UTC)
        if now > (end := certificate.not_valid_after_utc):
            return f"the caller's certificate {self.cert} expired on {end:%Y-%m-%d %H:%M} UTC"
        if now < (begin := certificate.not_valid_before_utc):
            return (
                f"the caller's certificate {self.cert} is valid from {begin:%Y-%m-%d %H:%M} UTC "
                "on, and this machine's clock is before that"
            )
        return ""


def _check_pair(cert: Path, key: Path) -> None:
    # gRPC would only say, many times over, that it cannot connect.
    try:
        # The password: without one OpenSSL would ask the terminal for it.
        ssl.create_default_context().load_cert_chain(cert, key, password="")
    except ssl.SSLError:
        raise OSError(f"{key} is not the unencrypted private key of {cert}") from None
