"""Runs a development environment of the checkout that the interpreter has installed.

Started by ``bench_server`` with the interpreter of each checkout, so it imports nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vault.dev.environment import DevEnvironment

if __name__ == "__main__":
    directory, workers = sys.argv[1:]
    DevEnvironment(Path(directory), port=0, workers=int(workers)).run(print)
