"""The settings of ``serve``: one tree, read once from a TOML file.

Unknown keys are refused, relative paths start at the file's own directory, and secrets
come only from files that nobody but their owner can read.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from vault.errors import ConfigError

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
    "load_settings",
    "parse_duration",
    "read_projected_token",
    "read_secret",
]

Item = TypeVar("Item")

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_HOST = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?"
_HOSTS = re.compile(rf"{_HOST}(,{_HOST})+")
_MAX_SECRET_BYTES = 65536
_SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def parse_duration(text: object) -> timedelta:
    """Reads a duration such as ``500ms``, ``10s``, ``5m``, ``1h`` or ``30d``.

    Raises:
        ValueError: the text is no duration.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('write a number and a unit, such as "10s", "5m" or "1h"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("must be longer than zero")
    return duration


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("write a path as a string")
    base = info.context["directory"] if isinstance(info.context, Mapping) else Path()
    return Path(base) / Path(value).expanduser()


def _trust_domain(value: str) -> str:
    if not _TRUST_DOMAIN.fullmatch(value):
        raise ValueError('write the bare name, in lower case, such as "example.org"')
    return value


def _database_url(value: str) -> str:
    try:
        url = urlsplit(value)
        secret = url.password is not None or "password" in url.query
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in {"postgresql", "postgresql+psycopg"}:
        raise ValueError("write postgresql://user@host:port/database")
    if secret:
        raise ValueError("leave the password out of it and name a file in password_file")
    several = "," in url.netloc
    if several and not _HOSTS.fullmatch(url.netloc.rpartition("@")[2]):
        raise ValueError("write several hosts as host:port,host:port")
    target = parse_qs(url.query).get("target_session_attrs", ["read-write"])
    if several and not {"read-write", "primary"}.issuperset(target):
        raise ValueError("leave target_session_attrs out: only a server that takes writes will do")
    return value


def _https(value: str) -> str:
    if urlsplit(value).scheme != "https":
        raise ValueError("write an https:// address: keys never travel in the clear")
    return value.rstrip("/")


def _origin(value: str) -> str:
    try:
        url = urlsplit(value)
        plain = url.scheme == "https" and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        raise ValueError("is not a URL") from None
    if not plain or url.username or url.password or url.query or url.path.strip("/"):
        raise ValueError(
            "write https://host:port, without a path: traces never travel in the clear"
        )
    return value.rstrip("/")


def _url(value: str) -> str:
    try:
        url = urlsplit(value)
        plain = not (url.username or url.password or url.fragment)
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme != "https" or not url.netloc or not plain:
        raise ValueError("write an https:// address, without a user and without a fragment")
    return value


def _some(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if not items:
        raise ValueError("name at least one")
    return items


def _leeway(duration: timedelta) -> timedelta:
    if duration > timedelta(minutes=1):
        raise ValueError("must be at most 60s: clocks differ by seconds, not by minutes")
    return duration


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_positive)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Url = Annotated[str, AfterValidator(_url)]
Leeway = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_leeway)]
Claim = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip


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
    trust_domain: Annotated[str, AfterValidator(_trust_domain)]
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
    hold a request of max_message_bytes."""
    max_concurrent_per_principal: Count | None = None
    """How many of them may be one principal's; half if left out. Principals queue apart."""
    max_connections: Count = 1000
    """Connections of each listener in each worker; more are closed at once."""
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
        return self

    @property
    def principal_share(self) -> int:
        """Calls that one principal may have in a worker."""
        return self.max_concurrent_per_principal or (self.max_concurrent_rpcs + 1) // 2


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
    group_claim: Claim = "groups"
    """The claim, a string or a list of strings, that a policy may give roles to."""
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
        if len({each.issuer for each in self.issuers}) != len(self.issuers):
            raise ValueError("issuers: the same issuer is here twice")
        return self


class DatabaseSettings(_Section):
    """Postgres, as the service role."""

    url: Annotated[str, AfterValidator(_database_url)]
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

    address: Annotated[str, AfterValidator(_https)]
    auth: KeyAuthSettings
    ca: FilePath | None = None
    """Certificate authority of the key server, PEM; the system's if left out."""
    transit_mount: str = "transit"
    key_name: str = "tokenvault"
    namespace: str | None = None
    lifetime: Duration = timedelta(hours=1)
    """How long unwrapped keys serve while the key server is away."""
    timeout: Duration = timedelta(seconds=5)


class PolicySettings(_Section):
    """The policy file."""

    path: FilePath


class AuditSettings(_Section):
    """The audit."""

    replica: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] | None = None
    """This server's name in the records; the host's name if left out."""


class ReaperSettings(_Section):
    """What clears away expired tokens."""

    interval: Duration = timedelta(minutes=1)
    """Time between two looks: how long a value outlives its token's expiry at most, while
    Postgres and the keys are there."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """Tokens in one transaction."""


class TracingSettings(_Section):
    """Traces to an OpenTelemetry collector; there are none without this section."""

    endpoint: Annotated[str, AfterValidator(_origin)]
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
    log: LogSettings = LogSettings()
    tracing: TracingSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Settings:
        server = self.server
        if self.jwt and self.jwt.port in (server.port, server.health_port, server.metrics_port):
            raise ValueError("jwt.port must differ from the ports of the section server")
        return self


def load_settings(path: Path) -> Settings:
    """Reads the settings file.

    Raises:
        ConfigError: the file is missing, no TOML, or names a key or value wrongly; the
            message has a line per mistake with its key and remedy, never a value.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; write one from deploy/server.toml") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    try:
        return Settings.model_validate(tree, context={"directory": path.absolute().parent})
    except ValidationError as error:
        problems = (
            _problem(item["loc"], item["type"], item["msg"])
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems)) from None


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in loc)
    if kind == "missing":
        return f"{key}: is missing; set it"
    if kind == "extra_forbidden":
        known = _known_keys(loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    told = message.removeprefix("Value error, ")
    return f"{key}: {told}" if key else told


def _known_keys(section: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in section:
        if isinstance(part, int):
            continue  # an item of a list, whose model the list's key has led to
        inner = _section_of(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)


def _section_of(annotation: object) -> type[BaseModel] | None:
    """Returns the section that a key holds: itself, optional, or as a list."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def read_secret(path: Path, key: str) -> str:
    """Reads a secret, without the white space around it.

    Args:
        path: the file.
        key: the setting that names it, for the error.

    Raises:
        ConfigError: the file is missing, empty, or readable by others than its owner.
    """
    return _read(path, key, 0o077, "is readable by others; chmod 600 it")


def read_projected_token(path: Path, key: str) -> str:
    """Reads a token that an orchestrator keeps in a file and replaces before it ends.

    Who may read it is the kubelet's choice, not ours: 0600 for the pod's own user, 0640
    where the pod has an fsGroup, 0644 where it has neither, on a volume of the pod's alone.
    So reading is nobody's business here. Writing is: whoever can replace the token decides
    which account the service logs in with.

    Raises:
        ConfigError: the file is missing, empty, or others than its owner can write it.
    """
    return _read(path, key, 0o022, "can be written by others; only its owner may")


def _read(path: Path, key: str, forbidden: int, complaint: str) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{key}: {path} is not a regular file")
            if mode & forbidden:
                raise ConfigError(f"{key}: {path} {complaint}")
            secret = file.read(_MAX_SECRET_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {path} is not text") from None
    if not secret:
        raise ConfigError(f"{key}: {path} is empty")
    return secret
