"""Times that Python cannot read, written by the database's owner: such a row is none of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine

from tests.integration.conftest import AUDIT_KEY
from tests.integration.store.test_touches_in_postgres import TARGET, Keys
from vault.audit.memory import NOTHING_REMEMBERED
from vault.audit.reading import PostgresAuditReader
from vault.server.unit_of_work import PostgresUnitOfWork
from vault.service.freezes.model import Freeze
from vault.service.freezes.rows import FreezeRows
from vault.service.ports import OutboxRow, RevealRow
from vault.service.reveal.rows import is_genuine

Owner = psycopg.Connection[tuple[object, ...]]
NOW = datetime(2026, 11, 28, tzinfo=UTC)
TIMES = ["infinity", "-infinity", "20000-01-01", "0001-01-01 BC"]


def findings(engine: Engine) -> list[str]:
    reader = PostgresAuditReader(engine, lambda _: AUDIT_KEY, lambda: NOTHING_REMEMBERED, [])
    return [each.kind for each in reader.verify(None).findings]


@pytest.mark.parametrize("time", TIMES)
def test_a_freeze_is_called_forged(
    work: PostgresUnitOfWork, engine: Engine, owner: Owner, time: str
) -> None:
    rows = FreezeRows(Keys())
    frozen = Freeze("default", TARGET, frozen=True, changed=NOW)
    work.run(lambda transaction: transaction.freezes.insert(rows.written(frozen)))
    owner.execute("UPDATE freezes SET changed = %s", [time])
    (found,) = work.run(lambda transaction: transaction.freezes.all("default"))
    assert rows.read(found) is None
    assert "FORGED_ROW" in findings(engine)


@pytest.mark.parametrize("time", TIMES)
def test_a_reveal_is_called_forged(
    work: PostgresUnitOfWork, engine: Engine, owner: Owner, time: str
) -> None:
    row = RevealRow("default", UUID(int=1), "ssn", "p", "granted", NOW, "{}", 1, bytes(32))
    work.run(lambda transaction: transaction.reveals.put(row, []))
    owner.execute("UPDATE reveals SET ends = %s", [time])
    found = work.run(lambda transaction: transaction.reveals.lock("default", row.id))
    assert found is not None
    assert replace(found[0], ends=NOW) == row
    assert not is_genuine(AUDIT_KEY, found[0])
    assert "FORGED_ROW" in findings(engine)


@pytest.mark.parametrize("time", TIMES)
def test_a_notice_is_sent_or_too_old(work: PostgresUnitOfWork, owner: Owner, time: str) -> None:
    row = OutboxRow("default", uuid4(), "siem", "{}", 1, bytes(32))
    work.run(lambda transaction: transaction.outbox.add([row]))
    owner.execute("UPDATE webhook_outbox SET created = %s", [time])
    due = work.run(lambda transaction: transaction.outbox.claim("siem", timedelta(minutes=1)))
    assert due is not None
    assert due.row == row
