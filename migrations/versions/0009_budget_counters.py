"""Counters of budgets: how many values a principal has read, under a MAC.

Expands only: code of revision 0008 serves this schema too, and knows no budgets.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # One row per counter, whatever the time, with all of its windows: one lock, one MAC.
    """
CREATE TABLE budget_counters (
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    action        text COLLATE "C" NOT NULL,
    view          text COLLATE "C" NOT NULL,
    principal     text COLLATE "C" NOT NULL,
    total         bigint NOT NULL CHECK (total >= 0),
    windows       text COLLATE "C" NOT NULL,
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (tenant, field, action, view, principal)
) WITH (fillfactor = 50)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0009')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
