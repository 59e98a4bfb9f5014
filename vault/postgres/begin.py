"""How a transaction begins: BEGIN with its settings, sent at once and awaited when needed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine

from vault.errors import StoreUnavailable
from vault.postgres.deadlines import driver_of, set_deadline
from vault.postgres.failures import (
    DRIVER_ERRORS,
    Conflict,
    deadline_exceeded,
    discarded,
    read_only_server,
    translate,
)
from vault.postgres.pipelined import Answers, Command, PipelinedCommands

__all__ = ["PendingBegin", "seconds_left"]

_DEFAULT_TIMEOUT = 30.0  # seconds, for work without a deadline
_LOCK_TIMEOUT = 5.0
# For the answer to a statement_timeout to arrive.
_GRACE = 1.0
# No statement of ours takes so long, and none may on a server that hangs: after as long
# without word from the others, no call is admitted either (vault.server.policy_source).
_LONGEST_SILENCE = 15.0
_SHORT_SILENCE = 5.0  # for a BEGIN, which needs no lock and no disk
# Losing a race and reading what won it needs each statement to see what was committed.
_BEGIN = Command("BEGIN ISOLATION LEVEL READ COMMITTED")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of Postgres's timestamps

# Settings for this transaction only, so that a pooler between us and Postgres cannot
# mix them up. Plans: an index every time and in its order (no other scan, which a table whose
# statistics are old would be given), made once a connection and statement: for one value,
# planning costs as much as the rest. So no statement may depend on how long its arrays are.
# Never compiled. A commit is durable even
# where the server's default is not: an answer must not outlive its audit record. A server
# that stands still while it holds locks loses them.
_SETTINGS = """
SELECT set_config('statement_timeout', $1, true),
       set_config('lock_timeout', $2, true),
       set_config('idle_in_transaction_session_timeout', $1, true),
       set_config('enable_seqscan', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('jit', 'off', true),
       set_config('plan_cache_mode', 'force_generic_plan', true),
       CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END,
       current_setting('transaction_read_only') = 'on',
       clock_timestamp()
"""


class PendingBegin:
    """A BEGIN that was sent and not yet answered. Other work is done meanwhile.

    Attributes:
        answers: what Postgres answered, to the commands that went along too, once it has begun.
    """

    def __init__(
        self,
        engine: Engine,
        connection: Connection,
        deadline: float | None,
        along: Sequence[Command] = (),
    ) -> None:
        """Sends it. Raises StoreUnavailable, as a Conflict where another connection may do.

        Args:
            along: sent in the same round trip. If one fails, the transaction has not begun.
        """
        remaining = seconds_left(deadline)
        self._engine = engine
        self._connection = connection
        self._answer_by = time.monotonic() + remaining + _GRACE
        self._outcome: datetime | StoreUnavailable | None = None
        self.answers = Answers(())
        timeouts = _milliseconds(remaining), _milliseconds(min(remaining, _LOCK_TIMEOUT))
        failure: StoreUnavailable
        try:
            patience = _LONGEST_SILENCE if along else _SHORT_SILENCE
            set_deadline(connection, answer_by=self._answer_by, patience=patience)
            commands = (_BEGIN, Command(_SETTINGS, timeouts), *along)
            self._trip = PipelinedCommands(driver_of(connection), commands)
        except DRIVER_ERRORS as error:
            failure = self._translated(error)
        else:
            return
        raise failure

    @property
    def done(self) -> bool:
        """Whether the answer is here."""
        return self._outcome is not None

    def time(self) -> datetime:
        """Returns when the transaction began, by Postgres's clock; waits for the answer once.

        Raises StoreUnavailable as above, also on a server that takes no writes.
        """
        if self._outcome is None:
            self._outcome = self._answer()
        if isinstance(self._outcome, StoreUnavailable):
            raise self._outcome
        return self._outcome

    def _answer(self) -> datetime | StoreUnavailable:
        try:
            self.answers = self._trip.answers()
        except DRIVER_ERRORS as error:
            return self._translated(error)
        if self.answers.error is not None:  # not raised: it would hold what holds it
            return self._translated(self.answers.error)
        settings = self.answers.results[1]
        read_only, now = settings.get_value(0, 8), settings.get_value(0, 9)
        assert read_only is not None
        assert now is not None
        if any(read_only):
            return self._demoted()
        set_deadline(self._connection, answer_by=self._answer_by, patience=_LONGEST_SILENCE)
        return _EPOCH + timedelta(microseconds=int.from_bytes(now, signed=True))

    def _translated(self, error: BaseException) -> StoreUnavailable:
        stale = driver_of(self._connection).closed
        return self._replaced() if stale else translate(error)

    def _replaced(self) -> StoreUnavailable:
        """Drops a connection that died while it was idle, and all that are as old.

        SQLAlchemy does it where it finds that out itself; those at work are closed when they
        are given back. Nothing has been done on it: another try gets a fresh one.
        """
        with discarded(*DRIVER_ERRORS):
            self._connection.exec_driver_sql("SELECT 1")
        return Conflict("the database closed an idle connection")

    def _demoted(self) -> StoreUnavailable:
        """Drops all connections: this server was the primary and no longer is.

        What it would answer may be old, and every pooled connection leads to it. The next call
        opens a connection to whichever server takes writes by then.
        """
        # Postgres reports it with every change; it costs no query.
        standby = driver_of(self._connection).info.parameter_status("in_hot_standby") != "off"
        self._connection.invalidate()
        self._engine.dispose()
        return read_only_server(standby)


def seconds_left(deadline: float | None) -> float:
    """Returns the seconds left. Raises StoreUnavailable (DEADLINE_EXCEEDED) where none are."""
    if deadline is None:
        return _DEFAULT_TIMEOUT
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise deadline_exceeded()
    return remaining


def _milliseconds(seconds: float) -> str:
    return f"{math.ceil(seconds * 1000)}ms"
