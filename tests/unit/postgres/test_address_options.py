"""The options of the database's address: typos are refused, weak ones are told."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from vault.errors import ConfigError
from vault.postgres.address import psycopg_url
from vault.postgres.address_options import warn_of_weakness, weaknesses

DB = "postgresql://user@db.example.org/vault"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("sslmode=verifyfull", "sslmode: did you mean verify-full?; allowed: disable, allow"),
        ("sslmode=hunter2", "sslmode: allowed: disable"),
        ("sslmod=verify-full", "did you mean sslmode?"),
        ("hunter2=1", "there is no option of that name that libpq knows"),
        ("target_session_attrs=readwrite", "did you mean read-write?"),
        ("connect_timeout=5s", "connect_timeout: write a whole number"),
        ("sslrootcert=/nosuch/ca.pem", "sslrootcert: /nosuch/ca.pem: No such file"),
        ("sslkey=/nosuch/key.pem", "sslkey: /nosuch/key.pem"),
        ("host=a,b&port=5432,99999", "a port is 1 to 65535"),
    ],
)
def test_a_typo_is_refused_with_what_was_meant(options: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        psycopg_url(f"{DB}?{options}")
    assert told in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match="port"):
        psycopg_url(f"postgresql://user@db:{port}/vault")


@pytest.mark.parametrize(
    "options",
    [
        "sslmode=verify-full&sslrootcert=system",
        "sslmode=verify-full&channel_binding=require&application_name=x",
        "prepare_threshold=0",
    ],
)
def test_what_libpq_knows_is_taken(options: str) -> None:
    psycopg_url(f"{DB}?{options}")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"{DB}?sslmode=disable", "sslmode=disable sends everything in the clear"),
        (f"{DB}?sslmode=prefer", "goes on without TLS where there is none"),
        (DB, "without sslmode in it"),
        (f"{DB}?sslmode=require", "does not look whose certificate"),
        (f"{DB}?sslmode=verify-ca", "any host"),
        ("postgresql://user@127.0.0.1:1,10.0.0.7:1/vault?sslmode=disable", "10.0.0.7 is not"),
        ("postgresql://user@/vault?host=db.example.org", "db.example.org is not this machine"),
    ],
)
def test_a_weak_way_beyond_this_machine_is_told(url: str, told: str) -> None:
    (found,) = weaknesses(psycopg_url(url))
    assert told in found


@pytest.mark.parametrize(
    "url",
    [
        f"{DB}?sslmode=verify-full",
        "postgresql://user@localhost/vault?sslmode=disable",
        "postgresql://user@127.0.0.1/vault",
        "postgresql://user@[::1]/vault",
        "postgresql://user@/vault?host=/var/run/postgresql",
        "postgresql://user@/vault",
    ],
)
def test_this_machine_and_verified_hosts_are_not(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    assert list(weaknesses(psycopg_url(url))) == []


def test_the_environment_counts_as_it_does_to_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert list(weaknesses(make_url(DB))) == []
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert "sslmode=disable" in next(weaknesses(make_url(DB)))


def test_the_warning_has_no_password() -> None:
    with capture_logs() as logs:
        warn_of_weakness(psycopg_url(DB, "hunter2"))
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert "hunter2" not in str(entry)
