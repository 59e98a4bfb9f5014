"""Runs the probes that readiness depends on, periodically."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vault.errors import TokenvaultError, for_operators
from vault.periodic_task import PeriodicTask
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = ["ADVISORY", "PROBES", "SERVICES", "WORKERS", "Probe", "Prober"]

_log = get_log(__name__)

Probe = Callable[[], None]
"""Returns if all is well, raises TokenvaultError with what is wrong."""

PROBES = ("database", "keys", "policy", "policy_file", "audit", "files")
"""What every server probes."""
WORKERS = "workers"
"""What a server of several processes probes in addition."""
SERVICES = ("", "liveness", "readiness", *PROBES, WORKERS)
"""What health may be asked for; the docs name each (tests/unit/docs)."""

# Reported and logged under its own name, and never a reason to take the server out of service.
# Calls go on without a log of positions; otherwise one edited row would stop the service. They
# go on under the policy in force and with the certificates before; otherwise one bad file would.
ADVISORY = frozenset({"audit", "files", "policy_file"})


class Prober:
    """Runs every probe each ``interval`` seconds and publishes the results.

    Args:
        publish: takes each probe's problem by name, "" where there is none. Called by one
            thread at a time, and not after ``stop`` has returned.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        interval: float,
        publish: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._probes = probes
        self._publish = publish
        self._task = PeriodicTask(
            "probes", self._round, interval, failed=first_failure_logged(_log, "probing failed")
        )

    def start(self) -> None:
        """Probes once, in this thread, and goes on in one of its own."""
        self._round()
        self._task.start()

    def drain(self) -> None:
        """Reports nothing new from now on."""
        self._task.stop(timeout=0.0)

    def stop(self) -> None:
        """Ends the rounds; waits for the one under way."""
        self._task.stop()

    def _round(self) -> None:
        found = {name: _run(probe) for name, probe in self._probes.items()}
        if not self._task.stopping:
            self._publish(found)


def _run(probe: Probe) -> str:
    try:
        probe()
    except TokenvaultError as error:
        return for_operators(error)
    except Exception as error:  # noqa: BLE001 - a broken probe must not end probing
        return f"probe failed: {type(error).__name__}"
    return ""
