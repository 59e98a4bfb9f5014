"""Which tokens each record made tombstones of, so that a row that is put back shows.

Expands only: code of the revisions before serves this schema too. What it erases is in no list.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # Insert-only. The salt is random: who looks at some takes those after a random one.
    """
CREATE TABLE audit_erasures (
    writer        uuid NOT NULL,
    number        bigint NOT NULL CHECK (number > 0),
    key_version   integer NOT NULL,
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    salt          bytea NOT NULL UNIQUE CHECK (octet_length(salt) = 16),
    sealed        bytea NOT NULL,
    PRIMARY KEY (writer, number)
)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0007')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
