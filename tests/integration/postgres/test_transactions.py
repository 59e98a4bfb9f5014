"""How transactions end: retried, late, lost, and never with a driver's text."""

from __future__ import annotations

import gc
import threading
import time
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psycopg
import pytest
from psycopg.pq import PipelineStatus, TransactionStatus
from sqlalchemy import Engine

from tests.token_rows import NewToken, insert_rows
from vault.audit.chain_heads import ChainHeadPool
from vault.dev.postgres import Database
from vault.errors import AuditUnavailable, Reason, StoreUnavailable, TokenvaultError
from vault.model import AuditEvent, Generator, Scope, TokenSpace
from vault.postgres.engine import make_engine
from vault.postgres.transaction import MAX_ATTEMPTS, execute, transaction
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import Transaction
from vault.store.tokens import PostgresTokenStore

Owner = psycopg.Connection[tuple[object, ...]]
SPACE = TokenSpace("default", "card_number")
EVENT = AuditEvent("Tokenize", "allowed", "p", "peer", "0a", "r", "d", counts={"ok": 1})
CANARY = "4111-CANARY-1111"
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tokenvault'"


def new_token(token: str, mac: bytes) -> NewToken:
    return NewToken(token, b"c", mac, 1, 1, Generator.RANDOM, Scope.FIELD)


def append(transaction: Transaction) -> None:
    transaction.audit.append(EVENT)


def count(owner: Owner, table: str) -> int:
    row = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def trail(error: BaseException) -> str:
    """All that a logger or debugger could print of an exception and of what it drags along."""
    texts = ["".join(traceback.format_exception(error)), repr(error), str(error)]
    for related in (error.__cause__, error.__context__):
        if related is not None:
            texts.append(trail(related))
    return "\n".join(texts)


@pytest.mark.parametrize(
    "token",
    [
        new_token(CANARY, b"short: violates a check"),
        new_token(CANARY + "\x00", bytes(32)),
        new_token(CANARY + "\udcff", bytes(32)),
        NewToken(CANARY, b"c", bytes(32), 1, -5, Generator.RANDOM, Scope.FIELD),
    ],
    ids=["check", "nul", "surrogate", "row-in-detail"],
)
def test_a_failing_statement_never_quotes_its_parameters(
    work: PostgresUnitOfWork,
    token: NewToken,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, [token]))
    assert caught.value.reason is Reason.INTERNAL
    assert not caught.value.retryable
    output = capsys.readouterr()
    assert "CANARY" not in trail(caught.value) + caplog.text + output.out + output.err


def test_a_deadlock_is_run_again(work: PostgresUnitOfWork) -> None:
    first = threading.Barrier(2)
    attempts: list[int] = []

    def client(order: list[bytes]) -> None:
        waited = False

        def locks_in_the_wrong_order(transaction: Transaction) -> None:
            nonlocal waited
            attempts.append(1)
            transaction.tokens.lock_by_token(SPACE, [order[0].hex()])
            if not waited:
                waited = True
                first.wait()
            transaction.tokens.lock_by_token(SPACE, [order[1].hex()])
            transaction.audit.append(EVENT)

        work.run(locks_in_the_wrong_order)

    macs = [bytes([n] * 32) for n in (1, 2)]
    new = [new_token(mac.hex(), mac) for mac in macs]
    work.run(lambda transaction: insert_rows(transaction.tokens, SPACE, new))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(client, [macs, macs[::-1]]))
    assert len(attempts) > 2


def in_two_inserts(transaction: Transaction) -> None:
    """As a call does whose second value was another's for a moment, and erased at once."""
    for mac in (bytes([1] * 32), bytes([2] * 32)):
        assert insert_rows(transaction.tokens, SPACE, [new_token(mac.hex(), mac)]) == {mac.hex()}


def backend_of(engine: Engine) -> int:
    with transaction(engine) as opened:
        ((pid,),) = execute(opened.connection, "SELECT pg_backend_pid()", {})
    assert isinstance(pid, int)
    return pid


def setting(transaction: Transaction, name: str) -> object:
    assert isinstance(transaction.tokens, PostgresTokenStore)
    connection = transaction.tokens._connection
    ((found,),) = execute(connection, "SELECT current_setting(%(name)s)", {"name": name})
    return found


def test_a_second_insert_goes_on_where_nobody_is_in_the_way(work: PostgresUnitOfWork) -> None:
    def waits(transaction: Transaction) -> tuple[object, object]:
        before = setting(transaction, "lock_timeout")
        in_two_inserts(transaction)
        return before, setting(transaction, "lock_timeout")

    assert work.run(waits) == ("5s", "5s")
    tokens = [bytes([n] * 32).hex() for n in (1, 2)]
    found = work.run(lambda transaction: transaction.tokens.rows_by_token(SPACE, tokens))
    assert found.keys() == set(tokens)


