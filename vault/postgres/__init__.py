"""Postgres itself: engine, deadlines, transactions, failures, migrations and roles."""
