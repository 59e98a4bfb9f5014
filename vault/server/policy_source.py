"""The policy in force: one for all servers, replaced while they serve.

Once a second the file is checked, and what this server holds is reported. A file that is
wrong, or that changes a used field, leaves everything as it was. It is logged once, and shown by
probe, metric and GetPolicy for as long as it differs from what is in force.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from vault.errors import PolicyError, StoreUnavailable, TokenvaultError, Unavailable, for_operators
from vault.periodic_task import PeriodicTask
from vault.policy.model import Policy
from vault.server.policy_authenticator import PolicyAuthenticator
from vault.server.policy_file import PolicyFile
from vault.service.policy import FileState, PolicyStatus
from vault.store.policy_coordinator import Agreement, AuthenticatedPolicy
from vault.telemetry.logging import first_failure_logged, get_log

__all__ = [
    "DELAYED",
    "IN_FORCE",
    "IN_FORCE_AGAIN",
    "READ",
    "REFUSED",
    "WAITING",
    "Coordinator",
    "PolicySource",
]

_log = get_log(__name__)

# Events of the log; `tokenvault dev` shows them.
REFUSED = "policy file refused, the policy before it stays"
DELAYED = "policy file not taken up yet"
READ = "policy file read"
WAITING = "policy waits for other servers"
IN_FORCE = "policy in force"
IN_FORCE_AGAIN = "policy file is what is in force again"

_UNCONFIRMED = "policy not confirmed"
# Servers get a new file one after the other, and keys for it may take a moment.
_PATIENCE = timedelta(minutes=2)


def _now() -> datetime:
    return datetime.now(UTC)


class Coordinator(Protocol):
    """Where servers agree on a policy. Raises StoreUnavailable."""

    @property
    def stale_after(self) -> float:
        """Seconds of silence after which a server no longer counts."""

    def report(self, proposed: AuthenticatedPolicy) -> Agreement:
        """Reports what this server proposes; returns what is in force."""

    def leave(self) -> None:
        """Stops counting this server."""


class PolicySource:
    """Holds the policy in force. Threads may share it.

    Args:
        first: the file's policy as it was read at start, found good.
        prepare: checks that a policy could come into force now, and loads the keys of its
            fields. Raises PolicyError (never), or Unavailable (not now).
        differs: called with since when the file differs from what is in force, None if it does not.
        interval: seconds between two checks.
        clock: seconds on a monotonic clock.
        now: the time of day, aware of its zone.
    """

    def __init__(
        self,
        file: PolicyFile,
        first: Policy,
        coordinator: Coordinator,
        authenticator: PolicyAuthenticator,
        prepare: Callable[[Policy], None],
        *,
        differs: Callable[[datetime | None], None] = lambda _: None,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._file = file
        self._coordinator = coordinator
        self._authenticator = authenticator
        self._prepare = prepare
        self._differs = differs
        self._clock = clock
        self._now = now
        self._proposed = first
        self._authenticated = authenticator.authenticate(first)
        self._in_force = first
        self._confirmed = -float("inf")
        self._problems: dict[str, str] = {}
        self._waiting: tuple[str, ...] = ()
        self._agreement: Agreement | None = None
        self._status = PolicyStatus(first.digest)
        self._read_again = False
        self._task = PeriodicTask(
            "policy", self._run_once, interval, failed=first_failure_logged(_log, _UNCONFIRMED)
        )

    def start(self) -> None:
        """Joins the other servers, and watches the file from then on.

        Raises:
            PolicyError: the policy in force is another than the file's, and unreadable.
            StoreUnavailable, KeysUnavailable: Postgres or the keys are unavailable.
        """
        self._report()
        self._note_status()
        self._task.start()

    def current(self) -> Policy:
        """Returns the policy in force; a call reads it once and keeps it to its end.

        Raises StoreUnavailable where that is not known: the others may have moved on.
        """
        # Read before the policy: the other way round, a policy could pass as confirmed
        # by the report that replaced it.
        confirmed = self._confirmed
        policy = self._in_force
        if self._clock() - confirmed > self._coordinator.stale_after:
            raise StoreUnavailable("which policy is in force could not be confirmed recently")
        return policy

    def probe(self) -> None:
        """Raises StoreUnavailable, with the cause, where calls would fail."""
        try:
            self.current()
        except StoreUnavailable as error:
            problem = self._problems.get(_UNCONFIRMED, "")
            raise StoreUnavailable(": ".join(filter(None, [error.message, problem]))) from None

    def status(self) -> PolicyStatus:
        """Returns how the file compares with the policy in force, as of the last check."""
        return self._status

    def probe_file(self) -> None:
        """Raises PolicyError where the file is refused, or does not come into force."""
        status = self._status
        since = status.differs_since
        if since is None:
            return
        if status.state is FileState.REFUSED or self._now() - since > _PATIENCE:
            text = f"since {since:%Y-%m-%d %H:%M:%S} UTC the policy file is not what is in force"
            raise PolicyError(f"{text}: {status.problem}")

    def reload(self) -> None:
        """Reads the file again now, changed or not. Safe in a signal handler."""
        self._read_again = True
        self._task.wake()

    def close(self) -> None:
        """Stops watching and leaves the others."""
        self._task.stop()
        with suppress(TokenvaultError):
            self._coordinator.leave()

    def _run_once(self) -> None:
        try:
            self._check_file()
            self._report()
        except TokenvaultError as error:
            self._log_once(_UNCONFIRMED, for_operators(error))
        except Exception as error:  # noqa: BLE001 - a dead thread would end the service later
            self._log_once(_UNCONFIRMED, type(error).__name__)
        else:
            self._problems.pop(_UNCONFIRMED, None)
        self._note_status()

    def _check_file(self) -> None:
        if not (self._read_again or self._file.changed()):
            return
        self._read_again = False
        try:
            policy = self._file.read()
            if policy.digest != self._proposed.digest:
                self._propose(policy)
        except Unavailable as error:
            self._read_again = True
            self._problems.pop(REFUSED, None)
            self._log_once(DELAYED, error.message)
        except Exception as error:  # noqa: BLE001 - no file may cost the report that follows
            self._problems.pop(DELAYED, None)
            problem = error.message if isinstance(error, TokenvaultError) else type(error).__name__
            self._log_once(REFUSED, problem)
        else:
            self._problems.pop(REFUSED, None)
            self._problems.pop(DELAYED, None)

    def _propose(self, policy: Policy) -> None:
        if policy.digest != self._in_force.digest:
            self._prepare(policy)
        self._proposed, self._authenticated = policy, self._authenticator.authenticate(policy)
        _log.info(READ, policy=policy.digest)

    def _report(self) -> None:
        began = self._clock()
        self._withdraw_if_refused()
        agreement = self._coordinator.report(self._authenticated)
        self._adopt(agreement.in_force)
        self._agreement = agreement
        self._confirmed = began
        if agreement.others != self._waiting:
            self._waiting = agreement.others
            if agreement.others:
                others = list(agreement.others)
                _log.info(WAITING, policy=self._proposed.digest, others=others)

    def _withdraw_if_refused(self) -> None:
        """Checks once more before a policy may come into force: fields get used meanwhile."""
        if self._proposed.digest == self._in_force.digest:
            return
        try:
            self._prepare(self._proposed)
        except PolicyError as error:
            self._proposed, self._authenticated = (
                self._in_force,
                self._authenticator.authenticate(self._in_force),
            )
            self._log_once(REFUSED, error.message)

    def _adopt(self, authenticated: AuthenticatedPolicy) -> None:
        if authenticated.digest == self._in_force.digest:
            return
        if authenticated.digest == self._proposed.digest:
            policy = self._proposed
        else:
            policy = self._authenticator.verify(authenticated)
            self._prepare(policy)
        self._in_force = policy
        _log.info(IN_FORCE, policy=policy.digest)

    def _note_status(self) -> None:
        state, problem = self._file_state()
        before = self._status.differs_since
        since = None if state is FileState.IN_FORCE else before or self._now()
        if before is not None and since is None and self._status.digest == self._in_force.digest:
            _log.info(IN_FORCE_AGAIN, policy=self._in_force.digest)
        agreement = self._agreement
        self._status = PolicyStatus(
            self._in_force.digest,
            agreement.since if agreement else None,
            agreement.servers if agreement else (),
            self._file.digest,
            state,
            problem,
            since,
        )
        self._differs(since)

    def _file_state(self) -> tuple[FileState, str]:
        if REFUSED in self._problems:
            return FileState.REFUSED, self._problems[REFUSED]
        if DELAYED in self._problems:
            return FileState.DELAYED, self._problems[DELAYED]
        if self._proposed.digest != self._in_force.digest:
            return FileState.WAITING, f"it waits for other servers: {', '.join(self._waiting)}"
        return FileState.IN_FORCE, ""

    def _log_once(self, event: str, problem: str) -> None:
        """Logs a problem once, until it has changed or gone."""
        if self._problems.get(event) != problem:
            self._problems[event] = problem
            _log.warning(event, problem=problem)
