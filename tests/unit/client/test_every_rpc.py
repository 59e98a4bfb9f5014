"""The SDK has every RPC of the API."""

from __future__ import annotations

import re
from pathlib import Path

import vault.client
from tests.api import declared_methods


def test_the_client_calls_every_rpc() -> None:
    (folder,) = vault.client.__path__
    source = "".join(path.read_text() for path in Path(folder).glob("*.py"))
    called = set(re.findall(r"\._\w+\.([A-Z]\w+)", source))
    assert {method.name for method in declared_methods()} == called
