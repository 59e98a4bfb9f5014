"""Which reveals, granted in an emergency without approval, nobody has reviewed yet.

Expands only: code of the revisions before serves this schema too, and makes no such reveals.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    """
ALTER TABLE reveals ADD COLUMN awaits_review boolean NOT NULL DEFAULT false
    """,
    """
CREATE INDEX reveals_awaiting_review ON reveals (tenant, ends) WHERE awaits_review
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0015')
    """,
)


def upgrade() -> None:
    """Adds the column."""
    for statement in STATEMENTS:
        op.execute(statement)
