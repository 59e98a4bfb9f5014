"""Rows of ``data_keys`` that are lost, replaced or put back, on a real Postgres.

Whoever does it is the database's owner, by accident (a partial restore) or on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Barrier, Thread
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy import Engine

from vault.audit.chain_heads import ChainHeadPool
from vault.audit.named_manifests import read_named_manifests
from vault.audit.record import NamedManifest
from vault.crypto.field_key import MacKey, data_key_context
from vault.dev.postgres import Database
from vault.errors import KeysUnavailable
from vault.keys.accepting import AcceptedKeys, accept_keys
from vault.keys.keyring import Keyring
from vault.model import DEFAULT_TENANT, AuditEvent, TokenSpace
from vault.postgres.engine import make_engine
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.ports import DataKeyRecord
from vault.store.data_keys import PostgresDataKeyStore
from vault.testing.keys import LocalKeyWrapper

CARD = TokenSpace(DEFAULT_TENANT, "card_number")
FIELDS = ("account_id", "card_number")


class Row(NamedTuple):
    field: str
    purpose: str
    version: int
    wrapped: str
    active: bool
    restored: bool


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Installation:
    """A database, its key server, and the servers' key rings on it."""

    database: Database
    engine: Engine
    wrapper: LocalKeyWrapper = field(default_factory=LocalKeyWrapper)
    clock: Clock = field(default_factory=Clock)
    rings: list[Keyring] = field(default_factory=list)

    @property
    def store(self) -> PostgresDataKeyStore:
        return PostgresDataKeyStore(self.engine)

    def start(self, *fields: str) -> Keyring:
        """What a server does first."""
        ring = Keyring(
            self.store,
            self.wrapper,
            fields or FIELDS,
            lifetime=100.0,
            block=1000,
            max_uses=10_000,
            named_manifests=partial(read_named_manifests, self.engine),
            clock=self.clock,
        )
        self.rings.append(ring)
        ring.reload()
        return ring

    def accept(self, *give_up: str) -> AcceptedKeys:
        """`tokenvault keys accept`."""
        named_manifests = partial(read_named_manifests, self.engine)
        return accept_keys(self.store, self.wrapper, DEFAULT_TENANT, set(give_up), named_manifests)

    def serving(self, ring: Keyring) -> Callable[[], None]:
        """What calls of a server with that ring leave in the audit."""
        chain_heads = ChainHeadPool(
            "test",
            lambda: ring.audit_key(DEFAULT_TENANT),
            lambda: NamedManifest(*ring.manifest() or (0, b"")),
        )
        work = PostgresUnitOfWork(self.engine, chain_heads)
        event = AuditEvent("Encrypt", "allowed", "p", "ip", "none", "r", "digest")
        return lambda: work.run(lambda transaction: transaction.audit.append(event))

    def owner(self, statement: str) -> None:
        with psycopg.connect(self.database.superuser_conninfo, autocommit=True) as connection:
            connection.execute(statement)

    def rows(self) -> list[Row]:
        with psycopg.connect(self.database.superuser_conninfo) as connection:
            found = connection.execute(
                "SELECT field, purpose, version, wrapped, active, restored FROM data_keys"
                " ORDER BY 1, 2, 3"
            )
            return [Row(*row) for row in found]

    def generations(self) -> list[int]:
        with psycopg.connect(self.database.superuser_conninfo) as connection:
            found = connection.execute("SELECT number FROM key_manifest ORDER BY number")
            return [int(number) for (number,) in found]

    def use(self, space: TokenSpace = CARD) -> None:
        """What a first call leaves behind, besides tokens."""
        work = PostgresUnitOfWork(self.engine, ChainHeadPool("test", lambda: MacKey(1, bytes(32))))
        work.run(lambda transaction: transaction.token_specs.record(space, "a spec"))

    def call(self) -> None:
        """A call's audit record."""
        work = PostgresUnitOfWork(self.engine, ChainHeadPool("test", lambda: MacKey(1, bytes(32))))
        event = AuditEvent("Encrypt", "allowed", "p", "ip", "none", "r", "digest")
        work.run(lambda transaction: transaction.audit.append(event))

    def refusal(self, *fields: str) -> str:
        """What a server that starts now says; it must have made nothing."""
        before = self.rows()
        with pytest.raises(KeysUnavailable) as caught:
            self.start(*fields)
        assert self.rows() == before
        return str(caught.value)


