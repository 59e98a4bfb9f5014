"""What the image and the compose file do, step by step, without containers.

The wheel is built and unpacked, certificates and passwords are made, a key server is
initialised, the database is migrated as owner, and `tokenvault serve` itself serves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from vault.client import Client, ClientTls
from vault.dev.child import Child
from vault.dev.openbao import find_binary
from vault.dev.ports import persistent_port
from vault.dev.postgres import EmbeddedPostgres, find_binaries

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
COMMAND = "from vault.cli.main import run; run()"


@dataclass
class Stage:
    """The directories that are volumes and images to the compose file."""

    home: Path
    prepared: Path
    installed: Path

    def tokenvault(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-c", COMMAND, *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        temporary = self.home / "run"
        temporary.mkdir(exist_ok=True)
        # The unpacked wheel comes before the work tree.
        return {"PYTHONPATH": str(self.installed), "TMPDIR": str(temporary), "PATH": os.defpath}

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        done = subprocess.run(
            self.tokenvault(*arguments),
            env=self.environment(),
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    home = tmp_path_factory.mktemp("stage")
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *wheel, "--wheel-dir", home, ROOT], check=True, cwd=home)
    (built,) = home.glob("tokenvault_fpe-*.whl")
    installed = home / "installed"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(installed)
    prepared = home / "prepared"
    for _ in range(2):  # a second run changes nothing
        sh(COMPOSE / "prepare.sh", prepared, environment=own_ids())
    return Stage(home, prepared, installed)


def own_ids() -> dict[str, str]:
    me = f"{os.getuid()}:{os.getgid()}"
    return {"SERVICE_ID": me, "POSTGRES_ID": me, "KEYS_ID": me}


def sh(*command: str | Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["sh", *command],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def key_server_address(stage: Stage) -> Iterator[str]:
    """The compose file's HashiCorp Vault configuration, run by an OpenBao."""
    port, cluster = (persistent_port(stage.home / name) for name in ("keys_port", "cluster_port"))
    text = (COMPOSE / "vault.hcl").read_text()
    for old, new in (
        ("/vault/data", str(stage.prepared / "vault-data")),
        ("/vault/tls", str(stage.prepared / "vault")),
        ("0.0.0.0:8200", f"127.0.0.1:{port}"),
        ("https://vault:8200", f"https://127.0.0.1:{port}"),
        ("https://vault:8201", f"https://127.0.0.1:{cluster}"),
        ("disable_mlock", "# disable_mlock"),  # OpenBao has none
    ):
        assert old in text
        text = text.replace(old, new)
    config = stage.home / "vault.hcl"
    config.write_text(text)
    child = Child(
        "key server",
        [str(find_binary()), "server", f"-config={config}"],
        log=stage.home / "vault.log",
    )
    child.start()
    yield f"https://127.0.0.1:{port}"
    child.stop()


@pytest.fixture(scope="module")
def settings(stage: Stage, key_server_address: str, postgres_server: EmbeddedPostgres) -> Path:
    """The compose file's settings, on this machine's ports and paths."""
    service = stage.prepared / "service"
    database = f"evaluation@127.0.0.1:{postgres_server.port}/evaluation"
    ports = [persistent_port(stage.home / f"port{number}") for number in range(3)]
    text = (COMPOSE / "server.toml").read_text()
    for old, new in (
        ("/run/secrets", str(service)),
        ("/etc/tokenvault/policy.yaml", str(stage.installed / "vault/_deploy/policy.yaml")),
        ("tokenvault@postgres:5432/tokenvault", database),
        ("sslmode=verify-full", "sslmode=prefer"),  # the embedded Postgres has no TLS
        ("https://vault:8200", key_server_address),
        ('host = "0.0.0.0"\ncert', f'host = "127.0.0.1"\nport = {ports[0]}\ncert'),
        (
            'metrics_host = "0.0.0.0"',
            f"metrics_port = {ports[1]}\nhealth_port = {ports[2]}",
        ),
    ):
        assert old in text, old
        text = text.replace(old, new)
    path = stage.home / "server.toml"
    path.write_text(text)
    return path


