"""Keeps the workers of one port running, and answers health checks for all of them.

Workers are processes of their own that listen on one port with SO_REUSEPORT, so that the
kernel spreads connections over them. They are spawned, never forked: neither gRPC nor a
database connection outlives a fork. The supervisor holds no key and answers no call. It
answers health checks and shows the metrics, once for all workers, so that neither goes
away with a worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from vault.config import Settings
from vault.errors import SetupError, TokenvaultError
from vault.server.health import HealthServer
from vault.server.port_binding import reserved_port
from vault.server.probing import WORKERS
from vault.server.worker_report import WorkerFailure, WorkerReport, decode_message
from vault.telemetry.logging import get_log
from vault.telemetry.metrics import StateMetrics, multiprocess_registry
from vault.telemetry.metrics_page import serve_metrics

__all__ = ["Supervisor", "restart_delay"]

WorkerMain = Callable[[int, Path, Connection], None]
"""What a worker process does until SIGTERM: its number, where counts go, where reports go.

Must survive pickling.
"""

_STEP = 0.2
_FIRST_DELAY = 0.25
_LONGEST_DELAY = 30.0
# A worker that lived so long has not failed for the reason of the one before.
_STEADY = 60.0
# Beyond the drain time, for what follows it: last audit records, closing connections.
_STOP_MARGIN = 10.0
_SILENCE_MARGIN = 15.0
_log = get_log(__name__)


def restart_delay(failures: int) -> float:
    """Returns the seconds to wait before a worker is started after that many failures in a row."""
    return min(_LONGEST_DELAY, _FIRST_DELAY * float(2 ** min(failures - 1, 16)))


@dataclass(slots=True)
class _Worker:
    """One numbered worker, and the process that currently is it."""

    number: int
    process: SpawnProcess | None = None
    reports: Connection | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0
    # One object, so that the health server's thread never sees half a report.
    last: tuple[float, WorkerReport] | None = None
    failure: WorkerFailure | None = None


class Supervisor:
    """The workers of one server."""

    def __init__(self, settings: Settings, work: WorkerMain) -> None:
        self._settings = settings
        self._work = work
        self._workers = [_Worker(number) for number in range(settings.server.workers)]
        self._reload = False
        self._spawn = multiprocessing.get_context("spawn")
        self._silence = 3 * settings.server.probe_interval.total_seconds() + _SILENCE_MARGIN

    def run(self, ended: threading.Event) -> None:
        """Serves with all workers until ``ended``, then drains them.

        Raises:
            ConfigError: a port is taken.
            TokenvaultError: what a worker could not start for, before any call was answered.
        """
        server = self._settings.server
        with ExitStack() as stack:
            for key, host, port in self._ports():
                stack.enter_context(reserved_port(key, host, port))
            directory = stack.enter_context(TemporaryDirectory(prefix="tokenvault-metrics-"))
            registry = multiprocess_registry(Path(directory))
            state = StateMetrics(registry)
            if server.metrics_port is not None:
                stop = serve_metrics(registry, server.metrics_host, server.metrics_port)
                stack.callback(stop)
            # Entered before the workers: health answers NOT_SERVING while they drain.
            outlasting = stack.enter_context(ExitStack())
            stack.callback(self._stop)
            start = partial(self._start, Path(directory))
            self._bring_up(start, ended)
            if ended.is_set():
                return
            health = HealthServer(
                server.health_host,
                server.health_port,
                self._probes(),
                server.probe_interval.total_seconds(),
                ready=state.set_ready,
                found=state.set_probes,
            )
            outlasting.callback(health.stop)
            state.set_workers(self._serving())
            health.start()
            stack.callback(health.drain)
            _log.info(
                "all workers serve",
                workers=len(self._workers),
                health=f"{server.health_host}:{server.health_port}",
            )
            while not ended.is_set():
                self._restart_due(start, state)
                self._pass_on_reload()
                self._watch_workers()
                state.set_workers(self._serving())

    def reload(self) -> None:
        """Makes every worker read the policy file again, soon. Safe in a signal handler."""
        self._reload = True

    def _ports(self) -> list[tuple[str, str, int]]:
        server, jwt = self._settings.server, self._settings.jwt
        ports = [("server.port", server.host, server.port)]
        return [*ports, ("jwt.port", jwt.host, jwt.port)] if jwt else ports

    # -- starting and ending ----------------------------------------------------------

    def _bring_up(self, start: Callable[[_Worker], None], ended: threading.Event) -> None:
        """Starts one worker, which makes what is missing, and then the others."""
        for group in (self._workers[:1], self._workers[1:]):
            for worker in group:
                start(worker)
            while not ended.is_set() and any(worker.last is None for worker in group):
                self._watch_workers()
                for worker in self._workers:
                    if worker.process is None and worker.started:
                        raise _start_failure(worker)

    def _start(self, directory: Path, worker: _Worker) -> None:
        ours, theirs = self._spawn.Pipe(duplex=False)
        process = self._spawn.Process(
            target=self._work, args=(worker.number, directory, theirs), name="tokenvault-worker"
        )
        process.start()
        _log.info("worker started", number=worker.number, pid=process.pid)
        # Held by the worker alone, the pipe ends with it.
        theirs.close()
        worker.process, worker.reports = process, ours
        worker.started, worker.last, worker.failure = time.monotonic(), None, None

    def _restart_due(self, start: Callable[[_Worker], None], state: StateMetrics) -> None:
        for worker in self._workers:
            if worker.process is None and time.monotonic() >= worker.due:
                state.count_restart()
                try:
                    start(worker)
                except OSError as error:
                    # No process or descriptor to be had: the others go on.
                    _log.error("cannot start a worker", problem=error.strerror)
                    self._delay(worker)

    def _pass_on_reload(self) -> None:
        if self._reload:
            self._reload = False
            for worker in self._workers:
                # One that is still starting reads the file anyway.
                if worker.process is not None and worker.last is not None:
                    _signal(worker.process, signal.SIGHUP)

    def _stop(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + self._settings.server.drain.total_seconds() + _STOP_MARGIN
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                _log.error("a worker did not end in time and is killed", pid=process.pid)
                process.kill()
                process.join()

    # -- watching ---------------------------------------------------------------------

    def _watch_workers(self) -> None:
        """Waits a moment for workers' reports and ends, and handles them."""
        watched: list[Connection | int] = []
        for worker in self._workers:
            watched += [worker.reports] if worker.reports is not None else []
            watched += [worker.process.sentinel] if worker.process is not None else []
        if not watched:
            time.sleep(_STEP)
            return
        ready = wait(watched, _STEP)
        for worker in self._workers:
            if worker.reports in ready:
                self._read(worker)
            if worker.process is not None and worker.process.sentinel in ready:
                self._reap_worker(worker, worker.process)

    def _read(self, worker: _Worker) -> None:
        reports = worker.reports
        try:
            while reports is not None and reports.poll():
                message = decode_message(reports.recv_bytes())
                if isinstance(message, WorkerFailure):
                    worker.failure = message
                else:
                    worker.last = (time.monotonic(), message)
        except (EOFError, OSError):
            # It has ended or is about to; its sentinel becomes ready.
            if reports is not None:
                reports.close()
            worker.reports = None

    def _reap_worker(self, worker: _Worker, process: SpawnProcess) -> None:
        self._read(worker)
        process.join()
        if worker.reports is not None:
            worker.reports.close()
        worker.process, worker.reports, worker.last = None, None, None
        if time.monotonic() - worker.started >= _STEADY:
            worker.failures = 0
        self._delay(worker)
        _log.error(
            "a worker ended by itself",
            number=worker.number,
            pid=process.pid,
            exit=process.exitcode,
            problem=worker.failure.message if worker.failure else "",
            again_in=round(worker.due - time.monotonic(), 2),
        )
        process.close()

    def _delay(self, worker: _Worker) -> None:
        worker.failures += 1
        worker.due = time.monotonic() + restart_delay(worker.failures)

    # -- health -----------------------------------------------------------------------

    def _probes(self) -> Mapping[str, Callable[[], None]]:
        names = {name for _, report in self._reports() for name in report.probes}
        probes = {name: partial(self._probe, name) for name in sorted(names)}
        return {WORKERS: self._probe_workers, **probes}

    def _probe(self, name: str) -> None:
        found = [report.probes.get(name, "") for _, report in self._reports()]
        problems = [text for text in found if text]
        if problems:
            raise TokenvaultError(f"{problems[0]} ({len(problems)} of {len(found)} workers)")

    def _probe_workers(self) -> None:
        """While one worker serves the port is served: a dead one gets no connections.

        One that hangs does, so it counts.
        """
        if not self._serving():
            raise TokenvaultError("no worker serves")
        now = time.monotonic()
        silent = [now - at for at, _ in self._reports() if now - at > self._silence]
        if silent:
            raise TokenvaultError(
                f"{len(silent)} workers are silent, for up to {max(silent):.0f} s"
            )

    def _serving(self) -> int:
        return len(self._reports())

    def _reports(self) -> list[tuple[float, WorkerReport]]:
        last = [worker.last for worker in self._workers]
        return [each for each in last if each is not None]


def _start_failure(worker: _Worker) -> TokenvaultError:
    if worker.failure is not None:
        return worker.failure.error()
    return SetupError("a worker ended by itself while it started; see the log")


def _signal(process: SpawnProcess, number: signal.Signals) -> None:
    # Asked first: the number of one that has been waited for might be another program's.
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, number)
