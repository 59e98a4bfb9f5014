"""Tables that have lost what keeps their rows apart: nothing is answered from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from vault.errors import StoreUnavailable
from vault.store import sql

if TYPE_CHECKING:
    from tests.integration.store.service_harness import ServiceHarness

Owner = psycopg.Connection[tuple[object, ...]]
VALUES = [f"{n:09d}" for n in range(20)]


@pytest.mark.parametrize("table", ["tokens", "token_index", "field_shapes"])
@pytest.mark.parametrize("field", ["kept", "dated"])
def test_no_token_is_made_without_a_primary_key(
    harness: ServiceHarness, owner: Owner, table: str, field: str
) -> None:
    """As a restore leaves it that stopped before the indexes."""
    owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey CASCADE".encode())
    with pytest.raises(StoreUnavailable, match="has lost its primary key"):
        harness.tokenize(field, VALUES)


def test_a_deferred_key_is_none(harness: ServiceHarness, owner: Owner) -> None:
    owner.execute("ALTER TABLE tokens DROP CONSTRAINT tokens_pkey")
    owner.execute("ALTER TABLE tokens ADD PRIMARY KEY (tenant, field, token) DEFERRABLE")
    with pytest.raises(StoreUnavailable):
        harness.tokenize("dated", VALUES)


def test_every_conflict_names_its_key() -> None:
    texts = [text for text in vars(sql).values() if isinstance(text, str)]
    assert not [text for text in texts if "ON CONFLICT DO" in text]
