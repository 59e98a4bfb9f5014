"""A caller with a JWT, for the JWT listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from vault.client.pem import read_authority
from vault.client.private_file import read_unshared
from vault.client.transport import Contact

__all__ = ["ClientJwt"]

# The listener for certificates asks for one in the handshake, and this caller has none.
_NO_CERTIFICATE = (
    "the server closed the connection: this looks like the port for callers with certificates, "
    "and the one for callers with a JWT is another"
)


@dataclass(frozen=True, slots=True)
class ClientJwt:
    """The authority to trust (PEM), and the file with the caller's JWT.

    The file is read for every request, so that whoever renews it (a sidecar, the
    platform) only has to replace it. Nobody but its owner may be able to.
    """

    ca: Path
    jwt: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the authority. Raises OSError."""
        return grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(read_authority(self.ca)),
            grpc.metadata_call_credentials(_Bearer(self.jwt), "tokenvault"),
        )

    def credential_problem(self, contact: Contact) -> tuple[str, bool]:
        """Returns what a closed connection means; of a wrong token, the server says it itself."""
        return (_NO_CERTIFICATE if contact is Contact.CLOSED else "", True)


class _Bearer(grpc.AuthMetadataPlugin):
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002 - whatever the call, the token is one
        callback: Callable[[tuple[tuple[str, str], ...], Exception | None], None],
    ) -> None:
        try:
            token = read_unshared(self._path).decode("ascii").strip()
        except OSError as error:
            why = error.strerror or "others can change it"
            callback((), OSError(f"the token's file {self._path} cannot be taken: {why}"))
            return
        except ValueError:
            # Its own text would quote the file's bytes where they are no text.
            callback((), OSError(f"the token's file {self._path} holds no token"))
            return
        callback((("authorization", f"Bearer {token}"),), None)
