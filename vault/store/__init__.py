"""Tables in Postgres: token mappings, limits, data keys and the agreed policy."""
