"""libpq's environment variables, which must not reach this process's own clients.

Children get a clean environment (``vault.dev.child``), and the key server's client reads
none. libpq reads ``PG*`` in whichever process uses it, and has no switch against it: a
``PGPASSWORD`` goes before our password files, a ``PGHOSTADDR`` before our host.
"""

from __future__ import annotations

import os
import re

__all__ = ["clear_libpq_variables"]

# Every name of libpq's is of this form, those of later versions too.
_LIBPQ = re.compile(r"PG[A-Z]+")


def clear_libpq_variables() -> None:
    """Removes libpq's variables from this process's environment."""
    for name in [name for name in os.environ if _LIBPQ.fullmatch(name)]:
        del os.environ[name]
