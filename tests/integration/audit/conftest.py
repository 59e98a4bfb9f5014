"""What a server's keyring has done before its audit begins."""

from __future__ import annotations

import pytest

from vault.dev.postgres import Database
from vault.postgres.engine import make_engine
from vault.store.data_keys import PostgresDataKeyStore


@pytest.fixture(autouse=True)
def epoch(database: Database) -> None:
    engine = make_engine(database.service_url)
    store = PostgresDataKeyStore(engine)
    store.begin_epoch(store.database_identity().current, [])
    engine.dispose()
