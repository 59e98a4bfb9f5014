"""A server that closes and stays: its process can be searched for what it leaves in memory.

Run by ``test_memory.py``. It says "serving", closes when a line comes, drops what can be
dropped, says "closed", and waits for another line. Unlike ``serve`` it can be looked into.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from vault.config import load_settings
from vault.server.server import serving
from vault.telemetry.logging import configure_logging


def main(config: Path) -> None:
    settings = load_settings(config)
    configure_logging(settings.log.level)
    with serving(settings, allow_development=True):
        say("serving")
    gc.collect()
    say("closed")


def say(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
