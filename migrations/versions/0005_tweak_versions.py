"""By which version new fields derive their tweaks, and which servers can read it.

Expands only: code of the revisions before serves this schema too. What it does not know is
written for it by the default, so no field begins with a version that it could not read; once
one has, it can report, and so serve, no more.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # A version's row goes with the first field that begins with a newer one.
    """
CREATE TABLE tweak_versions (
    version       integer PRIMARY KEY CHECK (version > 0),
    since         timestamptz NOT NULL DEFAULT now()
)
    """,
    """
INSERT INTO tweak_versions (version) VALUES (1), (2)
    """,
    # A constant default: no rewrite of the table, which has a row per server.
    """
ALTER TABLE policy_servers
ADD COLUMN tweak_version integer NOT NULL DEFAULT 1 REFERENCES tweak_versions (version)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0005')
    """,
)


def upgrade() -> None:
    """Makes the table and the column."""
    for statement in STATEMENTS:
        op.execute(statement)
