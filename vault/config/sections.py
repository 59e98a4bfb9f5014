"""The sections of the settings file, each with its keys, their defaults and their limits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vault.config.values import (
    Claim,
    ClaimPath,
    Count,
    DatabaseUrl,
    Duration,
    FilePath,
    HttpsUrl,
    JwtAlgorithm,
    Leeway,
    ObjectStoreUrl,
    Origin,
    Port,
    TrustDomain,
    Url,
    WebhookUrl,
)
from vault.model import NoticeType

__all__ = [
    "AuditSettings",
    "DatabaseSettings",
    "JwtIssuerSettings",
    "JwtSettings",
    "KeyAuthSettings",
    "KeysSettings",
    "LogSettings",
    "PolicySettings",
    "ReaperSettings",
    "ServerSettings",
    "Settings",
    "TracingSettings",
    "WebhookSettings",
    "WebhooksSettings",
    "WitnessSettings",
]

Item = TypeVar("Item")
_Event = Annotated[NoticeType, Field(strict=False)]

_SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def _some(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if not items:
        raise ValueError("name at least one")
    return items


def _webhook_timeout(timeout: timedelta) -> timedelta:
    if timeout > timedelta(seconds=30):
        raise ValueError("must be at most 30s: others wait behind it")
    return timeout


def _spelled_one_way(issuer: str) -> str:
    """Returns an issuer's address in the one spelling of RFC 3986, without a last slash."""
    url = urlsplit(issuer)
    host = (url.hostname or "").rstrip(".")
    port = "" if url.port in (None, 443) else f":{url.port}"
    return f"{host}{port}{unquote(url.path).rstrip('/')}?{url.query}"


class _Section(BaseModel):
    """A frozen section that knows all of its keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class ServerSettings(_Section):
    """The mTLS listener, its limits, and the ports beside it."""

    cert: FilePath
    """Server certificate chain, PEM."""
    key: FilePath
    """Its private key, PEM; readable by its owner alone."""
    client_ca: FilePath
    """Certificate authority of the callers, PEM."""
    trust_domain: TrustDomain
    """SPIFFE trust domain that callers must belong to, such as ``example.org``."""
    host: str = "127.0.0.1"
    port: Port = 50051
    health_host: str = "127.0.0.1"
    health_port: Port = 50052
    metrics_host: str = "127.0.0.1"
    metrics_port: Port | None = 9464
    """Prometheus page; leave the key out for the default."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share the port: about one per core. Each has database connections,
    keys and the bounds below of its own."""
    lock_directory: FilePath | None = None
    """Where the lock file of the port is; the system's directory for temporary files if
    left out."""
    max_workers: Count = 8
    """Calls worked on at once, by each of the workers."""
    max_concurrent_rpcs: Annotated[int, Field(ge=1, le=1024)] = 128
    """Calls worked on or waiting in each worker; more are refused with OVERLOADED. Each may
    hold a request of max_message_bytes, and up to as many are on their way."""
    max_concurrent_per_principal: Count | None = None
    """How many of them may be one principal's; half if left out. Principals queue apart."""
    max_connections: Count = 1000
    """Connections of each listener in each worker; more are closed at once."""
    max_connections_per_address: Count | None = None
    """How many of them may come from one address (IPv6: one /64); a quarter if left out. Set
    it to ``max_connections`` where all callers come through one balancer."""
    first_call_timeout: Duration = timedelta(seconds=20)
    """How long a connection may be without a call of a caller who has a role."""
    max_connection_idle: Duration = timedelta(minutes=5)
    """Connections without calls for so long are closed; clients reconnect by themselves."""
    receive_timeout: Duration = timedelta(seconds=5)
    """How long a request may take to arrive, at most ``max_deadline``."""
    max_batch: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Items in one request."""
    max_message_bytes: Annotated[int, Field(ge=65_536, le=64 << 20)] = 4 << 20
    """Bytes in one request."""
    max_deadline: Duration = timedelta(seconds=60)
    """Longest time for one call, also of callers that set no deadline."""
    drain: Duration = timedelta(seconds=20)
    """How long running calls may take to end after SIGTERM."""
    max_connection_age: Duration = timedelta(minutes=30)
    """Connections older than this are closed, so that callers spread out again."""
    probe_interval: Duration = timedelta(seconds=5)
    """Time between two readiness probes."""

    @model_validator(mode="after")
    def _check(self) -> ServerSettings:
        ports = [self.port, self.health_port]
        ports += [self.metrics_port] if self.metrics_port is not None else []
        if len(set(ports)) != len(ports):
            raise ValueError("port, health_port and metrics_port must differ")
        if self.max_concurrent_rpcs < self.max_workers:
            raise ValueError("max_concurrent_rpcs must be at least max_workers")
        if (self.max_concurrent_per_principal or 0) > self.max_concurrent_rpcs:
            raise ValueError("max_concurrent_per_principal must be at most max_concurrent_rpcs")
        if (self.max_connections_per_address or 0) > self.max_connections:
            raise ValueError("max_connections_per_address must be at most max_connections")
        return self

    @property
    def principal_share(self) -> int:
        """Calls that one principal may have in a worker."""
        return self.max_concurrent_per_principal or (self.max_concurrent_rpcs + 1) // 2

    @property
    def address_share(self) -> int:
        """Connections that one address may have to a listener of a worker."""
        return self.max_connections_per_address or (self.max_connections + 3) // 4


class JwtIssuerSettings(_Section):
    """Somebody whose tokens (JWT, RFC 7519) count, and which of them."""

    issuer: Url
    """Exactly what the tokens' ``iss`` says."""
    audience: Claim
    """What the tokens' ``aud`` must say or have among others: this service's name there."""
    algorithms: Annotated[tuple[JwtAlgorithm, ...], Field(strict=False), AfterValidator(_some)]
    """What the issuer signs with; a token signed with another algorithm is refused."""
    jwks_file: FilePath | None = None
    """The issuer's public keys (JWK Set, RFC 7517): a file, ..."""
    jwks_url: Url | None = None
    """... or an https address. No token can name another place."""
    jwks_ca: FilePath | None = None
    """Certificate authority of ``jwks_url``, PEM; the system's if left out."""
    jwks_refresh: Duration = timedelta(minutes=5)
    """How often ``jwks_url`` is read."""
    group_claim: ClaimPath = "groups"
    """The claim that a policy may give roles to: a string, or a list of strings or of SCIM
    objects with ``value``. One in another claim by a JSON Pointer: ``/realm_access/roles``."""
    person_claim: ClaimPath | None = None
    """The claim that names a person, which workloads do not have; nobody is a person if left
    out. One that the issuer gives to one person only, and for ever."""
    leeway: Leeway = timedelta(seconds=10)
    """How far the issuer's clock and this one may differ; at most 60s."""
    max_lifetime: Duration = timedelta(hours=24)
    """Longest time from ``iat`` to ``exp``; tokens made for longer are refused."""

    @model_validator(mode="after")
    def _check(self) -> JwtIssuerSettings:
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("needs either jwks_file or jwks_url")
        if self.jwks_ca is not None and self.jwks_url is None:
            raise ValueError("jwks_ca is for jwks_url")
        return self


