"""Which database this is, as far as Postgres can tell."""

from __future__ import annotations

__all__ = ["DATABASE_IDENTITY"]

# A dump restored elsewhere changes the cluster or the database, one restored over the old
# tables changes the table, and every promotion or point-in-time recovery the timeline.
# The walfile's name has the timeline in force; the control file's may be a checkpoint late.
DATABASE_IDENTITY = """
concat_ws(':',
    (SELECT system_identifier FROM pg_control_system()),
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    'data_keys'::regclass::oid)
"""
