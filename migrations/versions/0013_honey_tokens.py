"""Honey tokens: sets of tokens, sealed, whose use raises an alarm.

Expands only: code of the revisions before serves this schema too, and notices no touch.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # A row for each set, not for each token: nothing beside the list says which tokens are in it.
    """
CREATE TABLE honey_tokens (
    tenant        text COLLATE "C" NOT NULL,
    id            uuid NOT NULL,
    field         text COLLATE "C" NOT NULL,
    active        boolean NOT NULL,
    document      text NOT NULL,
    salt          bytea NOT NULL CHECK (octet_length(salt) = 16),
    sealed        bytea NOT NULL,
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (tenant, id)
)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0013')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
