"""Notices that webhooks are to be sent, until their receivers have them.

Expands only: code of the revisions before serves this schema too, and sends none.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # A row for each receiver: one that is gone holds up no other. What is sent is under the MAC.
    """
CREATE TABLE webhook_outbox (
    tenant        text COLLATE "C" NOT NULL,
    id            uuid NOT NULL,
    endpoint      text COLLATE "C" NOT NULL,
    event         text NOT NULL,
    created       timestamptz NOT NULL,
    due           timestamptz NOT NULL,
    attempts      integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (tenant, id, endpoint)
) WITH (fillfactor = 50)
    """,
    """
CREATE INDEX webhook_outbox_due ON webhook_outbox (endpoint, due)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0012')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
