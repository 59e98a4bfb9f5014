"""Keeps the process's memory, which holds keys, out of core dumps and debuggers."""

from __future__ import annotations

import ctypes
import resource
import sys

__all__ = ["forbid_dumps"]

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> bool:
    """Forbids core dumps and, on Linux, debuggers of the same user.

    Returns:
        Whether everything was forbidden; a platform may lack the means.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
