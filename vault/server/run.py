"""The processes of ``serve``: one that serves, or a supervisor of several; and how they end."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from vault.config import Settings
from vault.errors import TokenvaultError
from vault.server.hardening import forbid_dumps
from vault.server.port_lock import port_lock
from vault.server.supervisor import Supervisor
from vault.server.worker_report import WorkerFailure, WorkerReport, encode_message
from vault.telemetry.logging import configure_logging, frames_of, get_log
from vault.telemetry.metrics import use_multiprocess_metrics

__all__ = ["run_server"]

_log = get_log(__name__)


def run_server(settings: Settings, *, allow_development: bool = False) -> None:
    """Serves until SIGTERM or SIGINT, then drains; SIGHUP reads the policy file again.

    With ``server.workers`` above 1 that many processes do the work; this one starts and
    watches them, and answers health checks for them. Must run in the main thread.

    Args:
        allow_development: lets a development CA pass. A root token and the database's
            owner are refused in any case.

    Raises:
        ConfigError, PolicyError: the operator must fix something first.
        StoreUnavailable, KeysUnavailable: Postgres or the key server is unavailable.
    """
    server = settings.server
    configure_logging(settings.log.level)
    _harden()
    ended = _end_on_signals()
    with port_lock("server.port", server.port, server.lock_directory):
        if server.workers == 1:
            # Not at the top: a supervisor of workers would load, and never use, all of a server.
            from vault.server.server import serving

            with serving(settings, allow_development=allow_development) as reload:
                signal.signal(signal.SIGHUP, lambda *_: reload())
                ended.wait()
        else:
            supervisor = Supervisor(settings, partial(_work, settings, allow_development))
            signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
            supervisor.run(ended)
    _log.info("stopped")


def _work(
    settings: Settings, allow_development: bool, number: int, counts: Path, reports: Connection
) -> None:
    """Serves as one of several workers: the whole life of such a process."""
    configure_logging(settings.log.level, worker=number)
    _harden()
    use_multiprocess_metrics(counts, number)
    ended = _end_on_signals()
    _end_with_parent(ended)

    def report(found: Mapping[str, str]) -> None:
        # A supervisor that is gone has ended this worker already.
        with suppress(OSError):
            reports.send_bytes(encode_message(WorkerReport(found)))

    try:
        from vault.server.server import serving

        with serving(settings, allow_development=allow_development, report=report) as reload:
            signal.signal(signal.SIGHUP, lambda *_: reload())
            ended.wait()
    except TokenvaultError as error:
        with suppress(OSError):
            reports.send_bytes(encode_message(WorkerFailure.from_error(error)))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - Python would print its text
        _log.error("worker failed", error=type(error).__name__, frames=frames_of(error))
        sys.exit(1)
    _log.info("worker stopped")


def _harden() -> None:
    if not forbid_dumps():
        _log.warning("this platform cannot keep debuggers away from the keys in memory")


def _end_on_signals() -> threading.Event:
    ended = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        if not ended.is_set():
            _log.info("draining", signal=signal.Signals(number).name)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # Until there is something to reload, a request to do so must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return ended


def _end_with_parent(ended: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        if not ended.is_set():
            _log.error("the supervisor is gone; draining")
        ended.set()

    threading.Thread(target=watch, name="supervisor", daemon=True).start()
