"""Files of ``deploy/`` that the development environment uses as they are."""

from __future__ import annotations

from pathlib import Path

import vault

__all__ = ["deployed_file"]


def deployed_file(name: str) -> Path:
    """Returns a file of ``deploy/``: inside an installed wheel, or beside the sources."""
    package = Path(vault.__file__).parent
    installed = package / "_deploy"
    return (installed if installed.is_dir() else package.parent / "deploy") / name
