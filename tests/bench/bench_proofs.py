"""How long proofs of a long log take: ``python -m tests.bench.bench_proofs [ENTRIES]``.

The log is filled by its owner, with roots as integrators leave them that each had a backlog of
up to 1,000 records (``mixed``), or always that many (``full``); and as releases left them that
wrote no root for each tile (``older``).
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import psycopg

from vault.audit.log import grown_trees, make_root
from vault.audit.merkle import EMPTY
from vault.audit.reading import PostgresAuditReader
from vault.crypto.field_key import MacKey
from vault.dev.postgres import SERVICE, Database, EmbeddedPostgres
from vault.postgres.engine import make_engine
from vault.postgres.migrate import migrate
from vault.store.data_keys import PostgresDataKeyStore

KEY = MacKey(1, b"1" * 32)
WRITER = UUID(int=7)
PROOFS = 200
_ENTRIES = (
    "COPY audit_log (position, writer, number, mac, leaf, body_digest) FROM STDIN (FORMAT BINARY)"
)
_ROOTS = "COPY audit_roots (size, key_version, peaks, root, mac) FROM STDIN (FORMAT BINARY)"


def sizes(entries: int, kind: str) -> Iterator[int]:
    """Yields the sizes of the log after each batch."""
    some, size = random.Random(7), 0
    while size < entries:
        size = min(entries, size + (1000 if kind == "full" else some.randint(1, 1000)))
        yield size


def fill(database: Database, entries: int, kind: str) -> None:
    with psycopg.connect(database.superuser_conninfo) as owner:
        tree, at, roots = EMPTY, 0, []
        with owner.cursor() as cursor, cursor.copy(_ENTRIES) as copy:
            copy.set_types(["int8", "uuid", "int8", "bytea", "bytea", "bytea"])
            for size in sizes(entries, kind):
                leaves = [sha256(number.to_bytes(8)).digest() for number in range(at, size)]
                for number, leaf in enumerate(leaves, at + 1):
                    copy.write_row((number, WRITER, number, leaf, leaf, leaf))
                *more, tree = grown_trees(tree, leaves)
                kept = [*more, tree] if kind != "older" else [tree]
                roots += [make_root(KEY, each) for each in kept]
                at = size
        with owner.cursor() as cursor, cursor.copy(_ROOTS) as copy:
            copy.set_types(["int8", "int4", "bytea", "bytea", "bytea"])
            for root in roots:
                copy.write_row((root.size, root.key_version, root.peaks, root.root, root.mac))
        owner.execute("ANALYZE audit_log, audit_roots")


def measure(database: Database, entries: int) -> None:
    engine = make_engine(database.service_url)
    store = PostgresDataKeyStore(engine)
    store.begin_epoch(store.database_identity().current, [])
    reader = PostgresAuditReader(engine, lambda _: KEY)
    places = random.Random(8)
    for name, forget in (("nothing kept", True), ("hashes kept", False)):
        for what in ("inclusion", "consistency"):
            taken = []
            for _ in range(PROOFS):
                place = places.randint(1, entries)
                if forget:
                    reader._hashes.forget()
                begun = time.perf_counter()
                reader.prove(*((place, 0) if what == "inclusion" else (0, place)))
                taken.append((time.perf_counter() - begun) * 1000)
            worst = statistics.quantiles(taken, n=100)[-1]
            middle = statistics.median(taken)
            print(f"  {what}, {name}: median {middle:.1f} ms, p99 {worst:.1f} ms", flush=True)
    engine.dispose()


def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedPostgres(Path(directory), settings={"fsync": "off"}) as server,
    ):
        for kind in ("mixed", "full", "older"):
            database = server.create_database(f"proofs_{kind}")
            migrate(database.owner_url, SERVICE)
            fill(database, entries, kind)
            print(f"{entries:,} entries, {kind} batches", flush=True)
            measure(database, entries)
            server.drop_database(database.name)


if __name__ == "__main__":
    main()
