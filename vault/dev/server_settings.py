"""The settings file of the development server; it holds no secret, only paths of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vault.dev.authority import Authority
from vault.dev.issuer import IssuerSettings
from vault.dev.openbao import AppRoleFiles, DevOpenBao
from vault.dev.ports import LOOPBACK, is_free, persistent_port, saved_port
from vault.dev.postgres import DATABASE, SERVICE, EmbeddedPostgres
from vault.errors import ConfigError

__all__ = ["Ports", "choose_ports", "render"]

_Section = Mapping[str, str | int | Sequence[str]]


class Ports(NamedTuple):
    """The loopback ports of the development server."""

    service: int
    health: int
    metrics: int
    jwt: int
    issuer: int


def choose_ports(
    directory: Path, service: int | None, report: Callable[[str], None] = lambda _: None
) -> Ports:
    """Returns the ports of the start before where they are free; reports which are not.

    Raises ConfigError where the port asked for is taken.
    """
    if service is not None and not is_free(service):
        raise ConfigError(f"port {service} is taken: choose another, or leave it out")

    def choose(what: str, name: str, preferred: int) -> int:
        file = directory / f"{name}_port"
        wanted, found = saved_port(file, preferred), persistent_port(file, preferred)
        if found != wanted:
            report(f"Port {wanted} is another program's: {what} is at {LOOPBACK}:{found}")
        return found

    return Ports(
        service or choose("the service", "service", 50051),
        choose("health", "health", 50052),
        choose("the metrics page", "metrics", 9464),
        choose("the service for callers with a JWT", "jwt", 50053),
        choose("the issuer, where people log in,", "issuer", 50054),
    )


def render(
    ports: Ports,
    trust_domain: str,
    policy: Path,
    authority: Authority,
    postgres: EmbeddedPostgres,
    openbao: DevOpenBao,
    role: AppRoleFiles,
    issuers: Sequence[IssuerSettings],
    *,
    workers: int = 1,
) -> str:
    """Returns the TOML of the development server's settings."""
    certificate = authority.issue_server("server")
    sections: Mapping[str, _Section] = {
        "server": {
            "host": LOOPBACK,
            "port": ports.service,
            "health_host": LOOPBACK,
            "health_port": ports.health,
            "metrics_host": LOOPBACK,
            "metrics_port": ports.metrics,
            "cert": str(certificate.cert),
            "key": str(certificate.key),
            "client_ca": str(authority.certificate_path),
            "trust_domain": trust_domain,
            "workers": workers,
        },
        "database": {
            "url": f"postgresql://{SERVICE}@{LOOPBACK}:{postgres.port}/{DATABASE}",
            "password_file": str(postgres.password_file(SERVICE)),
        },
        "keys": {"address": openbao.address, "ca": str(openbao.ca), "key_name": role.key_name},
        "keys.auth": {
            "method": "approle",
            "role_id_file": str(role.role_id_file),
            "secret_id_file": str(role.secret_id_file),
        },
        "policy": {"path": str(policy)},
        "jwt": {"host": LOOPBACK, "port": ports.jwt},
    }
    head = "# Written by `tokenvault dev` at every start; changes here are lost.\n"
    plain = "".join(_section(f"[{name}]", keys) for name, keys in sections.items())
    # Last: what follows a list of tables belongs to its last item.
    listed = "".join(_section("[[jwt.issuers]]", each.as_section()) for each in issuers)
    return head + plain + listed


def _section(head: str, keys: _Section) -> str:
    # A JSON string without escapes for other scripts is a TOML basic string too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join(["", head, *lines, ""])
