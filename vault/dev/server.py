"""The development server: ``serve``, but the development CA may pass.

Started by ``vault.dev.environment`` as ``python -m vault.dev.server --config FILE``. This
is the only way to permit that CA; no setting does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vault.config import load_settings
from vault.errors import TokenvaultError, for_operators
from vault.server.run import run_server

__all__ = ["main"]

_FAILED = 2


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="vault.dev.server", description="Development server.")
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    try:
        run_server(load_settings(options.config), allow_development=True)
    except TokenvaultError as error:
        sys.stderr.write(f"{for_operators(error)}\n")
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
