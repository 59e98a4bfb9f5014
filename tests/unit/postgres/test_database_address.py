from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine

from vault.errors import ConfigError
from vault.postgres.address import psycopg_url


def options(url: str) -> dict[str, object]:
    """What the driver is called with."""
    engine = create_engine(psycopg_url(url, "s3cret"))
    args, found = engine.dialect.create_connect_args(engine.url)
    assert list(args) == []
    return dict(found)


def test_one_host_is_left_as_it_is() -> None:
    found = options("postgresql://user@db:5433/vault?sslmode=verify-full")
    assert (found["host"], found["port"], found["dbname"]) == ("db", 5433, "vault")
    assert "target_session_attrs" not in found


@pytest.mark.parametrize(
    ("hosts", "host", "port"),
    [
        ("db1:5432,db2:5433", "db1,db2", "5432,5433"),
        ("db1,db2", "db1,db2", ","),
        ("db1,db2:5433", "db1,db2", ",5433"),
        ("[::1]:5432,10.0.0.1:5433,c:1", "::1,10.0.0.1,c", "5432,5433,1"),
    ],
)
def test_several_hosts_mean_what_they_mean_to_libpq(hosts: str, host: str, port: str) -> None:
    found = options(f"postgresql://user@{hosts}/vault?sslmode=verify-full")
    assert (found["host"], found["port"]) == (host, port)
    assert (found["user"], found["password"], found["dbname"]) == ("user", "s3cret", "vault")
    assert found["sslmode"] == "verify-full"
    assert found["target_session_attrs"] == "read-write"
    theirs = conninfo_to_dict(f"postgresql://user@{hosts}/vault")
    assert (theirs["host"], theirs.get("port", ",")) == (host, port)


def test_the_named_attribute_stays() -> None:
    found = options("postgresql://user@a:1,b:2/vault?target_session_attrs=primary")
    assert found["target_session_attrs"] == "primary"


@pytest.mark.parametrize(
    "hosts", ["a:1,", ",b:2", "a:1,b:x", "a:1,b:2:3", "hunter2:1,[b:2"], ids=range(5)
)
def test_a_list_that_is_none_is_refused_without_being_quoted(hosts: str) -> None:
    with pytest.raises(ConfigError, match="write postgresql://") as failure:
        psycopg_url(f"postgresql://user@{hosts}/vault")
    assert "hunter2" not in str(failure.value)
