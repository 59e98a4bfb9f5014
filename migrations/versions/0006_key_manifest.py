"""The list of data keys that there must be, each generation under a MAC.

Expands only: code of the revisions before serves this schema too. Keys that it makes are
taken into the list by the next server of this revision that loads them.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # Insert-only: the highest number is in force.
    """
CREATE TABLE key_manifest (
    tenant        text COLLATE "C" NOT NULL,
    number        bigint NOT NULL CHECK (number > 0),
    document      text COLLATE "C" NOT NULL,
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    created       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, number)
)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0006')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
