"""The endpoints of the service: mTLS, and beside it JWT where it is configured.

One endpoint each, because Python's gRPC knows certificates only as required or not asked for.
At each, one kind of identity counts and the other is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import grpc

from vault.config import JwtIssuerSettings, JwtSettings, Settings
from vault.errors import ConfigError
from vault.rpc.authn.identity import Identify, identify_by_certificate
from vault.rpc.authn.jwt_fetch import JwksClient, RemoteKeys
from vault.rpc.authn.jwt_identity import JwtIdentifier, TrustedIssuer
from vault.rpc.authn.jwt_keys import FileKeys, IssuerKeys
from vault.rpc.authn.reloading import FileWatch
from vault.rpc.authn.tls import jwt_listener_credentials, server_credentials

__all__ = ["Endpoint", "keys_of", "open_endpoints"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A port for callers of one kind, and how they are identified.

    Attributes:
        name: what the audit calls it.
        key: the setting that names the port.
    """

    name: str
    key: str
    host: str
    port: int
    credentials: grpc.ServerCredentials
    identify: Identify


@contextmanager
def open_endpoints(
    settings: Settings, *, allow_development: bool, watch: FileWatch
) -> Iterator[tuple[Endpoint, ...]]:
    """Reads what the endpoints need, and reloads it for the length of the block.

    Args:
        watch: takes each reloadable file and key set, and reports one that is refused later.

    Raises:
        ConfigError: a certificate, key, authority or JWKS file is wrong.
    """
    server = settings.server
    mtls = Endpoint(
        "mtls",
        "server.port",
        server.host,
        server.port,
        server_credentials(server, allow_development=allow_development, watch=watch),
        identify_by_certificate(server.trust_domain),
    )
    if settings.jwt is None:
        yield (mtls,)
        return
    credentials = jwt_listener_credentials(server, allow_development=allow_development, watch=watch)
    with _identifier(settings.jwt, watch) as identify:
        jwt = settings.jwt
        yield mtls, Endpoint("jwt", "jwt.port", jwt.host, jwt.port, credentials, identify)


@contextmanager
def _identifier(settings: JwtSettings, watch: FileWatch) -> Iterator[JwtIdentifier]:
    with ExitStack() as stack:
        issuers = tuple(TrustedIssuer(each, keys_of(each, stack)) for each in settings.issuers)
        for each in issuers:
            watch.add(f"keys of the issuer {each.settings.issuer}", each.keys.problem)
        yield JwtIdentifier(issuers)


def keys_of(settings: JwtIssuerSettings, stack: ExitStack) -> IssuerKeys:
    """Opens an issuer's keys for the life of the stack. Raises ConfigError."""
    if settings.jwks_file is not None:
        return FileKeys(settings.jwks_file)
    if settings.jwks_url is None:
        raise ConfigError("jwt.issuers: needs either jwks_file or jwks_url")
    if settings.jwks_ca is not None and not settings.jwks_ca.is_file():
        raise ConfigError(f"jwt.issuers: jwks_ca: {settings.jwks_ca} is not a file")
    client = JwksClient(settings.jwks_url, settings.jwks_ca)
    keys = RemoteKeys(settings.issuer, client.fetch, settings.jwks_refresh)
    keys.start()
    stack.callback(keys.stop)
    return keys
