"""The first schema: tokens, their indexes, keys, shapes and the audit.

Names are compared byte by byte (collation "C"): a collation of the operating system's
may change under an index. There are no foreign keys between tables of the hot path.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

STATEMENTS = (
    """
CREATE TABLE tokens (
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    token         text COLLATE "C" NOT NULL,
    scope         text COLLATE "C" NOT NULL
                  CHECK (scope IN ('field', 'subject', 'session', 'none')),
    state         text COLLATE "C" NOT NULL DEFAULT 'live'
                  CHECK (state IN ('live', 'expired', 'erased')),
    generator     text COLLATE "C" NOT NULL CHECK (generator IN ('ff3-1', 'ff1', 'random')),
    key_version   integer NOT NULL CHECK (key_version > 0),
    tweak_counter bigint NOT NULL CHECK (tweak_counter >= 0),
    created       timestamptz NOT NULL DEFAULT now(),
    expires       timestamptz,
    ciphertext    bytea,
    PRIMARY KEY (tenant, field, token),
    CONSTRAINT tombstone_has_no_ciphertext CHECK ((state = 'live') = (ciphertext IS NOT NULL))
)
    """,
    """
CREATE INDEX tokens_expiry ON tokens (expires) WHERE expires IS NOT NULL AND state = 'live'
    """,
    """
CREATE TABLE token_index (
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    scope         text COLLATE "C" NOT NULL CHECK (scope IN ('field', 'subject', 'session')),
    index_version integer NOT NULL CHECK (index_version > 0),
    mac           bytea NOT NULL CHECK (octet_length(mac) = 32),
    token         text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, field, scope, index_version, mac)
)
    """,
    """
CREATE TABLE token_subjects (
    tenant        text COLLATE "C" NOT NULL,
    subject       bytea NOT NULL CHECK (octet_length(subject) = 32),
    field         text COLLATE "C" NOT NULL,
    token         text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, subject, field, token)
)
    """,
    """
CREATE INDEX token_subjects_token ON token_subjects (tenant, field, token)
    """,
    """
CREATE TABLE data_keys (
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    purpose       text COLLATE "C" NOT NULL CHECK (purpose IN ('field', 'index', 'audit')),
    version       integer NOT NULL CHECK (version > 0),
    wrapped       text COLLATE "C" NOT NULL,
    active        boolean NOT NULL,
    uses          bigint NOT NULL DEFAULT 0 CHECK (uses >= 0),
    created       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, field, purpose, version),
    CONSTRAINT audit_key_has_no_field CHECK ((purpose = 'audit') = (field = ''))
)
    """,
    """
CREATE UNIQUE INDEX data_keys_active ON data_keys (tenant, field, purpose) WHERE active
    """,
    """
CREATE TABLE field_shapes (
    tenant        text COLLATE "C" NOT NULL,
    field         text COLLATE "C" NOT NULL,
    shape         text COLLATE "C" NOT NULL,
    created       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, field)
)
    """,
    """
CREATE TABLE audit_writers (
    ordinal       bigint PRIMARY KEY CHECK (ordinal > 0),
    writer        uuid NOT NULL UNIQUE,
    server        text COLLATE "C" NOT NULL,
    opened        timestamptz NOT NULL
)
    """,
    """
CREATE TABLE audit_heads (
    writer        uuid PRIMARY KEY,
    number        bigint NOT NULL CHECK (number > 0),
    mac           bytea NOT NULL,
    key_version   integer NOT NULL,
    head_mac      bytea NOT NULL
) WITH (fillfactor = 50)
    """,
    """
CREATE TABLE audit_records (
    writer        uuid NOT NULL,
    number        bigint NOT NULL CHECK (number > 0),
    key_version   integer NOT NULL,
    previous      bytea NOT NULL,
    mac           bytea NOT NULL,
    body          text COLLATE "C" NOT NULL,
    PRIMARY KEY (writer, number)
)
    """,
    """
CREATE TABLE schema_serves (revision text COLLATE "C" PRIMARY KEY)
    """,
    """
INSERT INTO schema_serves (revision) VALUES ('0001')
    """,
)


def upgrade() -> None:
    """Makes every table and index."""
    for statement in STATEMENTS:
        op.execute(statement)