class JwtSettings(_Section):
    """The listener for callers with a JWT; there is none without this section."""

    issuers: Annotated[tuple[JwtIssuerSettings, ...], Field(strict=False), AfterValidator(_some)]
    host: str = "127.0.0.1"
    port: Port = 50053

    @model_validator(mode="after")
    def _check(self) -> JwtSettings:
        if len({_spelled_one_way(each.issuer) for each in self.issuers}) != len(self.issuers):
            raise ValueError(
                "issuers: the same issuer is here twice, perhaps spelled in two ways (a slash "
                "at the end, the port, capitals): its callers would have two names and limits"
            )
        return self


class DatabaseSettings(_Section):
    """Postgres, as the service role."""

    url: DatabaseUrl
    """``postgresql://user@host:port/database?sslmode=verify-full``, without a password. Of
    several hosts, ``host:port,host:port``, the first that takes writes is used."""
    password_file: FilePath | None = None
    pool_size: Count = 8
    """Connections for calls; at least server.max_workers, or calls wait for each other."""


class KeyAuthSettings(_Section):
    """How the service logs in to the key server. Every secret is a file."""

    method: Literal["approle", "kubernetes", "token"]
    mount: Annotated[str, Field(min_length=1)] | None = None
    """Where the method is mounted; named like the method if left out."""
    role_id_file: FilePath | None = None
    secret_id_file: FilePath | None = None
    role: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")] | None = None
    """The key server's Kubernetes role."""
    service_account_token_file: FilePath = _SERVICE_ACCOUNT_TOKEN
    """The pod's projected token; read at each login, since the kubelet replaces it."""
    token_file: FilePath | None = None

    @model_validator(mode="after")
    def _check(self) -> KeyAuthSettings:
        if self.method == "approle" and not (self.role_id_file and self.secret_id_file):
            raise ValueError("method approle needs role_id_file and secret_id_file")
        if self.method == "kubernetes" and not self.role:
            raise ValueError("method kubernetes needs role")
        if self.method == "token" and not self.token_file:
            raise ValueError("method token needs token_file")
        return self


class KeysSettings(_Section):
    """HashiCorp Vault or OpenBao: the Transit key that wraps the data keys."""

    address: HttpsUrl
    auth: KeyAuthSettings
    ca: FilePath | None = None
    """Certificate authority of the key server, PEM; the system's if left out."""
    transit_mount: str = "transit"
    key_name: str = "tokenvault"
    namespace: str | None = None
    lifetime: Duration = timedelta(hours=1)
    """How long unwrapped keys serve while the key server is unavailable."""
    timeout: Duration = timedelta(seconds=5)


class PolicySettings(_Section):
    """The policy file."""

    path: FilePath


