"""Whose health `tokenvault health` asks for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import typer
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vault.cli.dev_directory import find_health
from vault.cli.health import health


@pytest.fixture
def server() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = grpc_health.HealthServicer()
    servicer.set("readiness", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0)


def describe(directory: Path, address: object, process: int | str) -> Path:
    directory.mkdir()
    (directory / "dev.json").write_text(json.dumps({"health": address}))
    (directory / "lock").write_text(f"{process}\n")
    return directory


def test_the_environment_of_this_directory_is_asked_and_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    server: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    describe(tmp_path / ".tokenvault", server, os.getpid())
    # Not the installation that got the usual port: this one is not ready, and says so.
    with pytest.raises(typer.Exit) as ended:
        health()
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out == "NOT_SERVING\n"


def test_a_directory_can_be_named_and_an_address_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    directory = describe(tmp_path / "dev", "127.0.0.1:1", os.getpid())
    assert find_health(directory) == "127.0.0.1:1"
    with pytest.raises(typer.Exit) as ended:
        health(address=server, dev=directory)
    assert ended.value.exit_code == 1
    monkeypatch.chdir(tmp_path)
    assert find_health(None) is None


def test_an_environment_that_does_not_run_is_not_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tokenvault").mkdir()
    with pytest.raises(typer.BadParameter, match=r"is not there: start 'tokenvault dev"):
        find_health(None)
    gone = subprocess.Popen(["true"])
    gone.wait()
    for process in (gone.pid, "", "x", -1 << 70):
        directory = describe(tmp_path / f"killed{process}", server, process)
        with pytest.raises(typer.BadParameter, match="was left by an environment"):
            find_health(directory)


@pytest.mark.parametrize("address", [None, 5, ["x"]])
def test_a_broken_description_is_refused(tmp_path: Path, address: object) -> None:
    with pytest.raises(typer.BadParameter, match="is not what 'tokenvault dev' writes"):
        find_health(describe(tmp_path / "dev", address, os.getpid()))