def test_index_rows_are_not_waited_for_long_while_others_are_held(
    engine: Engine, work: PostgresUnitOfWork
) -> None:
    attempts: list[int] = []

    def counted(transaction: Transaction) -> None:
        attempts.append(1)
        in_two_inserts(transaction)

    with transaction(engine) as other:
        mac = bytes([2] * 32)
        insert_rows(
            PostgresTokenStore(lambda: other.connection), SPACE, [new_token(mac.hex(), mac)]
        )
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            work.run(counted)
        assert time.monotonic() - began < 5
    assert caught.value.retryable
    assert len(attempts) == MAX_ATTEMPTS
    first = bytes([1] * 32).hex()
    assert work.run(lambda other: other.tokens.rows_by_token(SPACE, [first])) == {}


def test_runs_again_are_bounded(engine: Engine, work: PostgresUnitOfWork) -> None:
    attempts: list[int] = []

    def always_conflicts(transaction: Transaction) -> None:
        attempts.append(1)
        assert isinstance(transaction.tokens, PostgresTokenStore)
        connection = transaction.tokens._connection
        execute(connection, "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", {})

    with pytest.raises(StoreUnavailable):
        work.run(always_conflicts)
    assert len(attempts) == MAX_ATTEMPTS


def test_a_deadline_stops_a_statement(engine: Engine) -> None:
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught, transaction(engine, started + 0.2) as opened:
        execute(opened.connection, "SELECT pg_sleep(10)", {})
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5


def test_nothing_is_committed_after_the_deadline(work: PostgresUnitOfWork, owner: Owner) -> None:
    def slow(transaction: Transaction) -> None:
        append(transaction)
        time.sleep(0.3)

    with pytest.raises(StoreUnavailable) as caught:
        work.run(slow, deadline=time.monotonic() + 0.2)
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    assert count(owner, "audit_records") == 0


def test_a_call_past_its_deadline_is_not_begun(
    work: PostgresUnitOfWork, statements: list[str]
) -> None:
    with pytest.raises(StoreUnavailable):
        work.run(append, deadline=time.monotonic() - 1)
    assert statements == []


def test_a_failed_statement_cannot_be_swallowed(work: PostgresUnitOfWork, owner: Owner) -> None:
    def swallow(transaction: Transaction) -> str:
        append(transaction)
        with pytest.raises(StoreUnavailable):
            insert_rows(transaction.tokens, SPACE, [new_token("7", b"short")])
        return "an answer without a record"

    with pytest.raises(StoreUnavailable):
        work.run(swallow)
    assert count(owner, "audit_records") == 0


def test_a_stale_pooled_connection_is_replaced(work: PostgresUnitOfWork, owner: Owner) -> None:
    work.run(append)
    owner.execute(KILL)
    work.run(append)
    assert count(owner, "audit_records") == 3  # an opening and two calls


def test_no_more_connections_than_the_pool_has_after_one_was_stale(
    database: Database, owner: Owner
) -> None:
    small = make_engine(database.service_url, pool_size=4)
    for _ in range(3):
        with ExitStack() as busy:
            for _ in range(4):
                busy.enter_context(transaction(small))
        with ExitStack() as busy:
            opened = [busy.enter_context(transaction(small)) for _ in range(3)]
            pids = [execute(one.connection, "SELECT pg_backend_pid()", {})[0][0] for one in opened]
            owner.execute(f"{KILL} AND pid <> ALL (%s)", (pids,))
            with pytest.raises(StoreUnavailable), transaction(small):
                pass
    with ExitStack() as busy:
        for _ in range(4):
            busy.enter_context(transaction(small))
        found = owner.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tokenvault' AND datname = %s",
            (database.name,),
        ).fetchone()
    assert found == (4,)
    small.dispose()


def test_a_connection_lost_at_work_is_unavailable(
    work: PostgresUnitOfWork, owner: Owner, chain_heads: ChainHeadPool
) -> None:
    work.run(append)
    leased = chain_heads._free[-1]

    def lose(transaction: Transaction) -> None:
        append(transaction)
        owner.execute(KILL)
        transaction.tokens.rows_by_token(SPACE, ["7"])

    with pytest.raises(StoreUnavailable) as caught:
        work.run(lose)
    assert caught.value.retryable
    assert chain_heads._free[-1] == leased
    work.run(append)


