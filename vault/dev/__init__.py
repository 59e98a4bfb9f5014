"""The development environment: a real Postgres and OpenBao under one directory."""
