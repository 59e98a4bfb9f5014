"""Counters of limits, and the policy that all servers have agreed on.

Expands only: code of revision 0001 serves this schema too, and neither counts values nor
takes part in the agreement.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # One row per counter, whatever the time: a new window takes the row of the one before.
    """
CREATE TABLE limit_counters (
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    action        text COLLATE "C" NOT NULL,
    principal     text COLLATE "C" NOT NULL,
    seconds       integer NOT NULL CHECK (seconds > 0),
    window_start  bigint NOT NULL,
    used          bigint NOT NULL CHECK (used >= 0),
    PRIMARY KEY (tenant, field, action, principal, seconds)
) WITH (fillfactor = 50)
    """,
    """
CREATE TABLE policy_state (
    tenant        text COLLATE "C" PRIMARY KEY,
    digest        text COLLATE "C" NOT NULL CHECK (length(digest) = 64),
    document      text NOT NULL,
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    since         timestamptz NOT NULL
)
    """,
    """
CREATE TABLE policy_servers (
    tenant        text COLLATE "C" NOT NULL,
    server        uuid NOT NULL,
    name          text COLLATE "C" NOT NULL,
    digest        text COLLATE "C" NOT NULL CHECK (length(digest) = 64),
    seen          timestamptz NOT NULL,
    PRIMARY KEY (tenant, server)
) WITH (fillfactor = 50)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0002')
    """,
)


def upgrade() -> None:
    """Makes the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
