"""`make demo` as a newcomer runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "deploy" / "demo" / "run.py"


@pytest.mark.timeout(180)
def test_the_demo_ends_well() -> None:
    done = subprocess.run([sys.executable, RUN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "All of it was as it must be" in done.stdout
    assert done.stderr == ""
