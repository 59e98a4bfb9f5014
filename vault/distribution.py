"""The name of this project's distribution, which is not that of its command.

``tokenvault`` on PyPI is somebody else's package. Every hint to install something is made
here, so that no hint names it.
"""

from __future__ import annotations

from importlib import metadata

__all__ = ["DISTRIBUTION", "install_hint", "version"]

DISTRIBUTION = "tokenvault-fpe"


def install_hint(extra: str) -> str:
    """Returns what to do where an optional dependency is missing.

    pip takes the extra's names from the version that is installed, if it is, and fetches
    only what the extra needs.
    """
    return f"install the extra: pip install '{DISTRIBUTION}[{extra}]'"


def version() -> str:
    """Returns the version, or "unknown" where the sources run without an installation."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
