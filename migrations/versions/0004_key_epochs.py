"""Which database the use counters of the data keys belong to.

Expands only: code of the revisions before serves this schema too. It begins no new key
versions after a restore; the first server of this revision does.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # Insert-only: the last row says where counting is in force, the others when it moved.
    """
CREATE TABLE key_epochs (
    epoch         bigint PRIMARY KEY CHECK (epoch > 0),
    identity      text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL CHECK (reason IN ('first', 'moved', 'told')),
    since         timestamptz NOT NULL DEFAULT now()
)
    """,
    # A constant default: no rewrite of the table.
    """
ALTER TABLE data_keys ADD COLUMN restored boolean NOT NULL DEFAULT false
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0004')
    """,
)


def upgrade() -> None:
    """Makes the table and the column."""
    for statement in STATEMENTS:
        op.execute(statement)
