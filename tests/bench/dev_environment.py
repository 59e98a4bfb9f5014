"""Runs a development environment of the checkout that the interpreter has installed.

Started by a bench with the interpreter of each checkout, so it imports nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vault.dev.environment import DevEnvironment

if __name__ == "__main__":
    directory, workers, *policy = sys.argv[1:]
    chosen = Path(policy[0]) if policy else None
    DevEnvironment(Path(directory), policy=chosen, port=0, workers=int(workers)).run(print)
