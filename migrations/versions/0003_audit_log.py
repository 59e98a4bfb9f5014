"""The audit's log: a global position and a Merkle leaf for every record, and its roots.

Expands only: code of revision 0002 serves this schema too, and integrates nothing. Records
written meanwhile get their positions when newer code runs.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    """
CREATE TABLE audit_log (
    position      bigint PRIMARY KEY CHECK (position > 0),
    writer        uuid NOT NULL,
    number        bigint NOT NULL CHECK (number > 0),
    mac           bytea NOT NULL,
    leaf          bytea NOT NULL CHECK (octet_length(leaf) = 32),
    UNIQUE (writer, number)
)
    """,
    # Peaks: what the next root is computed from, so that no leaf is read again.
    """
CREATE TABLE audit_roots (
    size          bigint PRIMARY KEY CHECK (size > 0),
    key_version   integer NOT NULL,
    peaks         bytea NOT NULL CHECK (octet_length(peaks) % 32 = 0),
    root          bytea NOT NULL CHECK (octet_length(root) = 32),
    mac           bytea NOT NULL
)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0003')
    """,
)


def upgrade() -> None:
    """Makes the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
