from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, create_engine, text

from vault.dev import cluster, postgres, unprivileged
from vault.dev.accessible_binaries import accessible_binaries
from vault.dev.postgres import OWNER, SERVICE, EmbeddedPostgres
from vault.errors import SetupError


def query(url: URL, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def test_a_second_start_goes_on_with_the_same_data(private_tmp: Path) -> None:
    with EmbeddedPostgres(private_tmp) as server:
        port, url = server.port, server.owner_url
        query(url, "CREATE TABLE kept AS SELECT 42 AS n")
    with EmbeddedPostgres(private_tmp) as server:
        assert (server.port, server.owner_url) == (port, url)
        assert query(server.owner_url, "SELECT n FROM kept") == 42
    assert server.exit_code() is None


def test_roles_are_what_they_say(postgres_server: EmbeddedPostgres) -> None:
    assert query(postgres_server.owner_url, "SELECT current_user") == OWNER
    assert query(postgres_server.service_url, "SELECT current_user") == SERVICE
    rights = "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = '{}'"
    for role in (OWNER, SERVICE):
        assert query(postgres_server.service_url, rights.format(role)) is False
    with pytest.raises(Exception, match="permission denied"):
        query(postgres_server.service_url, "CREATE TABLE mine (n int)")


def test_a_password_is_needed_and_in_no_url(postgres_server: EmbeddedPostgres) -> None:
    url = postgres_server.service_url
    password = postgres_server.password_file(SERVICE).read_text()
    assert url.password is None
    assert password not in url.render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            host=url.host, port=url.port, user=SERVICE, dbname=url.database, password="wrong"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_password_is_in_an_argument_or_the_environment(private_tmp: Path) -> None:
    with EmbeddedPostgres(private_tmp) as server:
        roles = (OWNER, SERVICE, "postgres")
        passwords = [server.password_file(role).read_bytes() for role in roles]
        found = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            found += str(private_tmp).encode() in shown
            assert not any(password in shown for password in passwords)
        assert found >= 2
        log = (private_tmp / "postgres.log").read_bytes()
        assert not any(password in log for password in passwords)


def test_files_are_for_their_owner_alone(private_tmp: Path) -> None:
    with EmbeddedPostgres(private_tmp / "postgres"):
        home = private_tmp / "postgres"
        assert home.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
        assert {mode for name, mode in modes.items() if name != "data"} == {0o600}
        assert modes["data"] == 0o700


def test_a_lock_left_by_a_killed_server_is_no_hindrance(private_tmp: Path) -> None:
    with EmbeddedPostgres(private_tmp):
        pass
    # Our own process number: alive, and not Postgres.
    (private_tmp / "data/postmaster.pid").write_text(f"{os.getpid()}\n{private_tmp}/data\n")
    with EmbeddedPostgres(private_tmp) as server:
        assert query(server.owner_url, "SELECT 1") == 1


def test_a_running_server_is_not_started_twice(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_STALE_TIMEOUT", 0.3)
    with (
        EmbeddedPostgres(private_tmp) as server,
        pytest.raises(SetupError, match="another Postgres"),
    ):
        EmbeddedPostgres(private_tmp).start()
    assert server.exit_code() is None


def test_data_of_another_version_is_refused(private_tmp: Path) -> None:
    with EmbeddedPostgres(private_tmp):
        pass
    (private_tmp / "data/PG_VERSION").write_text("9\n")
    with pytest.raises(SetupError, match="Postgres 9"):
        EmbeddedPostgres(private_tmp).start()


def test_an_initdb_that_was_cut_short_is_begun_again(private_tmp: Path) -> None:
    (private_tmp / "data.new").mkdir(mode=0o700)
    (private_tmp / "data.new/PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(private_tmp) as server:
        assert query(server.owner_url, "SELECT 1") == 1


def test_a_killed_parent_leaves_no_server(private_tmp: Path) -> None:
    program = (
        "import os, pathlib\n"
        "from vault.dev.postgres import EmbeddedPostgres\n"
        f"EmbeddedPostgres(pathlib.Path({str(private_tmp)!r})).start()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 15
    while (private_tmp / "data/postmaster.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with EmbeddedPostgres(private_tmp) as server:
        assert query(server.owner_url, "SELECT 1") == 1


def test_a_password_of_another_installation_is_said_at_once(private_tmp: Path) -> None:
    with EmbeddedPostgres(private_tmp):
        pass
    for name in ("postgres.password", "postgres.pgpass"):
        (private_tmp / name).unlink()
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"does not take the password in .*postgres\.password"):
        EmbeddedPostgres(private_tmp).start()
    assert time.monotonic() - began < 30


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_without_namespaces_runs_it_as_another_user(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where that user can reach it: pytest's own directories are root's alone.
    foreign = Path("/var/tmp") / f"tokenvault-test-{os.getpid()}"
    monkeypatch.setattr(cluster, "OTHER_USERS_HOME", foreign)
    identity = unprivileged.system_user()
    try:
        for _ in range(2):
            with EmbeddedPostgres(private_tmp, identity=identity) as server:
                assert query(server.owner_url, "SELECT 1") == 1
                owner = server._cluster.data.stat().st_uid
                assert owner == identity.user
    finally:
        shutil.rmtree(foreign)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_without_namespaces_in_a_directory_of_its_own_copies_the_programs(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = Path("/var/tmp") / f"tokenvault-test-{os.getpid()}"
    monkeypatch.setattr(cluster, "OTHER_USERS_HOME", foreign)
    package = postgres.find_binaries().parent.parent
    installed = private_tmp / "checkout" / package.name / "pginstall"
    shutil.copytree(postgres.find_binaries().parent, installed, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, private_tmp / "checkout" / libraries.name, symlinks=True)
    (private_tmp / "checkout").chmod(0o700)
    monkeypatch.setattr(postgres, "find_binaries", lambda: installed / "bin")
    monkeypatch.chdir(private_tmp / "checkout")
    identity = unprivileged.system_user()
    try:
        for _ in range(2):
            with EmbeddedPostgres(private_tmp / "data", identity=identity) as server:
                assert query(server.owner_url, "SELECT 1") == 1
        (copy,) = foreign.glob("postgres-*")
        assert copy.stat().st_uid == 0
        assert not [
            path
            for path in copy.rglob("*")
            if path.lstat().st_mode & 0o022 and not path.is_symlink()
        ]
        assert list(foreign.glob(".postgres-*")) == []
    finally:
        shutil.rmtree(foreign)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_where_no_copy_can_be_made_the_remedy_is_said(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = private_tmp / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(postgres.find_binaries() / "postgres", binaries)
    identity = unprivileged.system_user()
    (private_tmp / "file").touch()
    with pytest.raises(SetupError, match="run this as an ordinary user"):
        accessible_binaries(binaries, identity, private_tmp / "file" / "below")
    with pytest.raises(SetupError, match="run this as an ordinary user"):
        accessible_binaries(binaries, identity, private_tmp / "as-closed")
