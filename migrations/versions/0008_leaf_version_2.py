"""A digest of the record's body beside its leaf, which commits to it (version 2).

Expands only: code of the revisions before serves this schema too. It writes no digest, and so
leaves of version 1, which an entry without one has. An upgrade may therefore mix the two; which
an entry is, its leaf and the roots above bind, so that nobody can take a digest away.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # No check of its length: it would read the whole table under a lock, and the leaf says it.
    """
ALTER TABLE audit_log ADD COLUMN body_digest bytea
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0008')
    """,
)


def upgrade() -> None:
    """Adds the column."""
    for statement in STATEMENTS:
        op.execute(statement)
