#!/bin/sh
# Runs once, when the database's volume is empty: the login of the services, which owns its database and nothing else. It is no
# superuser and may create no roles, so the roles it switches to are made here; `odograph migrate` does the rest.
set -eu

: "${ODOGRAPH_DATABASE_PASSWORD:?the password of the services' login is not set}"

psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set=password="$ODOGRAPH_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE odograph_api NOLOGIN;
CREATE ROLE odograph_worker NOLOGIN;
CREATE ROLE odograph_maintenance NOLOGIN;
CREATE ROLE odograph_operator NOLOGIN;
CREATE ROLE odograph LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT odograph_api, odograph_worker, odograph_maintenance, odograph_operator TO odograph;
CREATE DATABASE odograph OWNER odograph;
REVOKE ALL ON DATABASE odograph FROM PUBLIC;
SQL
