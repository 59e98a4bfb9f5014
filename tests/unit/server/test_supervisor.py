from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from vault.config import ServerSettings, Settings
from vault.errors import ConfigError, KeysUnavailable, TokenvaultError
from vault.server.supervisor import Supervisor, restart_delay
from vault.server.worker_report import WorkerFailure, WorkerReport, decode_message, encode_message


def never(_number: int, _directory: Path, _reports: Connection) -> None:
    raise AssertionError("no test here starts a worker")


@pytest.fixture
def supervisor() -> Supervisor:
    server = ServerSettings.model_construct(workers=2)
    return Supervisor(Settings.model_construct(server=server), never)


def told(supervisor: Supervisor, *reports: WorkerReport | None, ago: float = 0.0) -> None:
    for worker, report in zip(supervisor._workers, reports, strict=True):
        worker.last = None if report is None else (time.monotonic() - ago, report)


def test_restarts_are_quick_at_first_and_bounded() -> None:
    delays = [restart_delay(failures) for failures in range(1, 40)]
    assert delays[0] < 1
    assert delays == sorted(delays)
    assert delays[-1] == 30


def test_one_worker_with_a_trouble_is_told(supervisor: Supervisor) -> None:
    away = WorkerReport({"database": "the database does not answer", "keys": ""})
    told(supervisor, WorkerReport({"database": "", "keys": ""}), away)
    probes = supervisor._probes()
    assert list(probes) == ["workers", "database", "keys"]
    probes["workers"]()
    probes["keys"]()
    with pytest.raises(TokenvaultError, match=r"does not answer \(1 of 2 workers\)"):
        probes["database"]()


def test_one_dead_worker_leaves_the_server_ready_and_two_do_not(supervisor: Supervisor) -> None:
    told(supervisor, None, WorkerReport({"keys": ""}))
    supervisor._probe_workers()
    told(supervisor, None, None)
    with pytest.raises(TokenvaultError, match="no worker serves"):
        supervisor._probe_workers()


def test_a_worker_that_hangs_is_told(supervisor: Supervisor) -> None:
    told(supervisor, WorkerReport(), WorkerReport(), ago=20)
    supervisor._probe_workers()
    told(supervisor, WorkerReport(), WorkerReport(), ago=100)
    with pytest.raises(TokenvaultError, match="2 workers are silent, for up to 100 s"):
        supervisor._probe_workers()


@pytest.mark.parametrize(
    "message", [WorkerReport({"keys": "sealed"}), WorkerFailure("ConfigError", "mend it")]
)
def test_what_a_worker_tells_arrives(message: WorkerReport | WorkerFailure) -> None:
    assert decode_message(encode_message(message)) == message


def test_a_failure_becomes_an_error_of_its_kind() -> None:
    assert isinstance(WorkerFailure.from_error(ConfigError("x")).error(), ConfigError)
    assert WorkerFailure.from_error(KeysUnavailable("sealed")).error().retryable
    unknown = WorkerFailure("SystemExit", "x").error()
    assert type(unknown) is TokenvaultError