@pytest.fixture
def site(database: Database) -> Iterator[Installation]:
    engine = make_engine(database.service_url)
    made = Installation(database, engine)
    yield made
    for ring in made.rings:
        ring.close()
    engine.dispose()


LOST = {
    "field": ("purpose = 'field' AND field = 'card_number'", "card_number field version 1"),
    "index": ("purpose = 'index' AND field = 'card_number'", "card_number index version 1"),
    "audit": ("purpose = 'audit'", "default audit version 1"),
}
ONE_LOST = pytest.mark.parametrize("purpose", LOST)


@ONE_LOST
def test_a_lost_row_is_named_at_the_next_start_and_nothing_is_made(
    site: Installation, purpose: str
) -> None:
    where, name = LOST[purpose]
    site.start().close()
    site.owner(f"DELETE FROM data_keys WHERE {where}")
    told = site.refusal()
    assert name in told
    assert "its row is missing from data_keys" in told
    assert "from a backup" in told


@ONE_LOST
def test_a_server_that_runs_keeps_its_keys_says_so_and_then_fails_closed(
    site: Installation, purpose: str
) -> None:
    where, name = LOST[purpose]
    ring = site.start()
    sealed = ring.active_field_key(CARD).seal(b"4111", scope="field", token="t")
    site.owner(f"DELETE FROM data_keys WHERE {where}")
    before = site.rows()
    site.clock.now += 60
    with pytest.raises(KeysUnavailable, match=name):
        ring.reload()
    assert ring.field_key(CARD, 1).open(sealed, scope="field", token="t") == b"4111"
    ready, message, left = ring.status()
    assert (ready, left) == (True, 40.0)
    assert name in message
    site.clock.now += 41
    with pytest.raises(KeysUnavailable):
        ring.active_field_key(CARD)
    with pytest.raises(KeysUnavailable, match=name):
        ring.reload()
    assert site.rows() == before


@ONE_LOST
def test_a_row_put_back_is_served_again(site: Installation, purpose: str) -> None:
    where, _ = LOST[purpose]
    ring = site.start()
    mac = ring.index_key(CARD).mac("field", "x")
    site.owner(f"CREATE TABLE backup AS SELECT * FROM data_keys WHERE {where}")
    site.owner(f"DELETE FROM data_keys WHERE {where}")
    with pytest.raises(KeysUnavailable):
        ring.reload()
    site.owner("INSERT INTO data_keys SELECT * FROM backup")
    ring.reload()
    assert ring.status().message == ""
    assert site.start().index_key(CARD).mac("field", "x") == mac


@ONE_LOST
def test_another_key_of_the_same_place_is_refused(site: Installation, purpose: str) -> None:
    # Genuine, so that it opens: from a copy of the installation, say, under the same Transit key.
    where, name = LOST[purpose]
    ring = site.start()
    context = data_key_context(
        DEFAULT_TENANT, "" if purpose == "audit" else "card_number", purpose, 1
    )
    (other,) = site.wrapper.generate([context])
    site.owner(f"UPDATE data_keys SET wrapped = '{other}' WHERE {where}")
    told = site.refusal()
    assert name in told
    assert "another key" in told
    with pytest.raises(KeysUnavailable, match=name):
        ring.reload()


def test_every_version_is_missed(site: Installation) -> None:
    ring = site.start()
    for _ in range(11):
        ring.for_encryption(CARD, 1000)
    assert ring.active_field_key(CARD).version == 2
    ring.close()
    site.owner(
        "DELETE FROM data_keys WHERE version = 2;"
        "UPDATE data_keys SET active = true, uses = 0 WHERE version = 1"
    )
    assert "card_number field version 2" in site.refusal()


def test_an_older_copy_of_the_table_is_refused(site: Installation) -> None:
    ring = site.start()
    site.owner("CREATE TABLE older AS SELECT * FROM data_keys")
    ring.ensure([*FIELDS, "email"])
    site.owner("DELETE FROM data_keys; INSERT INTO data_keys SELECT * FROM older")
    told = site.refusal()
    assert "email field version 1" in told
    assert "email index version 1" in told


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE data_keys SET restored = true WHERE purpose = 'field'", "restored"),
        (
            "UPDATE data_keys SET active = false WHERE version = 2;"
            "UPDATE data_keys SET active = true WHERE purpose = 'field' AND version = 1",
            "not the active one",
        ),
    ],
)
def test_what_says_how_a_key_is_used_is_compared_too(
    site: Installation, change: str, named: str
) -> None:
    ring = site.start()
    for _ in range(11):
        ring.for_encryption(CARD, 1000)
    site.owner(change)
    told = site.refusal()
    assert "card_number field version 2" in told
    assert named in told
    with pytest.raises(KeysUnavailable, match=named):
        ring.reload()


