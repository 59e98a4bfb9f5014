"""Freezes: who is refused whatever their roles, and how many honey tokens they touched.

Expands only: code of the revisions before serves this schema too, and knows no freezes.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # One row for each that was ever frozen or touched a honey token. Rows are never removed.
    """
CREATE TABLE freezes (
    tenant        text COLLATE "C" NOT NULL,
    kind          text COLLATE "C" NOT NULL CHECK (kind IN ('principal', 'person')),
    name          text COLLATE "C" NOT NULL,
    frozen        boolean NOT NULL,
    changed       timestamptz,
    touched       bigint NOT NULL CHECK (touched >= 0),
    document      text NOT NULL,
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (tenant, kind, name)
) WITH (fillfactor = 50)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0011')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
