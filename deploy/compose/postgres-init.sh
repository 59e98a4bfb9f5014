#!/bin/sh
# Run by the Postgres image once, on an empty data directory: two roles and a database.
# The passwords come from files by way of psql variables: none is in a log or an argument.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\set owner `cat /run/tokenvault/owner-password`
\set service `cat /run/tokenvault/service-password`
SET password_encryption = 'scram-sha-256';
SET log_min_error_statement = 'panic';
CREATE ROLE tokenvault_owner LOGIN PASSWORD :'owner';
CREATE ROLE tokenvault LOGIN PASSWORD :'service';
CREATE DATABASE tokenvault OWNER tokenvault_owner;
REVOKE ALL ON DATABASE tokenvault FROM PUBLIC;
GRANT CONNECT ON DATABASE tokenvault TO tokenvault;
SQL
