"""The user that runs programs which refuse to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "AS_CALLER",
    "ProcessIdentity",
    "chown_to",
    "namespace",
    "system_user",
    "unprivileged_identity",
]


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """How to start a program: behind a prefix, or as another user.

    Attributes:
        prefix: words before the command.
        user: numeric user to change to, or None to stay; ``group`` likewise.
    """

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None


AS_CALLER = ProcessIdentity()


def unprivileged_identity() -> ProcessIdentity:
    """Returns the caller's own identity, or for root one that is not root."""
    if os.geteuid() != 0:
        return AS_CALLER
    return namespace() or system_user()


def namespace() -> ProcessIdentity | None:
    """Returns root seen as user 1000 in a user namespace, or None where those are forbidden.

    Files stay root's own, so no directory has to be opened up for another user.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    prefix = (unshare, "--user", "--map-user=1000", "--map-group=1000")
    probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)  # noqa: S603
    return ProcessIdentity(prefix) if probe.returncode == 0 else None


def system_user() -> ProcessIdentity:
    """Returns the system user ``postgres``, or else ``nobody``."""
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ProcessIdentity(user=entry.pw_uid, group=entry.pw_gid)
    return ProcessIdentity(user=65534, group=65534)


def chown_to(path: Path, identity: ProcessIdentity) -> None:
    """Makes a file or directory the identity's own, where that is another user."""
    if identity.user is not None and identity.group is not None:
        os.chown(path, identity.user, identity.group)
