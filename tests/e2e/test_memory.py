"""What a server that has closed leaves in its process's memory.

Two promises, and no more (SECURITY.md): no derived key stays, and with an allocator that
overwrites what is freed no root key and no value stays either. Such an allocator also
proves that nothing of ours still refers to them.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import psycopg
import pytest

from vault.config import load_settings
from vault.crypto.encoding import u32
from vault.crypto.field_key import data_key_context
from vault.crypto.kdf import Label, expand, sub_key
from vault.keys.hashicorp import HashicorpKeyWrapper

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Site

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/<pid>/mem is Linux's")

# Python's own allocator keeps small blocks to itself; glibc's fills what it is given back,
# except what goes into a thread's own cache.
OVERWRITING = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0",
}
NAMES = [f"Canarino Quetzal{chr(97 + n % 26)}{chr(97 + n // 26)}q" for n in range(60)]
# Enough to go as arrays.
IDS = [f"{n:010d}" for n in range(7_000_000_000, 7_000_000_070)]
# What a server in use is sure to hold as it is; HMAC keys are hashed at once.
HELD = (Label.FF1, Label.FF3_1, Label.ROW, Label.MESSAGE)

Secrets = Mapping[str, list[bytes]]


@dataclass
class Closing:
    """A server in a process that stays after it has closed."""

    process: subprocess.Popen[bytes]

    def await_line(self, line: str) -> None:
        assert self._pipe(self.process.stdout).readline() == f"{line}\n".encode()

    def go_on(self) -> None:
        pipe = self._pipe(self.process.stdin)
        pipe.write(b"\n")
        pipe.flush()

    def count(self, secrets: Secrets) -> dict[str, int]:
        """How many secrets of each kind are in the process's memory."""
        memory = list(self._memory())
        assert sum(map(len, memory)) > 10_000_000
        found = present(memory, {each for wanted in secrets.values() for each in wanted})
        return {kind: sum(each in found for each in wanted) for kind, wanted in secrets.items()}

    def _memory(self) -> Iterator[bytes]:
        maps = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        with Path(f"/proc/{self.process.pid}/mem").open("rb", buffering=0) as memory:
            for line in maps:
                match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if match is None:
                    continue
                start, end = (int(part, 16) for part in match.groups())
                with suppress(OSError):  # a mapping of a device
                    memory.seek(start)
                    yield memory.read(end - start)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def present(memory: Sequence[bytes], wanted: Collection[bytes]) -> set[bytes]:
    """Which of the wanted are there: once through the memory for all of them."""
    alike: defaultdict[bytes, list[bytes]] = defaultdict(list)
    begins = np.zeros(1 << 16, np.bool_)
    for each in wanted:
        alike[each[:8]].append(each)
        begins[int.from_bytes(each[:2])] = True
    found: set[bytes] = set()
    for part in memory:
        data = np.frombuffer(part, np.uint8)
        pairs = data[:-1].astype(np.uint16) << 8 | data[1:]
        for at in np.flatnonzero(begins[pairs]).tolist():
            candidates = alike.get(part[at : at + 8], ())
            found.update(each for each in candidates if part.startswith(each, at))
    return found


@contextmanager
def closing(server: Server, environment: Mapping[str, str]) -> Iterator[Closing]:
    with (
        server.log.open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.closed_server", server.settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
        ) as process,
    ):
        try:
            yield Closing(process)
        finally:
            process.kill()


def use(server: Server) -> None:
    """Sends the values in and has them sent back, through every cipher."""
    with server.client("pipeline") as pipeline, server.client("restore-pipeline") as owner:
        for field, values in (("person_name", NAMES), ("national_id", IDS)):
            tokens = pipeline.tokenize(field, values)
            assert tokens.errors == {}
            assert owner.detokenize(field, tokens.values).values == values


def secrets_of(site: Site, settings: Path) -> Secrets:
    """What the server has had in memory, found out apart from it."""
    with psycopg.connect(site.database.superuser_conninfo) as connection:
        rows = connection.execute(
            "SELECT tenant, field, purpose, version, wrapped FROM data_keys"
        ).fetchall()
    wrapper = HashicorpKeyWrapper(load_settings(settings).keys)
    wrapper.log_in()
    try:
        roots = list(wrapper.unwrap([(data_key_context(*row[:4]), row[4]) for row in rows]))
    finally:
        wrapper.close()
    derived: dict[Label, list[bytes]] = {label: [] for label in Label}
    for (tenant, field, purpose, version, _), root in zip(rows, roots, strict=True):
        if purpose == "audit":
            derived[Label.AUDIT].append(bytes(expand(root, Label.AUDIT, u32(version))))
            continue
        labels = [Label.INDEX] if purpose == "index" else [*HELD, Label.TWEAK]
        for label in labels:
            derived[label].append(bytes(sub_key(root, label, tenant, field, version)))
    return {
        "roots": roots,
        "roots as text": [base64.b64encode(root) for root in roots],
        "values": [value.encode() for value in [*NAMES, *IDS]],
        **{label.name: keys for label, keys in derived.items()},
    }


@pytest.mark.parametrize("overwriting", [False, True])
def test_what_a_closed_server_leaves(site: Site, overwriting: bool) -> None:
    from tests.e2e.conftest import Server

    settings = site.write_settings(f"closed-{overwriting}", {})
    server = Server(site, settings)
    with closing(server, OVERWRITING if overwriting else {}) as process:
        process.await_line("serving")
        use(server)
        secrets = secrets_of(site, settings)
        held = process.count(secrets)
        # The search finds what is there: while the server is open its keys are.
        for label in HELD:
            assert held[label.name] == len(secrets[label.name]) >= 6, held
        # What is freed is overwritten at once: no value outlives its call.
        assert bool(held["values"]) is not overwriting, held
        process.go_on()
        process.await_line("closed")
        left = process.count(secrets)
    promised = secrets.keys() if overwriting else {label.name for label in Label}
    assert {kind: count for kind, count in left.items() if kind in promised and count} == {}
