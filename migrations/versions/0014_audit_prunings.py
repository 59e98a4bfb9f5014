"""Which of the audit's records are gone by an operator's decision: retention.

Expands only: code of the revisions before serves this schema too. What it appends to is as it
was; it knows no pruning, and its `audit verify` names records that one has dropped.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    # Leads to the record that declares the pruning; that record's MAC makes it count. It has the
    # digest of the sums, so that they can neither be edited nor taken away.
    """
CREATE TABLE audit_prunings (
    position      bigint PRIMARY KEY CHECK (position > 0),
    writer        uuid NOT NULL,
    number        bigint NOT NULL CHECK (number > 0),
    sums          text COLLATE "C" NOT NULL
)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0014')
    """,
)


def upgrade() -> None:
    """Makes the table."""
    for statement in STATEMENTS:
        op.execute(statement)
