"""Statements that Postgres takes and does not carry out: an error, and nothing is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from vault.errors import TokenvaultError

if TYPE_CHECKING:
    from tests.integration.store.service_harness import ServiceHarness

Owner = psycopg.Connection[tuple[object, ...]]
VALUES = [f"{n:09d}" for n in range(20)]
# By which a key is said, and a row hit.
NO_KEY = (
    "CREATE OR REPLACE FUNCTION pg_catalog.textcat(text, text) RETURNS text"
    " LANGUAGE sql IMMUTABLE AS 'SELECT NULL::text'"
)
SKIP = (
    "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE TRIGGER skip BEFORE {} ON {} FOR EACH ROW EXECUTE FUNCTION skip()"
)
UNCHANGED = (
    "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';"
    "CREATE TRIGGER keep BEFORE UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION keep()"
)
TRICKS = {
    "no-key": NO_KEY,
    "no-update": SKIP.format("UPDATE", "tokens"),
    "an-update-of-nothing": UNCHANGED,
    "no-index-row-goes": SKIP.format("DELETE", "token_index"),
    "no-link-goes": SKIP.format("DELETE", "token_subjects"),
    "no-list": SKIP.format("INSERT", "audit_erasures"),
    "no-record": SKIP.format("INSERT", "audit_records"),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_an_erasure_that_does_nothing_is_an_error(
    harness: ServiceHarness, owner: Owner, trick: str
) -> None:
    tokens = harness.tokenize("dated", VALUES)
    owner.execute("INSERT INTO token_subjects SELECT tenant, sha256('s'), field, token FROM tokens")
    owner.execute(trick.encode())
    with pytest.raises(TokenvaultError):
        harness.erase("dated", tokens=tokens[:3])
    left = owner.execute("SELECT state, ciphertext IS NULL FROM tokens").fetchall()
    assert left == [("live", False)] * len(VALUES)


def test_erasing_again_is_none(harness: ServiceHarness) -> None:
    tokens = harness.tokenize("dated", VALUES)
    assert harness.erase("dated", tokens=tokens[:3]).failures == {}
    assert harness.erase("dated", tokens=tokens[:5]).failures == {}


@pytest.mark.parametrize("table", ["limit_counters", "audit_writers", "audit_heads"])
def test_no_other_write_is_lost(harness: ServiceHarness, owner: Owner, table: str) -> None:
    tokens = harness.tokenize("dated", VALUES)
    if table != "limit_counters":
        for each in ("audit_records", "audit_heads", "audit_writers"):
            owner.execute(f"DELETE FROM {each}".encode())
    owner.execute(SKIP.format("INSERT OR UPDATE", table).encode())
    if table == "limit_counters":
        assert harness.tokenize("dated", VALUES) == tokens  # no limit is set
        return
    with pytest.raises(TokenvaultError):
        harness.tokenize("dated", VALUES)
