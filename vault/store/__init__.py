"""Postgres: token mappings, shapes, data keys, migrations and roles."""
