#!/bin/sh
# PostgreSQL's image runs this once, when its folder is empty: a role that may do nothing but own Parlor's database.
set -eu

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set password="$(cat "$DATABASE_PASSWORD_FILE")" <<'SQL'
CREATE ROLE parlor LOGIN PASSWORD :'password';
CREATE DATABASE parlor OWNER parlor TEMPLATE template0 ENCODING 'UTF8';
SQL
