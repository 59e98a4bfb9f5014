"""Who a caller is by its certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

__all__ = ["ClientTls"]


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files of a caller: whom to trust, and who it is."""

    ca: Path
    cert: Path
    key: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises OSError, also where the key is another certificate's."""
        _check_pair(self.cert, self.key)
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(), self.key.read_bytes(), self.cert.read_bytes()
        )


def _check_pair(cert: Path, key: Path) -> None:
    # gRPC would only say, many times over, that it cannot connect.
    try:
        # The password: without one OpenSSL would ask the terminal for it.
        ssl.create_default_context().load_cert_chain(cert, key, password="")
    except ssl.SSLError:
        raise OSError(f"{key} is not the unencrypted private key of {cert}") from None
