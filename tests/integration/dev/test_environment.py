"""The whole of ``tokenvault dev``: one process tree, one directory."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
import requests
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from vault.client import CallError, Client, ClientJwt, ClientTls
from vault.dev.deployed_files import deployed_file
from vault.dev.environment import DevEnvironment
from vault.dev.openbao import DevOpenBao
from vault.dev.ports import LOOPBACK
from vault.dev.server_settings import Ports, choose_ports
from vault.errors import ConfigError, PolicyError, SetupError
from vault.server.server import serving

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environment") / "dev"


@pytest.fixture(scope="module")
def environment(directory: Path) -> Iterator[DevEnvironment]:
    with DevEnvironment(directory) as running:
        yield running


def client(directory: Path, role: str) -> Client:
    """A caller who knows nothing but the directory."""
    found = json.loads((directory / "dev.json").read_text())
    files = found["clients"][role]
    tls = ClientTls(Path(found["ca"]), Path(files["cert"]), Path(files["key"]))
    return Client(found["address"], tls)


def processes_of(directory: Path) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (process / "cmdline").read_bytes():
                found.append(process)
        except OSError:
            continue
    return found


def test_every_role_can_call(environment: DevEnvironment, directory: Path) -> None:
    with client(directory, "pipeline") as caller:
        (token,) = caller.tokenize("card_number", [CARD]).values
    assert token != CARD
    with client(directory, "fraud_analyst") as caller:
        assert caller.detokenize("card_number", [token]).values == [CARD]
    with client(directory, "support") as caller:
        (seen,) = caller.detokenize("card_number", [token]).values
        assert seen is not None
        assert seen != CARD
        assert seen.endswith("1111")
    assert set(environment.clients) >= {"auditor", "steward", "restore_pipeline"}


def test_every_role_can_call_with_a_token(environment: DevEnvironment, directory: Path) -> None:
    found = json.loads((directory / "dev.json").read_text())
    seen = {}
    with client(directory, "pipeline") as caller:
        (token,) = caller.tokenize("card_number", [CARD]).values
    for role, files in found["clients"].items():
        path = Path(files["token"])
        assert path.stat().st_mode & 0o777 == 0o600
        with Client(found["jwt_address"], ClientJwt(Path(found["ca"]), path)) as caller:
            try:
                seen[role] = caller.detokenize("card_number", [token]).values
            except CallError as error:
                seen[role] = [error.reason]
    assert seen.pop("fraud_analyst") == seen.pop("restore_pipeline") == [CARD]
    assert seen.pop("support") == ["**** **** **** 1111"]
    assert list(seen.values()) == [["DENIED"]] * len(seen)


def test_a_person_logs_in_and_the_audit_names_them(
    environment: DevEnvironment, directory: Path, tmp_path: Path
) -> None:
    found = json.loads((directory / "dev.json").read_text())
    command = Path(sys.executable).parent / "tokenvault"
    options: dict[str, Any] = {
        "cwd": tmp_path,
        "env": {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        "stdout": subprocess.PIPE,
        "text": True,
    }
    with subprocess.Popen([command, "login", "ann", "--dev", directory], **options) as login:
        assert login.stdout
        code = login.stdout.readline().strip().rpartition("=")[2]
        form = {"user_code": code, "person": "ann", "role": "auditor", "decision": "approve"}
        page = f"{found['issuer']['address']}/device"
        assert requests.post(page, form, verify=found["ca"], timeout=60).ok
        login.stdout.read()
    assert login.returncode == 0
    tail = ["audit", "tail", "--login", "ann", "--dev", str(directory), "--limit", "100"]
    subprocess.run([command, *tail], **options, check=True)
    done = subprocess.run([command, *tail], **options, check=True)
    assert "#ann  person=ann@idp.example.org  TailAudit" in done.stdout
    # The tokens of roles are workloads'.
    assert "dev-pipeline  person=" not in done.stdout


def test_the_directory_is_for_its_owner_alone(environment: DevEnvironment, directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    files = [path for path in directory.rglob("*") if path.is_file() and "data" not in path.parts]
    # Certificates are public, and lie behind 0700 all the same.
    assert {path for path in files if path.stat().st_mode & 0o077} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_secret_is_in_an_argument_or_the_environment(
    environment: DevEnvironment, directory: Path
) -> None:
    names = ["*.password", "unseal.key", "root.token", "role_id", "secret_id"]
    secrets = [path.read_bytes().strip() for name in names for path in directory.rglob(name)]
    assert len(secrets) == 7
    found = processes_of(directory)
    assert len(found) >= 6
    for process in found:
        shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert not any(secret in shown for secret in secrets)
    for log in directory.rglob("*.log"):
        assert not any(secret in log.read_bytes() for secret in secrets), log
    settings = environment.settings.read_bytes()
    assert not any(secret in settings for secret in secrets)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_everything_listens_on_loopback(environment: DevEnvironment, directory: Path) -> None:
    inodes = set()
    for process in processes_of(directory):
        for descriptor in (process / "fd").glob("*"):
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            inodes.add(target.removeprefix("socket:[").rstrip("]"))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                listening.append(words[1].split(":")[0])
    assert len(listening) >= 6
    # The second is 127.0.0.1 as gRPC listens on it, mapped into IPv6.
    assert set(listening) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_a_second_one_in_the_directory_is_refused(
    environment: DevEnvironment, directory: Path
) -> None:
    with pytest.raises(ConfigError, match=f"as process {os.getpid()}"):
        DevEnvironment(directory).start()
    environment.check()
    assert environment.description.exists()


def test_serve_refuses_its_certificates(environment: DevEnvironment) -> None:
    from vault.config import load_settings

    with (
        pytest.raises(ConfigError, match="tokenvault dev"),
        serving(load_settings(environment.settings)),
    ):
        pytest.fail("it serves")


def test_an_installation_that_took_the_ports_meanwhile_does_not_answer_for_it(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = DevEnvironment(private_tmp / "dev")
    said: list[str] = []
    environment._report = said.append
    thief = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("readiness", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, thief)
    stolen: list[str] = []
    setup = DevOpenBao.setup

    def steal(openbao: DevOpenBao) -> object:
        stolen.extend([environment.address, environment.health])
        for address in stolen:
            thief.add_insecure_port(address)
        thief.start()
        return setup(openbao)

    monkeypatch.setattr(DevOpenBao, "setup", steal)
    try:
        with environment:
            assert environment.address not in stolen
            with client(environment.directory, "pipeline") as caller:
                assert caller.tokenize("card_number", [CARD]).errors == {}
            environment.check()
    finally:
        thief.stop(0)
    for address in stolen:
        assert any(f"Port {address.rpartition(':')[2]} is another program's" in s for s in said)


def test_a_taken_port_is_refused(environment: DevEnvironment, private_tmp: Path) -> None:
    taken = int(environment.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"port {taken} is taken"):
        DevEnvironment(private_tmp / "dev", port=taken).start()


@pytest.mark.parametrize("text", [None, "version: 1\nfields: {a: {format: nothing}}\n"])
def test_a_broken_policy_starts_nothing(private_tmp: Path, text: str | None) -> None:
    policy = private_tmp / "policy.yaml"
    if text is not None:
        policy.write_text(text)
    with pytest.raises(PolicyError, match=r"policy\.yaml"):
        DevEnvironment(private_tmp / "dev", policy=policy).start()
    assert not (private_tmp / "dev").exists()


def run_in_background(
    directory: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    tokenvault = str(Path(sys.executable).parent / "tokenvault")
    command = [tokenvault, "dev", "--dir", str(directory), *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    deadline = time.monotonic() + 60
    while not (directory / "dev.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def await_nothing_left(directory: Path) -> None:
    deadline = time.monotonic() + 30
    while processes_of(directory):
        assert time.monotonic() < deadline, processes_of(directory)
        time.sleep(0.1)


# What people have in their shells for other databases, key servers, proxies and Pythons.
NOWHERE = "http://127.0.0.1:1"
SHELL = {
    "PGHOST": "db.example.org",
    "PGHOSTADDR": "127.0.0.9",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGDATABASE": "elsewhere",
    "PGPASSWORD": "another server's",
    "PGPASSFILE": "/nowhere",
    "PGSERVICE": "not-defined",
    "PGOPTIONS": "-c no_such_setting=1",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nowhere",
    "PGCHANNELBINDING": "require",
    "PGREQUIREAUTH": "md5",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGTZ": "No/Where",
    "PGDATA": "/nowhere",
    **{f"{kind}_ADDR": NOWHERE for kind in ("VAULT", "BAO")},
    **{f"{kind}_TOKEN": "hvs.of-another" for kind in ("VAULT", "BAO")},
    **{f"{kind}_NAMESPACE": "team" for kind in ("VAULT", "BAO")},
    **{f"{kind}_CACERT": "/nowhere" for kind in ("VAULT", "BAO")},
    **{f"{kind}_HTTP_PROXY": NOWHERE for kind in ("VAULT", "BAO")},
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "grpc_proxy": NOWHERE,
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "ALL_PROXY": NOWHERE,
    "no_proxy": "",
    "REQUESTS_CA_BUNDLE": "/nowhere",
    "SSL_CERT_FILE": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "PYTHONSTARTUP": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONHASHSEED": "0",
    "PYTHONOPTIMIZE": "2",
    "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE,
    "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
}


def test_what_a_shell_says_of_other_servers_changes_nothing(private_tmp: Path) -> None:
    directory = private_tmp / "dev"
    process = run_in_background(directory, environment=SHELL)
    try:
        source = private_tmp / "in.csv"
        source.write_text(f"card\n{CARD}\n")
        words = ["tokenize", source, "-c", "card=card_number", "-o", private_tmp / "out.csv"]
        for command in ([*words, "--role", "pipeline"], ["audit", "verify", "--role", "auditor"]):
            done = subprocess.run(
                [Path(sys.executable).parent / "tokenvault", *command, "--dev", directory],
                env={**os.environ, **SHELL},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_issuers_port_that_another_was_quicker_to_take(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as quicker:
        quicker.bind((LOOPBACK, 0))
        quicker.listen()
        taken = quicker.getsockname()[1]

        def chosen(directory: Path, service: int | None, report: Callable[[str], None]) -> Ports:
            return choose_ports(directory, service, report)._replace(issuer=taken)

        monkeypatch.setattr("vault.dev.environment.choose_ports", chosen)
        with DevEnvironment(private_tmp / "dev") as running:
            assert running.issuer_address != f"https://{LOOPBACK}:{taken}"
            found = json.loads((private_tmp / "dev" / "dev.json").read_text())
            assert found["issuer"]["address"] == running.issuer_address
            url = f"{running.issuer_address}/.well-known/openid-configuration"
            assert requests.get(url, verify=found["ca"], timeout=10).ok


def test_stops_goes_on_and_leaves_nothing(private_tmp: Path) -> None:
    directory = private_tmp / "dev"
    process = run_in_background(directory)
    with client(directory, "pipeline") as caller:
        (token,) = caller.tokenize("card_number", [CARD]).values
    before = json.loads((directory / "dev.json").read_text())
    # It serves before it says so, and is interrupted at its start until then.
    assert process.stdout is not None
    while b"Try in another terminal" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert not (directory / "dev.json").exists()
    await_nothing_left(directory)

    process = run_in_background(directory)
    assert json.loads((directory / "dev.json").read_text()) == before
    with client(directory, "pipeline") as caller:
        assert caller.tokenize("card_number", [CARD]).values == [token]
    with client(directory, "fraud_analyst") as caller:
        assert caller.detokenize("card_number", [token]).values == [CARD]
    # Killed without a chance to clean up: still nothing stays.
    process.kill()
    process.communicate(timeout=30)
    await_nothing_left(directory)


def test_a_changed_policy_that_is_refused_is_told_on_the_console(private_tmp: Path) -> None:
    directory, policy = private_tmp / "dev", private_tmp / "policy.yaml"
    good = deployed_file("policy.yaml").read_text()
    policy.write_text(good)
    process = run_in_background(directory, "--policy", str(policy))
    stdout = process.stdout
    assert stdout is not None
    told: list[str] = []
    reader = Thread(target=lambda: told.extend(line.decode() for line in stdout), daemon=True)
    reader.start()

    def await_told(text: str) -> None:
        deadline = time.monotonic() + 15
        while text not in "".join(told):
            assert time.monotonic() < deadline, told
            time.sleep(0.05)

    policy.write_text(good.replace("format: card", "format: cart"))
    await_told("Policy REFUSED")
    await_told("did you mean 'card'")
    tokenvault = Path(sys.executable).parent / "tokenvault"
    shown = subprocess.run(
        [tokenvault, "policy", "show", "--dev", directory], capture_output=True, text=True
    )
    assert shown.returncode == 1
    assert "is refused" in shown.stdout
    assert "did you mean 'card'" in shown.stdout
    policy.write_text(f"{good}# newer\n")
    await_told(" is in force.")
    checked = subprocess.run(
        [tokenvault, "policy", "check", policy, "--server", "--dev", directory],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert "the service has it in force since" in checked.stdout
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    reader.join(10)
    stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_end_of_one_program_ends_all_and_says_which(private_tmp: Path) -> None:
    directory = private_tmp / "dev"
    environment = DevEnvironment(directory)
    environment.start()
    try:
        environment.check()
        (server,) = (
            process
            for process in processes_of(directory)
            if b"-m\0vault.dev.server" in (process / "cmdline").read_bytes()
            and b"child_guard.py" not in (process / "cmdline").read_bytes()
        )
        os.kill(int(server.name), signal.SIGKILL)
        deadline = time.monotonic() + 10
        with pytest.raises(SetupError, match="The service ended by itself with 137"):
            while time.monotonic() < deadline:
                environment.check()
                time.sleep(0.05)
    finally:
        environment.close()
    await_nothing_left(directory)