class WitnessSettings(_Section):
    """A witness that cosigns published checkpoints (C2SP tlog-witness)."""

    url: Url
    """What its ``add-checkpoint`` comes after."""
    public_key: Annotated[str, Field(pattern=r"^[!-~]{1,500}$")]
    """Its public key, a vkey of type 0x04 (cosignature)."""


class ObjectStoreSettings(_Section):
    """An object store with S3's protocol that the audit's log is published in.

    It must know writes under a condition (``If-None-Match``).
    """

    url: ObjectStoreUrl
    """What objects' names come after: the bucket in the host or the path, and a prefix."""
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    """That requests are signed for."""
    credentials_file: FilePath
    """The access key, as in ``~/.aws/credentials``, section ``default``; a secret. Read again
    for each request."""
    ca: FilePath | None = None
    """Authority of the store's certificate, PEM; the system's if left out."""


_LEAST_RETENTION = timedelta(days=30)


class AuditSettings(_Section):
    """The audit."""

    replica: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] | None = None
    """This server's name in the records; the host's name if left out."""
    publish: FilePath | None = None
    """Directory that the log's tiles and checkpoints are published in (C2SP tlog-tiles)."""
    object_store: ObjectStoreSettings | None = None
    publish_interval: Duration = timedelta(minutes=1)
    """Time between two checkpoints there."""
    witnesses: Annotated[tuple[WitnessSettings, ...], Field(strict=False)] = ()
    retention: Duration | None = None
    """How old records are before `audit prune` may drop them, 30 days at least; without it none."""

    @model_validator(mode="after")
    def _check(self) -> AuditSettings:
        if self.witnesses and self.publish is None and self.object_store is None:
            raise ValueError("witnesses cosign what is published: set publish or object_store")
        if self.retention is not None and self.retention < _LEAST_RETENTION:
            raise ValueError("retention is 30 days at least: budgets and reveals are younger")
        return self


class ReaperSettings(_Section):
    """What clears away expired tokens."""

    interval: Duration = timedelta(minutes=1)
    """Time between two looks: how long a value outlives its token's expiry at most, while
    Postgres and the keys are there."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Tokens in one transaction."""


class WebhookSettings(_Section):
    """Somebody who is sent notices, as CloudEvents that are signed (Standard Webhooks)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    """What notices that wait for this receiver are kept under: all servers call it the same."""
    url: WebhookUrl
    """Where they are sent. An https address; http on this machine only."""
    secret_file: FilePath
    """What they are signed with: ``whsec_`` and base64 of 24 to 64 bytes. Of several lines each
    signs, so that a receiver can change keys."""
    ca: FilePath | None = None
    """Certificate authority of ``url``, PEM; the system's if left out."""
    events: Annotated[tuple[_Event, ...], Field(strict=False), AfterValidator(_some)] = tuple(
        NoticeType
    )
    """Of what; all if left out."""
    timeout: Annotated[Duration, AfterValidator(_webhook_timeout)] = timedelta(seconds=5)
    """Longest time for one attempt; at most 30s."""


class WebhooksSettings(_Section):
    """Notices to those who are owed one; nobody is sent any without this section."""

    source: Annotated[str, Field(pattern=r"^[!-~]{1,255}$")] = "/tokenvault"
    """What the notices say they come from: an address of this installation."""
    max_age: Duration = timedelta(days=3)
    """How long a notice is tried."""
    endpoints: Annotated[tuple[WebhookSettings, ...], Field(strict=False), AfterValidator(_some)]

    @model_validator(mode="after")
    def _check(self) -> WebhooksSettings:
        if len({each.name for each in self.endpoints}) != len(self.endpoints):
            raise ValueError("endpoints: two have one name")
        return self


class TracingSettings(_Section):
    """Traces to an OpenTelemetry collector; there are none without this section."""

    endpoint: Origin
    """``https://host:port`` of the collector: OTLP over gRPC with TLS, 4317 by default."""
    ca: FilePath
    """Certificate authority of the collector, PEM."""
    headers_file: FilePath | None = None
    """``name: value`` lines sent with every export, such as a key; a secret."""
    service_name: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")] = "tokenvault"
    sample_ratio: Annotated[float, Field(ge=0, le=1, strict=False)] = 0.01
    """Share of the calls that are traced; callers cannot raise it."""
    queue: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """Spans that may wait; one too many is dropped and counted."""
    timeout: Duration = timedelta(seconds=5)
    """Longest time for one export."""


class LogSettings(_Section):
    """The log: JSON lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(_Section):
    """The whole tree."""

    server: ServerSettings
    jwt: JwtSettings | None = None
    database: DatabaseSettings
    keys: KeysSettings
    policy: PolicySettings
    audit: AuditSettings = AuditSettings()
    reaper: ReaperSettings = ReaperSettings()
    webhooks: WebhooksSettings | None = None
    log: LogSettings = LogSettings()
    tracing: TracingSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Settings:
        server = self.server
        if self.jwt and self.jwt.port in (server.port, server.health_port, server.metrics_port):
            raise ValueError("jwt.port must differ from the ports of the section server")
        return self