USED = {
    "its shape": "INSERT INTO field_shapes VALUES ('default', 'card_number', 's')",
    "tokens": (
        "INSERT INTO tokens VALUES"
        " ('default', 'card_number', 't', 'field', 'live', 'ff1', 1, 0, now(), NULL, 'x')"
    ),
    "its index": (
        "INSERT INTO token_index VALUES ('default', 'card_number', 'field', 1,"
        " decode(repeat('00', 32), 'hex'), 't')"
    ),
    "its limits": (
        "INSERT INTO limit_counters VALUES ('default', 'card_number', 'tokenize', 'p', 60, 0, 1)"
    ),
}


@pytest.mark.parametrize("used", USED)
def test_a_used_field_gets_no_first_key_though_the_manifest_is_gone_too(
    site: Installation, used: str
) -> None:
    site.start().close()
    site.owner(USED[used])
    site.owner("DELETE FROM key_manifest; DELETE FROM data_keys WHERE field = 'card_number'")
    told = site.refusal()
    assert "card_number field version 1" in told
    assert "card_number index version 1" in told
    assert "has been used" in told


@pytest.mark.parametrize("left", ["field", "index"])
def test_half_of_a_fields_keys_is_a_loss_without_any_manifest(
    site: Installation, left: str
) -> None:
    site.start().close()
    site.owner(
        "DELETE FROM key_manifest;"
        f"DELETE FROM data_keys WHERE field = 'card_number' AND purpose <> '{left}'"
    )
    lost = "index" if left == "field" else "field"
    assert f"card_number {lost} version 1" in site.refusal()


@pytest.mark.parametrize("gone", ["purpose = 'audit'", "true"])
def test_a_used_database_gets_no_first_audit_key(site: Installation, gone: str) -> None:
    site.start().close()
    site.call()
    site.owner(f"DELETE FROM key_manifest; DELETE FROM data_keys WHERE {gone}")
    assert "default audit version 1" in site.refusal()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE key_manifest SET document = replace(document, 'card_number', 'card_numbes')",
        "UPDATE key_manifest SET document = replace(document, ']', ' ]')",
        "UPDATE key_manifest SET document = ''",
        "UPDATE key_manifest SET mac = decode(repeat('00', 32), 'hex')",
        "UPDATE key_manifest SET number = number + 1",
        "UPDATE key_manifest SET number = 9223372036854775807",
    ],
)
def test_an_edited_manifest_is_refused(site: Installation, change: str) -> None:
    ring = site.start()
    site.owner(change)
    assert "the key manifest was edited" in site.refusal()
    with pytest.raises(KeysUnavailable, match="key manifest"):
        ring.reload()


def test_a_manifest_under_an_audit_key_that_is_gone_names_that_key(site: Installation) -> None:
    site.start().close()
    site.owner("UPDATE key_manifest SET key_version = 2")
    assert "default audit version 2" in site.refusal()


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM key_manifest", "DELETE FROM key_manifest WHERE number = 2"],
)
def test_a_server_that_runs_misses_the_manifest_that_it_knows(
    site: Installation, change: str
) -> None:
    ring = site.start()
    ring.ensure([*FIELDS, "email"])
    assert site.generations() == [1, 2]
    site.owner(change)
    with pytest.raises(KeysUnavailable, match="the key manifest was put back"):
        ring.reload()
    assert ring.active_field_key(CARD).version == 1


def test_a_server_that_runs_misses_a_key_whatever_the_manifest_says(site: Installation) -> None:
    ring = site.start()
    ring.ensure([*FIELDS, "email"])
    site.owner("DELETE FROM key_manifest; DELETE FROM data_keys WHERE field = 'email'")
    site.start("card_number")  # makes a manifest of what is left
    with pytest.raises(KeysUnavailable, match="email field version 1"):
        ring.reload()


