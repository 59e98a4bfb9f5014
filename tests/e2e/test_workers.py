"""Two worker processes on one port: killed, replaced, counted together, drained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vault.client import CallError

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site, StartServer

Serve = Callable[..., "subprocess.CompletedProcess[str]"]

TWO = {"server": {"workers": 2}}
TOKENVAULT = Path(sys.executable).parent / "tokenvault"


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    """A server with two workers, for the whole module."""
    return start_server("two", TWO)


def workers_of(server: Server) -> list[int]:
    """The worker processes, as the kernel knows them."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [
        int(pid)
        for pid in children.read_text().split()
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def page_of(server: Server) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def tokenized(page: dict[str, float]) -> float:
    return page.get('tokenvault_items_total{field="national_id",outcome="ok",rpc="Tokenize"}', 0)


def eventually(server: Server, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, server.log.read_text()
        time.sleep(0.02)


def await_sample(server: Server, name: str, value: float) -> None:
    eventually(server, lambda: page_of(server)[name] == value)


def await_workers(server: Server, count: int) -> None:
    await_sample(server, "tokenvault_workers", count)


def await_more(server: Server, pairs: Sequence[object], failures: Sequence[object]) -> None:
    seen = len(pairs)
    eventually(server, lambda: len(pairs) > seen + 600 or failures)


def events(server: Server, name: str) -> list[dict[str, object]]:
    return [line for line in server.lines() if line["event"] == name]


def worker_of_last_call(server: Server) -> int:
    number = events(server, "call")[-1]["worker"]
    pids = [each["pid"] for each in events(server, "worker started") if each["number"] == number]
    return int(str(pids[-1]))


def test_both_workers_answer_and_are_counted_on_one_page(server: Server) -> None:
    assert len(workers_of(server)) == 2
    before = tokenized(page_of(server))
    # A connection stays with one worker: several are needed to meet both.
    for n in range(16):
        with server.client("pipeline") as client:
            assert client.tokenize("national_id", [f"{n:010d}"]).errors == {}
    page = page_of(server)
    assert tokenized(page) - before == 16
    assert page["tokenvault_ready"] == 1
    assert {line["worker"] for line in events(server, "call")} == {0, 1}


def test_a_killed_worker_costs_nobody_a_token(server: Server) -> None:
    before = tokenized(page_of(server))
    restarts = page_of(server)["tokenvault_worker_restarts_total"]
    pairs: list[tuple[str, str | None]] = []
    failures: list[CallError] = []
    enough = threading.Event()

    def run(caller: int) -> None:
        with server.client("pipeline", batch_size=200) as client:
            for start in range(caller * 1_000_000, (caller + 1) * 1_000_000, 600):
                chunk = [f"{n:010d}" for n in range(start, start + 600)]
                try:
                    tokens = client.tokenize("national_id", chunk).values
                except CallError as error:
                    failures.append(error)
                    return
                pairs.extend(zip(chunk, tokens, strict=True))
                if enough.is_set():
                    return

    callers = [threading.Thread(target=run, args=(n,)) for n in range(1, 5)]
    for each in callers:
        each.start()
    # Every connection is with one of these two, so every caller loses one.
    for number, pid in enumerate(workers_of(server), 1):
        await_more(server, pairs, failures)
        os.kill(pid, signal.SIGKILL)
        assert page_of(server)["tokenvault_ready"] == 1  # the page, right after the death
        assert server.health("liveness") == "SERVING"
        await_sample(server, "tokenvault_worker_restarts_total", restarts + number)
        await_workers(server, 2)
    enough.set()
    for each in callers:
        each.join()

    assert failures == []
    with server.client("restore-pipeline") as owner:
        values = owner.detokenize("national_id", [token for _, token in pairs]).values
    assert values == [value for value, _ in pairs]
    # What dead workers counted is still there.
    assert tokenized(page_of(server)) - before >= len(pairs)
    deaths = events(server, "a worker ended by itself")
    assert [line["exit"] for line in deaths[-2:]] == [-9, -9]
    with server.client("auditor") as auditor:
        assert list(auditor.verify_audit().findings) == []


def test_a_second_server_on_the_port_is_refused(server: Server, serve: Serve) -> None:
    port = int(server.address.rpartition(":")[2])
    for workers in (1, 2):
        changes = {"server": {"workers": workers, "port": port}}
        ended = serve(f"second-{workers}", changes, development=True)
        assert ended.returncode != 0
        assert f"another server has port {port}" in ended.stderr
        # Without the lock file the port itself shows it.
        changes["server"]["lock_directory"] = str(server.settings.parent)  # type: ignore[assignment]
        ended = serve(f"second-{workers}", changes, development=True)
        assert ended.returncode != 0
        assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_a_start_that_fails_says_why_once(serve: Serve) -> None:
    changes = {"server": {"workers": 2}, "database": {"url": "postgresql://nobody@127.0.0.1:1/x"}}
    ended = serve("two-without-database", changes, development=True)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith("the database")


def test_sigterm_drains_all_workers(start_server: StartServer) -> None:
    server = start_server("drained-two", TWO)
    workers = workers_of(server)
    assert server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert len(events(server, "worker stopped")) == 2
    assert server.lines()[-1]["event"] == "stopped"


def test_workers_end_with_a_killed_supervisor(start_server: StartServer) -> None:
    server = start_server("orphaned", TWO)
    workers = workers_of(server)
    server.process.kill()
    server.process.wait()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/exe").is_symlink() and _alive(pid) for pid in workers):
        assert time.monotonic() < end, server.log.read_text()
        time.sleep(0.05)
    assert len(events(server, "the supervisor is gone; draining")) == 2


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_cli_finishes_over_a_killed_worker(server: Server, site: Site, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    rows = [f"{n:010d}" for n in range(30_000, 60_000)]
    source.write_text("\n".join(["id", *rows, ""]))
    tls = site.tls("pipeline")
    command: list[str | Path] = [
        TOKENVAULT, "tokenize", str(source), "-o", str(target), "--column", "id=national_id",
        "--address", server.address, "--ca", str(tls.ca), "--cert", str(tls.cert),
        "--key", str(tls.key),
    ]  # fmt: skip
    before = tokenized(page_of(server))
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while run.poll() is None and tokenized(page_of(server)) < before + 3_000:
        time.sleep(0.02)
    assert run.poll() is None, run.communicate()
    os.kill(worker_of_last_call(server), signal.SIGKILL)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    tokens = target.read_text().split()[1:]
    with server.client("restore-pipeline") as analyst:
        assert analyst.detokenize("national_id", tokens).values == rows
    await_workers(server, 2)
