"""Two servers, one database, eight callers, the same values at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import StartServer

VALUES = [f"{n * 7_919 % 10**10:010d}X" for n in range(10_000)]


@pytest.mark.timeout(300)
def test_each_value_has_exactly_one_token(start_server: StartServer) -> None:
    servers = [start_server("first"), start_server("second")]

    # Made here, one after another: each takes a certificate of its own from one file.
    clients = [
        servers[number % 2].client("pipeline", batch_size=1000 + 37 * number) for number in range(8)
    ]

    def work(number: int) -> dict[str, str | None]:
        # Everybody begins elsewhere and the batches overlap across each other's borders.
        shift = number * 1_237
        values = VALUES[shift:] + VALUES[:shift]
        with clients[number] as client:
            column = client.tokenize("national_id", values)
        assert column.errors == {}
        return dict(zip(values, column.values, strict=True))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0].values())) == len(VALUES)
    with servers[1].client("restore-pipeline") as client:
        back = client.detokenize("national_id", [answers[0][value] for value in VALUES])
    assert back.values == VALUES
    with servers[0].client("auditor") as auditor:
        report = auditor.verify_audit()
    assert list(report.findings) == []
    assert report.writers >= 2
