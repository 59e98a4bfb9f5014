"""The restore drill: the database beside a newer key server, the reverse, and both.

The commands are those of docs/operations.md, against a real Postgres and a real OpenBao.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from vault.dev.authority import Authority
from vault.dev.openbao import DevOpenBao, find_binary
from vault.dev.postgres import SERVICE, Database, EmbeddedPostgres, find_binaries

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

BEFORE = ["4539578763621486", "5500005555555559"]
LOST = ["4111111111111111", "340000000000009"]
MAILS = ["maria@example.com", "bo@example.com"]
KEY = "transit/keys/tokenvault"

Serve = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevOpenBao]:
    """A key server of this module's own: a snapshot is of the whole server."""
    directory = tmp_path_factory.mktemp("keys")
    with DevOpenBao(directory / "openbao", Authority(directory / "pki")) as openbao:
        yield openbao


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Another Postgres, which dumps are restored to."""
    directory = tmp_path_factory.mktemp("elsewhere")
    with EmbeddedPostgres(directory, settings={"fsync": "off"}) as server:
        yield server


def dump(database: Database, path: Path) -> Path:
    run_pg("pg_dump", "--format=custom", f"--file={path}", database.superuser_conninfo)
    return path


def restore(dumped: Path, target: Database) -> None:
    run_pg("pg_restore", "--exit-on-error", f"--dbname={target.superuser_conninfo}", str(dumped))


def run_pg(program: str, *arguments: str) -> None:
    subprocess.run([find_binaries() / program, *arguments], check=True, capture_output=True)


def snapshot(openbao: DevOpenBao, *arguments: str) -> None:
    environment = {
        **os.environ,
        "BAO_ADDR": openbao.address,
        "BAO_CACERT": str(openbao.ca),
        "BAO_TOKEN": openbao.admin()._adapter.token or "",
    }
    command = [str(find_binary()), "operator", "raft", "snapshot", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment)


def save_keys(openbao: DevOpenBao, path: Path) -> Path:
    snapshot(openbao, "save", str(path))
    return path


def restore_keys(openbao: DevOpenBao, path: Path) -> None:
    snapshot(openbao, "restore", str(path))
    openbao.unseal()


def at(postgres: EmbeddedPostgres, database: str) -> dict[str, dict[str, str]]:
    """The settings of a server on a restored database."""
    url = f"postgresql://{SERVICE}@127.0.0.1:{postgres.port}/{database}"
    return {"database": {"url": url, "password_file": str(postgres.password_file(SERVICE))}}


def data_keys(conninfo: str) -> list[tuple[object, ...]]:
    with psycopg.connect(conninfo) as connection:
        return connection.execute("SELECT * FROM data_keys ORDER BY 1, 2, 3, 4").fetchall()


def tokenize(server: Server, field: str, values: list[str]) -> list[str]:
    with server.client("pipeline") as client:
        column = client.tokenize(field, values)
    assert column.errors == {}
    return [token or "" for token in column.values]


def restored_values(server: Server, field: str, tokens: list[str]) -> list[str | None]:
    with server.client("restore-pipeline") as client:
        return list(client.detokenize(field, tokens).values)


def refused(server: Server, field: str, tokens: list[str]) -> list[str]:
    with server.client("restore-pipeline") as client:
        return [error.reason for error in client.detokenize(field, tokens).errors.values()]


def key_versions(server: Server, tokens: list[str]) -> list[int]:
    with server.client("steward") as client:
        found = client.describe("card_number", tokens)
    return [each.key_version for each in found.values if each is not None]


def test_a_dump_restored_beside_a_newer_key_server(
    site: Site,
    elsewhere: EmbeddedPostgres,
    start_server: StartServer,
    serve: Serve,
    tmp_path: Path,
) -> None:
    first = start_server("first")
    kept = tokenize(first, "card_number", BEFORE)
    dumped = dump(site.database, tmp_path / "dump")
    lost = tokenize(first, "card_number", LOST)
    lost_mails = tokenize(first, "email", MAILS)
    site.openbao.admin().write(f"{KEY}/rotate")
    first.stop()

    target = elsewhere.create_database("restored")
    restore(dumped, target)
    second = start_server("second", at(elsewhere, "restored"))
    assert restored_values(second, "card_number", kept) == BEFORE
    # What was issued after the dump is gone, and says so.
    assert refused(second, "card_number", lost) == ["TOKEN_NOT_FOUND"] * 2
    assert refused(second, "email", lost_mails) == ["TOKEN_NOT_FOUND"] * 2
    # The same values get the same tokens by FPE, although rows have a new key version.
    assert tokenize(second, "card_number", LOST) == lost
    assert restored_values(second, "card_number", lost) == LOST
    assert key_versions(second, [*kept, *lost]) == [1, 1, 2, 2]
    # Random tokens are new ones.
    assert not set(tokenize(second, "email", MAILS)) & set(lost_mails)
    assert any(line["event"] == "database_restored" for line in second.lines())
    second.stop()

    # The key server no longer opens what the Transit key's first version wrapped.
    site.openbao.admin().write(f"{KEY}/config", {"min_decryption_version": 2})
    before = data_keys(target.superuser_conninfo)
    try:
        refusal = serve("third", at(elsewhere, "restored"), development=True)
    finally:
        site.openbao.admin().write(f"{KEY}/config", {"min_decryption_version": 1})
    assert refusal.returncode != 0
    assert "min_decryption_version is above the version that wrapped it" in refusal.stderr
    assert "wrapped by v1" in refusal.stderr
    assert data_keys(target.superuser_conninfo) == before
    third = start_server("third", at(elsewhere, "restored"))
    assert restored_values(third, "card_number", [*kept, *lost]) == [*BEFORE, *LOST]
    with third.client("auditor") as auditor:
        assert not auditor.verify_audit().findings
    third.stop()


def test_a_key_server_restored_beside_a_newer_database(
    site: Site,
    elsewhere: EmbeddedPostgres,
    start_server: StartServer,
    serve: Serve,
    tmp_path: Path,
) -> None:
    server = start_server("first")
    before = tokenize(server, "card_number", BEFORE)
    old = save_keys(site.openbao, tmp_path / "old")
    dumped = dump(site.database, tmp_path / "dump")
    server.stop()
    # The Transit key is rotated, and data keys are made under its new version.
    site.openbao.admin().write(f"{KEY}/rotate")
    said = subprocess.run(
        ["tokenvault", "keys", "restored", "--config", str(server.settings)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert "servers begin new key versions" in said.stdout
    server.start()
    after = tokenize(server, "card_number", ["6011000990139424"])
    new = save_keys(site.openbao, tmp_path / "new")

    restore_keys(site.openbao, old)
    # A running server has its keys in memory; a new one refuses, and makes none.
    assert restored_values(server, "card_number", after) == ["6011000990139424"]
    server.stop()
    stored = data_keys(site.database.superuser_conninfo)
    refusal = serve("first", {}, development=True)
    assert refusal.returncode != 0
    assert "it was restored from before that version was made" in refusal.stderr
    assert "wrapped by v" in refusal.stderr
    assert data_keys(site.database.superuser_conninfo) == stored

    # Both from before: they fit.
    target = elsewhere.create_database("both")
    restore(dumped, target)
    both = start_server("both", at(elsewhere, "both"))
    assert restored_values(both, "card_number", before) == BEFORE
    assert refused(both, "card_number", after) == ["TOKEN_NOT_FOUND"]
    both.stop()

    # The later backup of the key server brings everything back.
    restore_keys(site.openbao, new)
    server.start()
    assert restored_values(server, "card_number", [*before, *after]) == [
        *BEFORE,
        "6011000990139424",
    ]
