"""The numbers of our advisory locks: one for each kind of work that one server does at a time.

Postgres knows such locks by number alone. A number never changes its meaning: servers of two
releases run side by side.
"""

from __future__ import annotations

from enum import IntEnum, unique

__all__ = ["AdvisoryLock"]


@unique
class AdvisoryLock(IntEnum):
    """Each held within one database, mostly to the end of a transaction."""

    MIGRATION = 0x746F6B656E01
    DATA_KEYS = 0x746F6B656E02
    OPENING = 0x746F6B656E03  # of an audit writer
    INTEGRATION = 0x746F6B656E04
    REAPING = 0x746F6B656E05  # making tombstones of expired tokens; was ...04, the integrators'
    PRUNING = 0x746F6B656E06  # dropping old records of the audit
    REVEALS = 0x746F6B656E07  # the seed of a hash: one for each person who asks