def test_a_commit_in_doubt_gives_the_lane_up(
    work: PostgresUnitOfWork, owner: Owner, chain_heads: ChainHeadPool
) -> None:
    work.run(append)
    leased = chain_heads._free[-1]

    def lose_before_the_commit(transaction: Transaction) -> None:
        append(transaction)
        owner.execute(KILL)

    with pytest.raises(StoreUnavailable):
        work.run(lose_before_the_commit)
    assert not chain_heads._free
    work.run(append)
    assert chain_heads._free[-1].writer != leased.writer
    assert count(owner, "audit_writers") == 2


def test_without_the_audit_there_is_no_answer(work: PostgresUnitOfWork, owner: Owner) -> None:
    owner.execute("REVOKE INSERT ON audit_records FROM tokenvault")

    def tokenize(transaction: Transaction) -> None:
        assert insert_rows(transaction.tokens, SPACE, [new_token("7", bytes(32))]) == {"7"}
        append(transaction)

    with pytest.raises(AuditUnavailable):
        work.run(tokenize)
    assert count(owner, "tokens") == 0


SWALLOW = """
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER swallow BEFORE {0} ON {1} FOR EACH ROW EXECUTE FUNCTION swallow();
"""


@pytest.mark.parametrize("known", [True, False], ids=["a chain", "no chain yet"])
@pytest.mark.parametrize(
    ("what", "table"), [("INSERT", "audit_records"), ("UPDATE", "audit_heads")]
)
def test_without_its_record_nothing_is_committed(
    work: PostgresUnitOfWork,
    owner: Owner,
    chain_heads: ChainHeadPool,
    what: str,
    table: str,
    known: bool,
) -> None:
    if known:
        work.run(append)
    owner.execute(SWALLOW.format(what, table))

    def tokenize(transaction: Transaction) -> None:
        assert insert_rows(transaction.tokens, SPACE, [new_token("7", bytes(32))]) == {"7"}
        append(transaction)

    with pytest.raises(AuditUnavailable, match="chain"):
        work.run(tokenize)
    assert count(owner, "tokens") == 0
    # The next opening names a chain that was lost, not one that never came to be.
    assert (chain_heads.lost() is not None) is known


def test_the_databases_default_isolation_is_not_ours(
    database: Database, work: PostgresUnitOfWork, owner: Owner
) -> None:
    owner.execute(
        f"ALTER DATABASE {database.name} SET default_transaction_isolation = serializable"
    )
    level = work.run(lambda transaction: setting(transaction, "transaction_isolation"))
    assert level == "read committed"


def test_a_read_only_database_is_unavailable(
    database: Database, work: PostgresUnitOfWork, owner: Owner
) -> None:
    owner.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only") as caught:
        work.run(
            lambda transaction: insert_rows(transaction.tokens, SPACE, [new_token("7", bytes(32))])
        )
    assert caught.value.retryable


def test_work_that_fails_before_the_database_has_answered(
    engine: Engine, work: PostgresUnitOfWork
) -> None:
    pid = backend_of(engine)

    def fails(_: Transaction) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        work.run(fails)
    # Nothing of it is left on the connection.
    assert backend_of(engine) == pid
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        assert driver.info.transaction_status is TransactionStatus.IDLE
        assert driver.pgconn.pipeline_status == PipelineStatus.OFF


def test_a_stale_connection_that_the_work_did_not_need(
    work: PostgresUnitOfWork, owner: Owner
) -> None:
    def fails(_: Transaction) -> None:
        raise LookupError

    work.run(append)
    owner.execute(KILL)
    with pytest.raises(LookupError):
        work.run(fails)
    work.run(append)


def test_a_beginning_that_failed_stays_failed(work: PostgresUnitOfWork, owner: Owner) -> None:
    """Work that swallows the error gets no transaction, and no answer, all the same."""

    def swallow(transaction: Transaction) -> str:
        for _ in range(2):
            with suppress(StoreUnavailable):
                transaction.tokens.rows_by_token(SPACE, ["7"])
                reached.append("a statement")
        return "an answer"

    reached: list[str] = []
    name = psycopg.sql.Identifier(owner.info.dbname)
    setting = "ALTER DATABASE {} SET default_transaction_read_only = on"
    owner.execute(psycopg.sql.SQL(setting).format(name))
    with pytest.raises(StoreUnavailable, match="read-only"):
        work.run(swallow)
    assert reached == []


