"""Two releases side by side: no field begins with a tweak version that a live server misreads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine

from vault.model import TokenSpace
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.store.policy_coordinator import AuthenticatedPolicy, PolicyCoordinator

if TYPE_CHECKING:
    from tests.integration.conftest import Owner

DIGEST = hashlib.sha256(b"policy").hexdigest()
SEALED = AuthenticatedPolicy(DIGEST, "policy", 1, bytes(32))
# As the release before reports: it knows nothing of the column.
REPORT_BEFORE = """
INSERT INTO policy_servers (tenant, server, name, digest, seen)
VALUES ('default', %(server)s, 'before', %(digest)s, clock_timestamp())
ON CONFLICT (tenant, server) DO UPDATE
SET name = excluded.name, digest = excluded.digest, seen = excluded.seen
"""


def unrecorded(_opened: object, _change: object) -> None:
    """In the place of the audit."""


def report_before(owner: Owner, server: UUID) -> None:
    owner.execute(REPORT_BEFORE, {"server": server, "digest": DIGEST})


def record(work: PostgresUnitOfWork, field: str, *, by_key: bool = False) -> str:
    space = TokenSpace("default", field)
    return work.run(
        lambda transaction: transaction.token_specs.record(space, "new", older="old", by_key=by_key)
    )


def test_a_field_begins_with_the_older_version_while_an_older_server_is_live(
    work: PostgresUnitOfWork, engine: Engine, owner: Owner
) -> None:
    server = uuid4()
    report_before(owner, server)
    PolicyCoordinator(engine, "default", uuid4(), "this", unrecorded).report(SEALED)
    assert record(work, "first") == "old"

    report_before(owner, server)
    owner.execute("DELETE FROM policy_servers WHERE name = 'before'")
    assert record(work, "second") == "new"
    assert record(work, "first") == "old"


def test_an_older_server_cannot_report_once_a_field_has_the_newer_version(
    work: PostgresUnitOfWork, engine: Engine, owner: Owner
) -> None:
    board = PolicyCoordinator(engine, "default", uuid4(), "this", unrecorded)
    board.report(SEALED)
    assert record(work, "field") == "new"

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        report_before(owner, uuid4())

    board.report(SEALED)
    assert record(work, "another") == "new"


def test_what_is_rolled_back_bars_nobody(work: PostgresUnitOfWork, owner: Owner) -> None:
    def fail(transaction: object) -> None:
        transaction.token_specs.record(TokenSpace("default", "f"), "new", older="old")  # type: ignore[attr-defined]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        work.run(fail)
    report_before(owner, uuid4())


def test_a_field_of_one_version_bars_nobody(work: PostgresUnitOfWork, owner: Owner) -> None:
    space = TokenSpace("default", "ff1")
    assert work.run(lambda transaction: transaction.token_specs.record(space, "only")) == "only"
    report_before(owner, uuid4())


@pytest.mark.parametrize(("age", "token_spec"), [("1 hour", "old"), ("-1 hour", "new")])
def test_a_vaultless_field_whose_record_was_lost_goes_by_the_age_of_its_key(
    work: PostgresUnitOfWork, owner: Owner, age: str, token_spec: str
) -> None:
    owner.execute(
        "INSERT INTO data_keys (tenant, field, purpose, version, wrapped, active, created)"
        " VALUES ('default', 'lost', 'field', 1, 'vault:v1:a', true, now() - %s::interval)",
        [age],
    )
    assert record(work, "lost", by_key=True) == token_spec


def test_other_fields_begin_with_the_newer_version_whatever_their_keys_age(
    work: PostgresUnitOfWork, owner: Owner
) -> None:
    owner.execute(
        "INSERT INTO data_keys (tenant, field, purpose, version, wrapped, active, created)"
        " VALUES ('default', 'lost', 'field', 1, 'vault:v1:a', true, now() - interval '1 hour')"
    )
    assert record(work, "lost") == "new"
