"""What the owner can put on our tables, or before them: refused by `serve`, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Engine

from vault.dev.postgres import SERVICE, Database
from vault.errors import ConfigError, StoreUnavailable
from vault.postgres.engine import make_engine
from vault.postgres.expected_schema import EXPECTED
from vault.postgres.roles import GRANTS
from vault.postgres.schema_check import describe
from vault.postgres.tampering import find_tampering, refuse_tampering

NOTHING = "CREATE FUNCTION {0} RETURNS {1} LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
TRIGGER = NOTHING.format("evil()", "trigger")
NUMBER = "CREATE FUNCTION evil() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';"
CHECK = (
    "CREATE FUNCTION evil(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';"
    "ALTER TABLE audit_records ADD CONSTRAINT sly CHECK (evil(number))"
)

# Statements of the owner, and words of what is named.
ALTERED = {
    "row-level-security": (
        "ALTER TABLE audit_records ENABLE ROW LEVEL SECURITY",
        "table audit_records has row-level security",
    ),
    "forced-row-level-security": (
        "ALTER TABLE audit_log FORCE ROW LEVEL SECURITY",
        "table audit_log has row-level security",
    ),
    "a-policy-not-enabled-yet": (
        "CREATE POLICY sly ON audit_heads USING (true)",
        "table audit_heads has row-level security",
    ),
    "row-level-security-on-tokens": (
        "ALTER TABLE tokens ENABLE ROW LEVEL SECURITY",
        "table tokens has row-level security",
    ),
    "a-rule": (
        "CREATE RULE sly AS ON INSERT TO audit_records DO INSTEAD NOTHING",
        "table audit_records has the rule sly",
    ),
    "a-rule-beside": (
        "CREATE RULE sly AS ON UPDATE TO tokens DO ALSO DELETE FROM token_index",
        "table tokens has the rule sly",
    ),
    "a-trigger": (
        f"{TRIGGER} CREATE TRIGGER sly BEFORE INSERT ON audit_roots"
        " FOR EACH ROW EXECUTE FUNCTION evil()",
        "table audit_roots has the trigger sly",
    ),
    "a-disabled-trigger": (
        f"{TRIGGER} CREATE TRIGGER sly BEFORE UPDATE ON tokens FOR EACH ROW"
        " EXECUTE FUNCTION evil(); ALTER TABLE tokens DISABLE TRIGGER sly",
        "table tokens has the trigger sly",
    ),
    "a-view": (
        "ALTER TABLE audit_records RENAME TO hidden;"
        "CREATE VIEW audit_records AS SELECT * FROM hidden WHERE number < 5",
        "audit_records is a view",
    ),
    "a-materialized-view": (
        "ALTER TABLE token_index RENAME TO hidden;"
        "CREATE MATERIALIZED VIEW token_index AS SELECT * FROM hidden",
        "token_index is a materialized view",
    ),
    "a-foreign-table": (
        "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER there FOREIGN DATA WRAPPER nowhere;"
        "DROP TABLE audit_log; CREATE FOREIGN TABLE audit_log (position bigint) SERVER there",
        "audit_log is a foreign table",
    ),
    "an-audit-table-in-partitions": (
        "DROP TABLE audit_records;"
        "CREATE TABLE audit_records (writer uuid, number bigint) PARTITION BY HASH (writer)",
        "audit_records is partitioned",
    ),
    "a-trigger-on-a-partition": (
        f"{TRIGGER} DROP TABLE tokens; CREATE TABLE tokens (token text) PARTITION BY HASH (token);"
        "CREATE TABLE part PARTITION OF tokens FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        "CREATE TRIGGER sly BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION evil()",
        "table tokens has the trigger sly",
    ),
    "a-child": (
        "CREATE TABLE child () INHERITS (audit_records)",
        "table audit_records has children by inheritance",
    ),
    "a-parent": (
        "CREATE TABLE parent (number bigint NOT NULL); ALTER TABLE audit_heads INHERIT parent",
        "table audit_heads inherits from another",
    ),
    "a-foreign-key": (
        "ALTER TABLE audit_records ADD CONSTRAINT sly FOREIGN KEY (writer)"
        " REFERENCES audit_writers (writer) ON DELETE CASCADE",
        "table audit_records has the foreign key sly",
    ),
    "a-foreign-key-that-cascades": (
        "ALTER TABLE token_subjects ADD CONSTRAINT sly FOREIGN KEY (tenant, field, token)"
        " REFERENCES tokens ON DELETE CASCADE",
        "table tokens has the foreign key sly",
    ),
    "a-foreign-key-to-another-table": (
        "CREATE TABLE another (id bigint PRIMARY KEY);"
        "ALTER TABLE key_epochs ADD CONSTRAINT sly FOREIGN KEY (epoch) REFERENCES another",
        "table key_epochs has the foreign key sly",
    ),
    "unlogged": ("ALTER TABLE audit_log SET UNLOGGED", "table audit_log is unlogged"),
    "missing": ("DROP TABLE audit_roots", "table audit_roots is missing"),
    "in-another-schema": (
        "CREATE SCHEMA other; ALTER TABLE audit_records SET SCHEMA other;"
        f'GRANT USAGE ON SCHEMA other TO "{SERVICE}";'
        f'ALTER ROLE "{SERVICE}" IN DATABASE {{database}} SET search_path = public, other',
        "tables stand in several schemas",
    ),
    "a-schema-before-the-catalog": (
        "CREATE SCHEMA evil;"
        f'GRANT USAGE ON SCHEMA evil TO "{SERVICE}";'
        f'ALTER ROLE "{SERVICE}" IN DATABASE {{database}} SET search_path ='
        " evil, pg_catalog, public",
        "search_path has a schema before pg_catalog",
    ),
    "a-default": (
        "ALTER TABLE audit_records ALTER number SET DEFAULT 7",
        "table audit_records has code of its own: default of column number",
    ),
    "a-default-that-calls": (
        f"{NUMBER} ALTER TABLE tokens ADD COLUMN sly bigint DEFAULT evil()",
        "table tokens has code of its own: default of column sly",
    ),
    "a-default-that-calls-a-built-in": (
        "ALTER TABLE tokens ADD COLUMN sly text DEFAULT set_config('row_security', 'off', false)",
        "table tokens has code of its own: default of column sly",
    ),
    "a-generated-column": (
        "ALTER TABLE audit_heads ADD COLUMN sly bigint GENERATED ALWAYS AS (number + 1) STORED",
        "column sly of table audit_heads is generated",
    ),
    "an-identity-column": (
        "ALTER TABLE tokens ADD COLUMN sly bigint GENERATED ALWAYS AS IDENTITY",
        "column sly of table tokens is generated",
    ),
    "a-check-that-calls": (CHECK, "table audit_records has code of its own: constraint sly"),
    "an-index-that-calls": (
        "CREATE FUNCTION evil(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';"
        "CREATE INDEX sly ON audit_records (evil(number))",
        "table audit_records has code of its own: index sly",
    ),
    "a-column-of-a-type-of-its-own": (
        "CREATE DOMAIN evil AS text; ALTER TABLE audit_records ALTER body TYPE evil",
        "column body of table audit_records has a type of its own",
    ),
    "a-function-that-fits-better": (
        "CREATE FUNCTION public.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT ''x'''",
        "the function public.unnest takes a built-in one's place",
    ),
    "a-function-in-the-catalog": (
        "CREATE FUNCTION pg_catalog.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE sql"
        " AS 'SELECT NULL::uuid'",
        "the function pg_catalog.unnest takes a built-in one's place",
    ),
    "a-built-in-replaced": (
        "CREATE OR REPLACE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz"
        " LANGUAGE sql AS 'SELECT now()'",
        "the function pg_catalog.clock_timestamp was replaced",
    ),
    "a-lost-primary-key": (
        "ALTER TABLE tokens DROP CONSTRAINT tokens_pkey",
        'table tokens lacks UNIQUE (tenant COLLATE "C", field COLLATE "C", token COLLATE "C")',
    ),
    "a-lost-unique-constraint": (
        "ALTER TABLE audit_log DROP CONSTRAINT audit_log_writer_number_key",
        "table audit_log lacks UNIQUE (writer, number)",
    ),
    "a-lost-unique-index": (
        "DROP INDEX data_keys_active",
        "table data_keys lacks UNIQUE",
    ),
    "a-deferred-key": (
        "ALTER TABLE token_index DROP CONSTRAINT token_index_pkey, ADD PRIMARY KEY"
        " (tenant, field, scope, index_version, mac) DEFERRABLE",
        "table token_index lacks UNIQUE",
    ),
    "an-invalid-key": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tokens_pkey'::regclass",
        "table tokens lacks UNIQUE",
    ),
    "a-key-of-some-rows": (
        "ALTER TABLE limit_counters DROP CONSTRAINT limit_counters_pkey;"
        "CREATE UNIQUE INDEX limit_counters_pkey ON limit_counters"
        " (tenant, field, action, principal, seconds) WHERE used > 5",
        "table limit_counters lacks UNIQUE",
    ),
    "a-key-of-another-collation": (
        "ALTER TABLE tokens DROP CONSTRAINT tokens_pkey;"
        'CREATE UNIQUE INDEX tokens_pkey ON tokens (tenant, field, token COLLATE "POSIX")',
        "table tokens lacks UNIQUE",
    ),
    "a-key-more": (
        "CREATE UNIQUE INDEX sly ON tokens (tenant, field, key_version)",
        "table tokens has UNIQUE (tenant",
    ),
    "an-exclusion": (
        "ALTER TABLE tokens ADD CONSTRAINT sly EXCLUDE USING btree (token WITH =)",
        "table tokens has EXCLUDE (token",
    ),
    "a-lost-foreign-key": (
        "ALTER TABLE policy_servers DROP CONSTRAINT policy_servers_tweak_version_fkey",
        "table policy_servers lacks FOREIGN KEY (tweak_version)",
    ),
    "a-foreign-key-that-sleeps": (
        "ALTER TABLE policy_servers DISABLE TRIGGER ALL",
        "table policy_servers has a foreign key that is not held",
    ),
    "foreign-keys-that-sleep": (
        "ALTER DATABASE {database} SET session_replication_role = replica",
        "session_replication_role is set",
    ),
    "a-column-that-may-be-null": (
        "ALTER TABLE token_index ALTER token DROP NOT NULL",
        'table token_index lacks column token text COLLATE "C" NOT NULL',
    ),
    "a-lost-check": (
        "ALTER TABLE tokens DROP CONSTRAINT tombstone_has_no_ciphertext",
        "table tokens lacks CHECK",
    ),
    "a-check-more": (
        "ALTER TABLE tokens ADD CONSTRAINT sly CHECK (state <> 'erased')",
        "table tokens has CHECK",
    ),
    "another-type": (
        "ALTER TABLE tokens ALTER tweak_counter TYPE smallint",
        "table tokens lacks column tweak_counter bigint NOT NULL",
    ),
    "another-collation": (
        'ALTER TABLE token_subjects ALTER token TYPE text COLLATE "POSIX"',
        'table token_subjects lacks column token text COLLATE "C"',
    ),
    "another-default": (
        "ALTER TABLE tokens ALTER state SET DEFAULT 'erased'",
        "table tokens lacks column state",
    ),
    "a-column-that-wants-a-value": (
        "ALTER TABLE tokens ADD COLUMN sly text NOT NULL",
        "table tokens has column sly text",
    ),
    "a-lost-column": (
        "ALTER TABLE data_keys DROP COLUMN restored",
        "table data_keys lacks column restored",
    ),
    "another-built-in-replaced": (
        "CREATE OR REPLACE FUNCTION pg_catalog.strpos(text, text) RETURNS integer"
        " LANGUAGE sql AS 'SELECT 0'",
        "the function pg_catalog.strpos was replaced",
    ),
    "a-built-in-replaced-in-the-standard-way": (
        "CREATE OR REPLACE FUNCTION pg_catalog.textcat(text, text) RETURNS text"
        " LANGUAGE sql RETURN NULL::text",
        "a built-in function that makes texts was replaced",
    ),
    "a-built-in-replaced-by-another": (
        "CREATE OR REPLACE FUNCTION pg_catalog.texteq(text, text) RETURNS boolean"
        " LANGUAGE internal IMMUTABLE STRICT AS 'textne'",
        "the function pg_catalog.texteq was replaced",
    ),
    "an-aggregate-replaced": (
        "CREATE OR REPLACE AGGREGATE pg_catalog.max(bigint) (sfunc = int8smaller, stype = bigint)",
        "the aggregate max(bigint) was replaced",
    ),
    "an-operator": (
        "CREATE FUNCTION evil(interval, integer) RETURNS interval LANGUAGE sql AS 'SELECT $1';"
        "CREATE OPERATOR public./ (LEFTARG = interval, RIGHTARG = integer, FUNCTION = evil)",
        "the operator public./ takes a built-in one's place",
    ),
}


@contextmanager
def serving(database: Database) -> Iterator[Engine]:
    engine = make_engine(database.service_url)
    try:
        yield engine
    finally:
        engine.dispose()


def test_a_database_of_our_migrations_is_served(database: Database) -> None:
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == []
        refuse_tampering(engine)


@pytest.mark.parametrize(("statements", "named"), ALTERED.values(), ids=ALTERED.keys())
def test_what_no_migration_put_there_is_named_and_refused(
    database: Database, statements: str, named: str
) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute(statements.format(database=database.name).encode())
    with serving(database) as engine:
        with engine.connect() as connection:
            found = find_tampering(connection)
        assert [each for each in found if named in each], found
        with pytest.raises(ConfigError, match="the database was altered"):
            refuse_tampering(engine)


def test_a_login_trigger_is_named(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        if owner.info.server_version < 170000:
            with pytest.raises(psycopg.Error):
                owner.execute("CREATE EVENT TRIGGER sly ON login EXECUTE FUNCTION evil()")
            return
        owner.execute(NOTHING.format("evil()", "event_trigger").replace("RETURN NULL", "NULL"))
        owner.execute("CREATE EVENT TRIGGER sly ON login EXECUTE FUNCTION evil()")
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == ["the event trigger sly runs in every session"]


def test_a_temporary_table_in_the_session_is_named(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute(f'GRANT TEMPORARY ON DATABASE "{database.name}" TO "{SERVICE}"'.encode())
    with serving(database) as engine, engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE audit_records (number bigint)")
        found = find_tampering(connection)
    assert "table audit_records is hidden by a temporary one" in found


@pytest.mark.parametrize("table", GRANTS)
def test_every_table_is_looked_at(database: Database, table: str) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == [f"table {table} has row-level security"]


def test_names_reach_no_terminal_as_they_are(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute('CREATE RULE "a\x1b[2J" AS ON INSERT TO tokens DO INSTEAD NOTHING')
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == ["table tokens has the rule a?[2J"]


def test_tokens_may_be_partitioned(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute("ALTER TABLE tokens RENAME TO whole")
        owner.execute(
            "CREATE TABLE tokens (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
            " INCLUDING INDEXES) PARTITION BY HASH (tenant, field, token)"
        )
        for part in range(2):
            owner.execute(
                f"CREATE TABLE tokens_{part} PARTITION OF tokens"
                f" FOR VALUES WITH (MODULUS 2, REMAINDER {part})".encode()
            )
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == []


def test_what_does_not_concern_our_statements_is_let_be(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO pg_monitor")
        owner.execute("CREATE EXTENSION IF NOT EXISTS plpgsql")
        owner.execute("CREATE VIEW report AS SELECT rpc FROM (SELECT 'x' AS rpc) x")
        owner.execute("CREATE VIEW counted AS SELECT count(*) FROM tokens")
        owner.execute("CREATE INDEX by_key ON tokens (key_version)")
        owner.execute("CREATE FUNCTION mine() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'")
        owner.execute("CREATE TABLE others (id bigint GENERATED ALWAYS AS IDENTITY)")
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == []


def test_what_is_expected_is_what_the_migrations_make(database: Database) -> None:
    with serving(database) as engine, engine.connect() as connection:
        assert describe(connection, list(GRANTS)) == EXPECTED.splitlines()


def test_no_table_that_the_migrations_make_is_without_grants(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo) as owner:
        made = owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {name for (name,) in made} == GRANTS.keys()


def test_what_a_later_migration_may_add_is_let_be(database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as owner:
        owner.execute("ALTER TABLE tokens ADD COLUMN later text CHECK (length(later) < 9)")
        owner.execute("ALTER TABLE data_keys ADD COLUMN later integer NOT NULL DEFAULT 1")
        owner.execute("CREATE INDEX later ON tokens (later)")
        owner.execute("CREATE TABLE more (id bigint PRIMARY KEY)")
        owner.execute("ALTER TABLE data_keys ALTER wrapped SET STORAGE EXTERNAL")
    with serving(database) as engine, engine.connect() as connection:
        assert find_tampering(connection) == []


def test_a_database_that_is_away_is_told(database: Database) -> None:
    engine = make_engine(database.service_url.set(port=1))
    with pytest.raises(StoreUnavailable):
        refuse_tampering(engine)
    engine.dispose()
