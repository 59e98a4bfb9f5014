"""The key manifests that the audit names: every writer's opening names the one in force.

The owner of the database can remove the manifest, and with it what
distinguishes a lost key from a new one. The audit has a MAC and a chain of its own, and cannot
be removed unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, text

from vault.audit.chain import KeyOf
from vault.audit.record import NamedManifest, Record, read_opening
from vault.errors import DecryptionFailed
from vault.postgres.failures import translate_for_audit, translated

__all__ = ["read_named_manifests"]

# A process opens as many as it has calls at once, and one for each generation.
_MAX_OPENINGS = 2000
_LAST_OPENINGS = text("""
SELECT r.writer, r.number, r.key_version, r.previous, r.mac, r.body
FROM (SELECT writer FROM audit_writers ORDER BY ordinal DESC LIMIT :most) w
JOIN audit_records r ON r.writer = w.writer AND r.number = 1
""")
_SETTINGS = text(
    "SELECT set_config('statement_timeout', '10s', true), set_config('enable_seqscan', 'off', true)"
)


@translated(translate_for_audit)
def read_named_manifests(engine: Engine, key_of: KeyOf) -> Sequence[NamedManifest]:
    """Returns the generations that the last writers' genuine openings name.

    Raises AuditUnavailable.
    """
    with engine.connect() as connection:
        connection.execute(_SETTINGS)
        rows = connection.execute(_LAST_OPENINGS, {"most": _MAX_OPENINGS}).all()
    named = {_named(Record(*row), key_of) for row in rows}
    return [each for each in named if each is not None]


def _named(record: Record, key_of: KeyOf) -> NamedManifest | None:
    try:
        if record.verifies(key_of(record.key_version), record.writer, 1):
            return read_opening(record.body).keys
    except (DecryptionFailed, ValueError):
        pass  # verification of the audit says what is wrong with it
    return None
