from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from vault.rpc.random_ids import RandomIds


def test_no_id_comes_twice_whoever_asks() -> None:
    ids = RandomIds()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ids.next(), range(5_000)))
    assert len(set(found)) == 5_000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found)
