"""Requests to see values, what was decided about them, and what their grants have shown.

Expands only: code of the revisions before serves this schema too, and knows no reveals.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # All that decides is under the MAC. The columns beside the document are what is searched by.
    """
CREATE TABLE reveals (
    tenant        text COLLATE "C" NOT NULL,
    id            uuid NOT NULL,
    field         text COLLATE "C" NOT NULL,
    principal     text COLLATE "C" NOT NULL,
    state         text COLLATE "C" NOT NULL CHECK (state IN
                  ('draft', 'open', 'granted', 'denied', 'withdrawn', 'revoked')),
    ends          timestamptz NOT NULL,
    document      text NOT NULL,
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50)
    """,
    """
CREATE INDEX reveals_waiting ON reveals (tenant, field, ends) WHERE state IN ('open', 'granted')
    """,
    """
CREATE INDEX reveals_of_principal ON reveals (tenant, principal, ends)
    """,
    # Many tokens a row: a MAC and an update for each would cost more than the reveal itself.
    """
CREATE TABLE reveal_tokens (
    tenant        text COLLATE "C" NOT NULL,
    id            uuid NOT NULL,
    part          integer NOT NULL CHECK (part >= 0),
    digests       bytea NOT NULL,
    spent         bytea NOT NULL CHECK (octet_length(spent) * 8 = octet_length(digests)),
    key_version   integer NOT NULL CHECK (key_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    PRIMARY KEY (tenant, id, part)
) WITH (fillfactor = 50)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0010')
    """,
)


def upgrade() -> None:
    """Makes the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