@ONE_LOST
def test_losses_are_told_at_once_and_nothing_is_changed_by_asking(
    site: Installation, purpose: str
) -> None:
    where, name = LOST[purpose]
    ring = site.start()
    assert list(ring.mismatches()) == []
    site.owner(f"DELETE FROM data_keys WHERE {where}")
    before, status = site.rows(), ring.status()
    assert list(ring.mismatches()) == [f"data key {name}: its row is missing from data_keys"]
    assert (site.rows(), ring.status()) == (before, status)
    site.wrapper.unwrap = away  # type: ignore[method-assign, assignment]
    assert list(ring.mismatches()) == [f"data key {name}: its row is missing from data_keys"]


def test_rows_that_do_not_open_and_a_lost_manifest_are_told_too(site: Installation) -> None:
    ring = site.start()
    site.owner("CREATE TABLE backup AS SELECT * FROM key_manifest; DELETE FROM key_manifest")
    (told,) = ring.mismatches()
    assert "the key manifest was put back" in told
    site.owner("INSERT INTO key_manifest SELECT * FROM backup")
    assert list(ring.mismatches()) == []
    site.owner("UPDATE data_keys SET wrapped = 'local:v1:AAAA' WHERE purpose = 'index'")
    (told,) = ring.mismatches()
    assert "2 of 5 data keys do not open (account_id index version 1" in told
    site.wrapper.unwrap = away  # type: ignore[method-assign, assignment]
    assert list(ring.mismatches()) == []


def away(_: object) -> list[bytes]:
    raise KeysUnavailable("key server: it cannot be reached")


def test_a_database_from_before_gets_its_manifest_from_what_is_there(site: Installation) -> None:
    site.start().close()
    site.use()
    site.owner("DELETE FROM key_manifest")
    before = site.rows()
    site.start()
    assert (site.rows(), site.generations()) == (before, [1])
    site.owner("DELETE FROM data_keys WHERE field = 'card_number'")
    assert "card_number field version 1" in site.refusal()


def test_a_version_that_the_release_before_makes_is_taken_in(site: Installation) -> None:
    one, two = site.start(), site.start()
    (wrapped,) = site.wrapper.generate(
        [data_key_context(DEFAULT_TENANT, "card_number", "field", 2)]
    )
    record = DataKeyRecord(
        DEFAULT_TENANT, "card_number", "field", 2, wrapped, True, 0, restored=True
    )
    site.store.add([record])
    assert one.field_key(CARD, 2).version == 2
    assert site.generations() == [1, 2]
    two.reload()
    assert site.generations() == [1, 2]
    site.owner("DELETE FROM data_keys WHERE version = 2")
    assert "card_number field version 2" in site.refusal()


def test_a_new_field_of_the_policy_gets_its_first_keys(site: Installation) -> None:
    ring = site.start()
    site.use()
    site.call()
    ring.ensure([*FIELDS, "email"])
    assert site.generations() == [1, 2]
    assert site.start("email").active_field_key(TokenSpace(DEFAULT_TENANT, "email")).version == 1


def test_a_new_field_that_has_been_used_gets_none_and_the_others_go_on(
    site: Installation,
) -> None:
    ring = site.start()
    site.use(TokenSpace(DEFAULT_TENANT, "email"))
    with pytest.raises(KeysUnavailable, match="email field version 1"):
        ring.ensure([*FIELDS, "email"])
    assert ring.active_field_key(CARD).version == 1


def test_servers_that_start_together_write_one_manifest(site: Installation) -> None:
    generate, racing = site.wrapper.generate, Barrier(2)

    def late(contexts: object) -> object:
        racing.wait(10)
        return generate(contexts)  # type: ignore[arg-type]

    site.wrapper.generate = late  # type: ignore[method-assign, assignment]
    macs: list[bytes] = []

    def start() -> None:
        macs.append(site.start().index_key(CARD).mac("field", "x"))

    run_together(start, start)
    assert len(macs) == 2
    assert macs[0] == macs[1]
    assert site.generations() == [1]


def test_servers_that_find_a_restored_database_agree_on_its_manifest(site: Installation) -> None:
    rings = [site.start(), site.start()]
    site.store.begin_epoch("", [])
    run_together(*(ring.reload for ring in rings))
    for ring in rings:
        ring.reload()
        assert ring.active_field_key(CARD).version == 2
        assert ring.token_field_key(CARD).version == 1
    assert site.generations()[0] == 1