def initialise_keys(stage: Stage, address: str) -> str:
    init = stage.prepared / "init"
    return sh(
        COMPOSE / "vault-init.sh",
        init / "keys",
        stage.prepared / "service",
        environment={
            "BAO_ADDR": address,
            "BAO_CACERT": str(init / "ca.pem"),
            "CLI": str(find_binary()),
            "SETUP": str(stage.installed / "vault/_deploy/hashicorp-vault/setup.sh"),
            "HOME": str(stage.home),
        },
    )


def initialise_database(stage: Stage, postgres: EmbeddedPostgres) -> None:
    """Runs the compose file's script, with other names for the server's two roles."""
    text = (COMPOSE / "postgres-init.sh").read_text()
    text = text.replace("/run/tokenvault", "FILES").replace("tokenvault", "evaluation")
    text = text.replace("FILES", str(stage.prepared / "postgres"))
    script = stage.home / "postgres-init.sh"
    script.write_text(text)
    conninfo = dict(part.split("=", 1) for part in postgres.superuser_conninfo().split())
    sh(
        script,
        environment={
            "PATH": f"{find_binaries()}:{os.defpath}",
            "POSTGRES_USER": conninfo["user"],
            "PGHOST": conninfo["host"],
            "PGPORT": conninfo["port"],
            "PGPASSFILE": conninfo["passfile"],
        },
    )


def test_secrets_are_their_owners_alone(stage: Stage) -> None:
    files = [path for path in stage.prepared.rglob("*") if path.is_file()]
    assert len(files) > 15
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}


def test_the_certificates_are_the_authoritys(stage: Stage) -> None:
    for name in ("postgres/postgres", "vault/vault", "service/server", "clients/pipeline"):
        path = stage.prepared / f"{name}.pem"
        ca = stage.prepared / "authority/ca.pem"
        command = ["openssl", "verify", "-x509_strict", "-CAfile", str(ca), str(path)]
        subprocess.run(command, check=True, capture_output=True)


def test_the_whole_of_it_serves(
    stage: Stage,
    settings: Path,
    key_server_address: str,
    postgres_server: EmbeddedPostgres,
) -> None:
    assert "initialised" in initialise_keys(stage, key_server_address)
    assert not (stage.prepared / "init/keys/root.token").exists()
    assert initialise_keys(stage, key_server_address) == "unsealed\n"
    initialise_database(stage, postgres_server)
    owner = stage.prepared / "owner/owner-password"
    migrate = ["migrate", "--config", str(settings), "--owner", "evaluation_owner"]
    assert "granted to evaluation" in stage.run(*migrate, "--password-file", owner)
    ports = dict(
        line.split(" = ") for line in settings.read_text().splitlines() if "port =" in line
    )
    health = ["health", "--address", f"127.0.0.1:{ports['health_port']}"]
    stage.run(*health, code=4)
    with (stage.home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            stage.tokenvault("serve", "--config", settings),
            env=stage.environment(),
            cwd=stage.home,
            stderr=log,
        )
    try:
        await_readiness(stage, health, server)
        clients = stage.prepared / "clients"
        tls = ClientTls(clients / "ca.pem", clients / "pipeline.pem", clients / "pipeline.key")
        with Client(f"127.0.0.1:{ports['port']}", tls) as client:
            column = client.tokenize("card_number", ["5545634085461876"])
        assert column.errors == {}
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0
    # Nothing was written but into TMPDIR: a port's lock, and no longer the workers' counts.
    left = [path.name for path in (stage.home / "run").iterdir()]
    assert left == [f"tokenvault-{os.geteuid()}-{ports['port']}.lock"]


def await_readiness(stage: Stage, health: list[str], server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        done = subprocess.run(
            stage.tokenvault(*health), env=stage.environment(), capture_output=True, check=False
        )
        if done.returncode == 0:
            assert done.stdout == b"SERVING\n"
            return
        log = (stage.home / "server.log").read_text()
        assert server.poll() is None, log
        assert time.monotonic() < end, log
