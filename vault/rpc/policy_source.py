"""The policy in force: one for all servers, exchanged while they serve.

Once a second the file is looked at, and what this server holds is reported. A file that
is wrong, or that changes a used field, leaves everything as it was and is logged once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from vault.errors import PolicyError, StoreUnavailable, Unavailable, VaultError
from vault.policy.model import Policy
from vault.rpc.logging import get_log
from vault.rpc.policy_file import PolicyFile
from vault.rpc.policy_seal import PolicySeal
from vault.store.policy_state import Agreement, SealedPolicy

__all__ = ["Board", "PolicySource"]

_log = get_log(__name__)

_UNCONFIRMED = "policy not confirmed"
_REFUSED = "policy file refused, the policy before it stays"
_DELAYED = "policy file not taken up yet"


class Board(Protocol):
    """Where servers agree. Raises StoreUnavailable."""

    @property
    def stale(self) -> float:
        """Seconds of silence after which a server counts no longer."""

    def report(self, held: SealedPolicy) -> Agreement:
        """Reports what this server holds; returns what is in force."""

    def leave(self) -> None:
        """Counts this server no longer."""


class PolicySource:
    """Holds the policy in force. Threads may share it.

    Args:
        first: the file's policy as it was read at start, found good.
        prepare: checks that a policy could come into force now, and gets the keys of its
            fields. Raises PolicyError (never), or Unavailable (not now).
        interval: seconds between two looks.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        file: PolicyFile,
        first: Policy,
        board: Board,
        seal: PolicySeal,
        prepare: Callable[[Policy], None],
        *,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._board = board
        self._seal = seal
        self._prepare = prepare
        self._interval = interval
        self._clock = clock
        self._held = first
        self._sealed = seal.seal(first)
        self._in_force = first
        self._confirmed = -float("inf")
        self._problems: dict[str, str] = {}
        self._waiting: tuple[str, ...] = ()
        self._look_again = False
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="policy", daemon=True)

    def start(self) -> None:
        """Joins the other servers, and watches the file from then on.

        Raises:
            PolicyError: the policy in force is another than the file's, and unreadable.
            StoreUnavailable, KeysUnavailable: Postgres or the keys are away.
        """
        self._report()
        self._thread.start()

    def current(self) -> Policy:
        """Returns the policy in force; a call asks once and keeps it to its end.

        Raises StoreUnavailable where that is not known: the others may have gone on.
        """
        # Read before the policy: the other way round, a policy could pass as confirmed
        # by the report that replaced it.
        confirmed = self._confirmed
        policy = self._in_force
        if self._clock() - confirmed > self._board.stale:
            raise StoreUnavailable("which policy is in force could not be confirmed of late")
        return policy

    def probe(self) -> None:
        """Raises StoreUnavailable where calls would fail, and says what is in the way."""
        try:
            self.current()
        except StoreUnavailable as error:
            problem = self._problems.get(_UNCONFIRMED, "")
            raise StoreUnavailable(": ".join(filter(None, [error.message, problem]))) from None

    def reload(self) -> None:
        """Has the file read again now, changed or not. Safe in a signal handler."""
        self._look_again = True
        self._wake.set()

    def close(self) -> None:
        """Stops watching and leaves the others."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(VaultError):
            self._board.leave()

    def _watch(self) -> None:
        while not self._stopping:
            self._wake.wait(self._interval)
            self._wake.clear()
            if not self._stopping:
                self._turn()

    def _turn(self) -> None:
        try:
            self._look()
            self._report()
        except VaultError as error:
            self._complain(_UNCONFIRMED, error.message)
        except Exception as error:  # noqa: BLE001 - a dead thread would end the service later
            self._complain(_UNCONFIRMED, type(error).__name__)
        else:
            self._problems.pop(_UNCONFIRMED, None)

    def _look(self) -> None:
        if not (self._look_again or self._file.changed()):
            return
        self._look_again = False
        try:
            policy = self._file.read()
            if policy.digest != self._held.digest:
                self._hold(policy)
        except PolicyError as error:
            self._complain(_REFUSED, error.message)
        except Unavailable as error:
            self._look_again = True
            self._complain(_DELAYED, error.message)
        else:
            self._problems.pop(_REFUSED, None)
            self._problems.pop(_DELAYED, None)

    def _hold(self, policy: Policy) -> None:
        if policy.digest != self._in_force.digest:
            self._prepare(policy)
        self._held, self._sealed = policy, self._seal.seal(policy)
        _log.info("policy file read", policy=policy.digest)

    def _report(self) -> None:
        began = self._clock()
        self._withdraw_if_unfit()
        agreement = self._board.report(self._sealed)
        self._adopt(agreement.in_force)
        self._confirmed = began
        if agreement.others != self._waiting:
            self._waiting = agreement.others
            if agreement.others:
                others = list(agreement.others)
                _log.info("policy waits for other servers", policy=self._held.digest, others=others)

    def _withdraw_if_unfit(self) -> None:
        """Looks once more before a policy may come into force: fields get used meanwhile."""
        if self._held.digest == self._in_force.digest:
            return
        try:
            self._prepare(self._held)
        except PolicyError as error:
            self._held, self._sealed = self._in_force, self._seal.seal(self._in_force)
            self._complain(_REFUSED, error.message)

    def _adopt(self, sealed: SealedPolicy) -> None:
        if sealed.digest == self._in_force.digest:
            return
        if sealed.digest == self._held.digest:
            policy = self._held
        else:
            policy = self._seal.open(sealed)
            self._prepare(policy)
        self._in_force = policy
        _log.info("policy in force", policy=policy.digest)

    def _complain(self, event: str, problem: str) -> None:
        """Logs a problem once, until it has changed or gone."""
        if self._problems.get(event) != problem:
            self._problems[event] = problem
            _log.warning(event, problem=problem)
