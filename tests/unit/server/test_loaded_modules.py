"""What a server's processes load: memory and time to start that nothing uses."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("vault.server.run", {"vault.server.server", "sqlalchemy", "psycopg", "numpy", "hvac"}),
        ("vault.server.server", {"alembic", "mako", "typer"}),
    ],
    ids=["a supervisor", "a worker"],
)
def test_a_process_loads_only_what_it_uses(module: str, without: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    loaded = set(found.stdout.split())
    assert module in loaded
    assert loaded & without == set()
