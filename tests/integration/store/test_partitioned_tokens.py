"""Tables that their owner has partitioned: what is named by key is hit, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from vault.dev.postgres import SERVICE
from vault.errors import Reason

if TYPE_CHECKING:
    from tests.integration.store.service_harness import ServiceHarness

Owner = psycopg.Connection[tuple[object, ...]]
PARTITIONS = 16
# What each is divided by. A value's index rows need not be where its tokens are.
TABLES = {"tokens": "token", "token_index": "mac", "token_subjects": "token"}
VALUES = [f"{n:09d}" for n in range(400)]


@pytest.fixture
def partitioned(owner: Owner, harness: ServiceHarness) -> None:
    """The tables, still empty, in 16 partitions each, as a database's operator may make them."""
    for table, key in TABLES.items():
        owner.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        owner.execute(
            f"CREATE TABLE {table} (LIKE old_{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
            f" INCLUDING INDEXES) PARTITION BY HASH ({key})"
        )
        for number in range(PARTITIONS):
            owner.execute(
                f"CREATE TABLE {table}_{number} PARTITION OF {table}"
                f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
            )
        owner.execute(f"DROP TABLE old_{table}")
        owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {SERVICE}")


def states(owner: Owner) -> Counter[str]:
    rows = owner.execute("SELECT state FROM tokens").fetchall()
    return Counter(str(state) for (state,) in rows)


def count(owner: Owner, table: str) -> int:
    row = owner.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(str(row[0]))


@pytest.mark.usefixtures("partitioned")
@pytest.mark.parametrize("way", ["tokens", "values"])
def test_erasing_one_of_many_partitions_rows_erases_one(
    harness: ServiceHarness, owner: Owner, way: str
) -> None:
    tokens = harness.tokenize("kept", VALUES)
    owner.execute("INSERT INTO token_subjects SELECT tenant, sha256('s'), field, token FROM tokens")

    if way == "tokens":
        assert harness.erase("kept", tokens=tokens[:1]).failures == {}
    else:
        assert harness.erase("kept", values=VALUES[:1]).failures == {}

    assert states(owner) == {"live": len(VALUES) - 1, "erased": 1}
    assert count(owner, "token_index") == len(VALUES) - 1
    assert count(owner, "token_subjects") == len(VALUES) - 1
    answer = harness.detokenize("kept", tokens)
    assert {at: failure.reason for at, failure in answer.failures.items()} == {
        0: Reason.TOKEN_ERASED
    }
    assert answer.values[1:] == VALUES[1:]
    assert harness.tokenize("kept", VALUES)[1:] == tokens[1:]


@pytest.mark.usefixtures("partitioned")
def test_expired_rows_alone_are_reaped_of_partitions(harness: ServiceHarness, owner: Owner) -> None:
    tokens = harness.tokenize("dated", VALUES)
    # More than once: what an earlier call made a tombstone is an extended row's neighbour then.
    for some in (tokens[:7], tokens[7:9], tokens[9:40]):
        owner.execute(
            "UPDATE tokens SET expires = now() - interval '1 s' WHERE token = ANY (%s)", [some]
        )
        assert harness.expiry.reap() == len(some)
    assert harness.erase("dated", tokens=tokens[:2]).failures == {}
    assert states(owner) == {"live": len(VALUES) - 40, "expired": 38, "erased": 2}
    assert count(owner, "token_index") == len(VALUES) - 40
    again = harness.tokenize("dated", VALUES)
    assert again[40:] == tokens[40:]
    assert not set(again[:40]) & set(tokens)


@pytest.mark.usefixtures("partitioned")
def test_tombstones_in_partitions_stay_what_they_are(harness: ServiceHarness, owner: Owner) -> None:
    """An erased row is not made an expired one by a neighbour's erasure."""
    tokens = harness.tokenize("dated", VALUES)
    harness.erase("dated", tokens=tokens[:200])
    owner.execute(
        "UPDATE tokens SET expires = now() - interval '1 s' WHERE token = ANY (%s)", [tokens[200:]]
    )
    while harness.expiry.reap():
        pass
    assert states(owner) == {"erased": 200, "expired": 200}
