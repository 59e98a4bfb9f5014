from __future__ import annotations

from alembic.script import ScriptDirectory

from vault.postgres.schema_revision import code_revision, migrations_directory


def test_the_code_s_revision_is_the_head_that_alembic_finds() -> None:
    scripts = ScriptDirectory(str(migrations_directory()))
    assert scripts.get_heads() == [code_revision()]