def test_the_finish_is_made_once_the_commit_is_on_its_way(
    work: PostgresUnitOfWork, owner: Owner
) -> None:
    seen: list[tuple[str, int]] = []

    def tokenize(transaction: Transaction) -> str:
        insert_rows(transaction.tokens, SPACE, [new_token("7", bytes(32))])
        append(transaction)
        return "answer"

    def look(answer: str) -> str:
        # Postgres commits while this waits: it hears nothing more from here before.
        until = time.monotonic() + 10
        while count(owner, "tokens") == 0 and time.monotonic() < until:
            time.sleep(0.02)
        seen.append((answer, count(owner, "tokens")))
        return answer

    assert work.run(tokenize, finish=look) == "answer"
    assert seen == [("answer", 1)]


def test_nothing_is_finished_where_nothing_is_committed(work: PostgresUnitOfWork) -> None:
    seen: list[str] = []

    def fails(transaction: Transaction) -> str:
        append(transaction)
        raise LookupError

    def late(transaction: Transaction) -> str:
        append(transaction)
        time.sleep(0.3)
        return "late"

    with pytest.raises(LookupError):
        work.run(fails, finish=seen.append)
    with pytest.raises(StoreUnavailable):
        work.run(late, deadline=time.monotonic() + 0.2, finish=seen.append)
    assert seen == []


# ValueError: what psycopg raises for parameters must not be taken for it.
@pytest.mark.parametrize("kind", [LookupError, ValueError])
def test_an_error_of_the_finish_goes_out_and_the_commit_stands(
    work: PostgresUnitOfWork, owner: Owner, chain_heads: ChainHeadPool, kind: type[Exception]
) -> None:
    def bug(_: object) -> None:
        raise kind

    work.run(append)
    number = chain_heads._free[-1].number
    with pytest.raises(kind):
        work.run(append, finish=bug)
    assert chain_heads._free[-1].number == number + 1
    assert count(owner, "audit_records") == 3  # an opening and two calls
    work.run(append)


class Batch:
    """What a call holds, the caller's values included."""


@pytest.mark.parametrize("ends", ["well", "by a bug", "refused by the database"])
def test_what_a_call_had_in_hand_does_not_wait_for_the_garbage_collector(
    work: PostgresUnitOfWork, ends: str
) -> None:
    kept: list[weakref.ref[Batch]] = []

    def call(transaction: Transaction) -> Batch:
        batch, written = Batch(), Batch()
        kept.extend([weakref.ref(batch), weakref.ref(written)])
        append(transaction)
        transaction.audit.keeps = batch  # type: ignore[attr-defined]
        if ends == "by a bug":
            raise LookupError
        if ends == "refused by the database":
            insert_rows(transaction.tokens, SPACE, [new_token("7", b"short: violates a check")])
        return written

    gc.collect()
    gc.disable()
    try:
        with suppress(LookupError, StoreUnavailable):
            work.run(call, finish=lambda _: None)
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


def test_a_refused_record_outweighs_an_error_of_the_finish(
    work: PostgresUnitOfWork, owner: Owner
) -> None:
    def bug(_: object) -> None:
        raise LookupError

    owner.execute("REVOKE INSERT ON audit_records FROM tokenvault")
    with pytest.raises(AuditUnavailable):
        work.run(append, finish=bug)


def test_a_full_pool_is_overload(database: Database) -> None:
    small = make_engine(database.service_url, pool_size=1, pool_timeout=0.1)
    with transaction(small), pytest.raises(StoreUnavailable) as caught, transaction(small):
        pass
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retryable
    small.dispose()


def test_a_call_waits_for_a_connection_no_longer_than_its_deadline(database: Database) -> None:
    small = make_engine(database.service_url, pool_size=1, pool_timeout=300)
    ends = time.monotonic() + 0.1
    with transaction(small), pytest.raises(StoreUnavailable) as caught, transaction(small, ends):
        pass
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    with transaction(small, time.monotonic() + 30) as opened:  # it was given back
        opened.await_begin()
    small.dispose()


def test_a_database_that_is_away_is_unavailable(database: Database) -> None:
    away = make_engine(database.service_url.set(port=1, query={}))
    with pytest.raises(StoreUnavailable) as caught, transaction(away):
        pass
    assert caught.value.retryable
    assert "127.0.0.1" not in trail(caught.value)
    away.dispose()


def test_a_password_never_shows(database: Database) -> None:
    engine = make_engine(database.service_url.set(query={}), password=CANARY)
    with pytest.raises(TokenvaultError) as caught, transaction(engine):
        pass
    assert "CANARY" not in trail(caught.value) + repr(engine) + str(engine.url)
    engine.dispose()
