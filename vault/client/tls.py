"""Callers with a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from vault.client.pem import read_authority, read_pair
from vault.client.transport import Contact

__all__ = ["ClientTls"]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """A caller's PEM files: the authority to trust, and its own certificate and key."""

    ca: Path
    cert: Path
    key: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files, each once.

        Raises OSError, also where others can read the key or it is another certificate's.
        """
        cert, key = read_pair(self.cert, self.key)
        return grpc.ssl_channel_credentials(read_authority(self.ca), key, cert)

    def credential_problem(self, contact: Contact) -> tuple[str, bool]:
        """Returns what is wrong with the caller's certificate by this machine's clock, or "".

        The server says nothing: it closes the connection before there is a call to answer.
        What is said of the server's own certificate, or of nobody, is no guess.
        """
        return (self._validity() if contact is Contact.CLOSED else "", False)

    def _validity(self) -> str:
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