def run_together(*work: Callable[[], object]) -> None:
    threads = [Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


EVERYTHING = """
DELETE FROM key_manifest;
DELETE FROM field_shapes;
DELETE FROM limit_counters;
DELETE FROM data_keys WHERE field = 'card_number'
"""


def test_the_audit_is_a_witness_where_every_trace_of_a_field_is_gone(site: Installation) -> None:
    ring = site.start()
    site.serving(ring)()
    site.owner(EVERYTHING)
    assert "the audit names generation 1" in site.refusal()


def test_a_generation_is_named_by_the_next_call_of_a_server_that_runs(site: Installation) -> None:
    ring = site.start()
    call = site.serving(ring)
    call()
    call()
    ring.ensure([*FIELDS, "email"])
    call()
    call()
    with psycopg.connect(site.database.superuser_conninfo) as connection:
        named = connection.execute(
            "SELECT body::jsonb->'keys'->>'generation' FROM audit_writers w"
            " JOIN audit_records r ON r.writer = w.writer AND number = 1 ORDER BY ordinal"
        ).fetchall()
    assert named == [("1",), ("2",)]
    site.owner(
        "DELETE FROM key_manifest WHERE number = 2; DELETE FROM data_keys WHERE field = 'email'"
    )
    assert "the audit names generation 2" in site.refusal(*FIELDS, "email")
    accepted = site.accept()
    assert (accepted.generation, len(accepted.changed)) == (3, 1)
    assert site.start().active_field_key(CARD).version == 1


def test_a_generation_that_is_made_and_named_while_a_server_starts_is_no_loss(
    site: Installation,
) -> None:
    ring = site.start()
    call = site.serving(ring)
    unwrap, began = site.wrapper.unwrap, [False]

    def late(items: Sequence[tuple[bytes, str]]) -> Sequence[bytes]:
        roots = unwrap(items)
        if not began[0]:
            began[0] = True
            ring.ensure([*FIELDS, "email"])
            call()
        return roots

    site.wrapper.unwrap = late  # type: ignore[method-assign]
    assert site.start().active_field_key(CARD).version == 1
    assert site.generations() == [1, 2]


def test_another_manifest_of_the_same_number_is_not_the_one_the_audit_names(
    site: Installation,
) -> None:
    ring = site.start()
    site.serving(ring)()
    ring.close()
    site.owner("DELETE FROM key_manifest")
    site.owner("CREATE TABLE hidden AS SELECT * FROM audit_records; DELETE FROM audit_records")
    context = data_key_context(DEFAULT_TENANT, "card_number", "index", 2)
    (wrapped,) = site.wrapper.generate([context])
    other = DataKeyRecord(DEFAULT_TENANT, "card_number", "index", 2, wrapped, True, 0)
    site.store.add([other])
    site.start()
    site.owner("INSERT INTO audit_records SELECT * FROM hidden")
    assert "the audit names generation 1" in site.refusal()


def test_openings_that_no_server_wrote_are_no_witness(site: Installation) -> None:
    site.start()
    site.call()  # under another key, and without naming a manifest
    site.owner(
        "UPDATE audit_records SET body = jsonb_set(body::jsonb, '{keys}',"
        ' \'{"generation": 9, "mac": "00"}\')::text WHERE number = 1'
    )
    assert site.start().active_field_key(CARD).version == 1


def test_an_edited_manifest_is_replaced_on_an_operators_word(site: Installation) -> None:
    ring = site.start()
    mac = ring.index_key(CARD).mac("field", "x")
    site.owner("UPDATE key_manifest SET mac = decode(repeat('00', 32), 'hex')")
    accepted = site.accept()
    assert (accepted.generation, accepted.keys) == (2, 5)
    assert "the key manifest was edited" in accepted.changed[0]
    ring.reload()
    assert site.start().index_key(CARD).mac("field", "x") == mac


def test_another_key_is_accepted_by_name_and_refused_by_who_used_the_one_before(
    site: Installation,
) -> None:
    ring = site.start()
    (other,) = site.wrapper.generate([data_key_context(DEFAULT_TENANT, "card_number", "index", 1)])
    site.owner(f"UPDATE data_keys SET wrapped = '{other}' WHERE {LOST['index'][0]}")
    (told,) = site.accept().changed
    assert told == "data key card_number index version 1: " + (
        "its row in data_keys holds another key than before"
    )
    assert site.start().index_key(CARD).version == 1
    with pytest.raises(KeysUnavailable, match="card_number index version 1"):
        ring.reload()


@pytest.mark.parametrize("how", ["its row is gone", "its row does not open"])
def test_a_field_whose_key_is_lost_for_good_is_given_up_and_the_others_go_on(
    site: Installation, how: str
) -> None:
    ring = site.start()
    site.use()
    account = TokenSpace(DEFAULT_TENANT, "account_id")
    mac = ring.index_key(account).mac("field", "x")
    where = LOST["field"][0]
    site.owner(
        f"DELETE FROM data_keys WHERE {where}"
        if how == "its row is gone"
        else f"UPDATE data_keys SET wrapped = 'local:v1:AAAA' WHERE {where}"
    )
    with pytest.raises(KeysUnavailable):
        site.accept()
    site.accept("card_number")
    before = site.rows()
    for each in (site.start(), ring):
        each.reload()
        each.ensure(FIELDS)
        assert each.status().message == ""
        assert list(each.mismatches()) == []
        assert each.index_key(account).mac("field", "x") == mac
        for ask in (each.active_field_key, each.token_field_key, each.index_key):
            with pytest.raises(KeysUnavailable, match="card_number are lost, and were given up"):
                ask(CARD)
        with pytest.raises(KeysUnavailable, match="given up"):
            each.for_encryption(CARD, 1)
    assert site.rows() == before


def test_a_field_that_was_given_up_comes_back_with_its_own_key_alone(site: Installation) -> None:
    ring = site.start()
    mac = ring.index_key(CARD).mac("field", "x")
    site.owner("CREATE TABLE backup AS SELECT * FROM data_keys WHERE field = 'card_number'")
    site.owner("DELETE FROM data_keys WHERE field = 'card_number'")
    site.accept("card_number")
    site.start("account_id", "card_number", "email")  # a generation more
    with pytest.raises(KeysUnavailable, match="card_number field version 1"):
        site.accept()
    (other,) = site.wrapper.generate([data_key_context(DEFAULT_TENANT, "card_number", "index", 1)])
    site.owner("INSERT INTO data_keys SELECT * FROM backup")
    site.owner(f"UPDATE data_keys SET wrapped = '{other}' WHERE {LOST['index'][0]}")
    assert len(site.accept("card_number").changed) == 0
    site.owner(
        "UPDATE data_keys d SET wrapped = b.wrapped FROM backup b"
        " WHERE (d.field, d.purpose, d.version) = (b.field, b.purpose, b.version)"
    )
    assert list(site.accept().changed) == []
    assert site.start().index_key(CARD).mac("field", "x") == mac


def test_an_audit_key_cannot_be_given_up(site: Installation) -> None:
    site.start()
    site.owner(f"DELETE FROM data_keys WHERE {LOST['audit'][0]}")
    with pytest.raises(KeysUnavailable, match="default audit version 1"):
        site.accept("")


def test_the_owner_cannot_give_a_field_up(site: Installation) -> None:
    # No row of his opens the way to a second first key.
    ring = site.start()
    site.owner(
        "DELETE FROM data_keys WHERE field = 'card_number';"
        'UPDATE key_manifest SET document = \'{"given_up":["card_number"],\''
        " || substr(document, 2)"
    )
    assert "the key manifest was edited" in site.refusal()
    with pytest.raises(KeysUnavailable, match="the key manifest was"):
        ring.reload()


def test_the_services_role_may_add_to_the_manifest_and_change_nothing(site: Installation) -> None:
    site.start()
    for statement in ("DELETE FROM key_manifest", "UPDATE key_manifest SET number = 7"):
        with site.engine.connect() as connection, pytest.raises(Exception, match="denied"):
            connection.exec_driver_sql(statement)


def test_nothing_of_a_key_is_in_a_refusal(site: Installation) -> None:
    site.start().close()
    wrapped = [row.wrapped for row in site.rows()]
    site.owner("DELETE FROM data_keys WHERE field = 'card_number'")
    told = site.refusal()
    assert not any(text in told for text in wrapped)
    assert datetime.now().strftime("%Y") not in told
