"""Copies Postgres's programs to where the user that runs them can reach them.

Root runs them as another user where user namespaces are forbidden, and that user cannot
pass through a checkout or a home directory that is root's alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from vault.dev.unprivileged import ProcessIdentity
from vault.errors import SetupError

__all__ = ["accessible_binaries"]


def accessible_binaries(binaries: Path, identity: ProcessIdentity, shared: Path) -> Path:
    """Returns the directory itself, or that of a copy below ``shared``, made once.

    Raises SetupError where no copy can be made or the user cannot reach it either.
    """
    if identity.user is None or _can_start(binaries, identity):
        return binaries
    try:
        copy = _copy(binaries, shared)
    except OSError as error:
        raise SetupError(_remedy(binaries, f"{shared}: {error.strerror}")) from None
    if not _can_start(copy, identity):
        raise SetupError(_remedy(binaries, f"nor {copy}"))
    return copy


def _can_start(binaries: Path, identity: ProcessIdentity) -> bool:
    return all(_answers(binaries / name, identity) for name in ("postgres", "initdb"))


def _answers(program: Path, identity: ProcessIdentity) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - a binary we chose
            [str(program), "--version"],
            capture_output=True,
            check=False,
            cwd="/",
            env={"PATH": os.defpath},
            user=identity.user,
            group=identity.group,
            extra_groups=[],
        )
    except OSError:
        return False
    return done.returncode == 0


def _copy(binaries: Path, shared: Path) -> Path:
    """Copies the whole installation: the programs look for their files next to them.

    So do those of a wheel for its libraries: package/pginstall/bin and package.libs.
    """
    installed = binaries.parent
    package = installed.parent
    program = (binaries / "postgres").stat()
    mark = f"{installed.resolve()}:{program.st_size}:{program.st_mtime_ns}"
    name = f"postgres-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
    copy = shared / name
    if not copy.exists():
        shared.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Of a name of its own: two may start at once, and one may be cut short.
        fresh = shared / f".{name}.{secrets.token_hex(4)}"
        try:
            shutil.copytree(installed, fresh / package.name / installed.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            if not copy.exists():
                fresh.rename(copy)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return copy / package.name / installed.name / binaries.name


def _remedy(binaries: Path, why: str) -> str:
    return (
        "Postgres refuses to run as root, and the user it would run as cannot reach "
        f"{binaries} ({why}): run this as an ordinary user, allow user namespaces, or "
        "install where others can pass through"
    )
