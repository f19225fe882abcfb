"""Putting a backup in the place of the database. What was there is kept aside.

The log has a new epoch afterwards: pages that were open all along have cursors into another log, which may go further
than this one, and load anew.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import copyfile

from sqlalchemy import Connection, inspect

from app import dumps, migrations, sqlite_file
from app.backup import key_beside
from app.commands import CommandError, alone, file_of
from app.settings import Settings
from app.sqlite_file import draft_of, opened
from app.statements import renew_epoch, totals

OTHERS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'parlor' AND pid != pg_backend_pid()"
)


def restore(settings: Settings, file: Path) -> Iterator[str]:
    """Put the backup in `file` in the place of the database, and its key where there is none; yields what was done.

    Raises `CommandError` where the backup is damaged, or no log of ours, or a server runs; and `OSError`.
    """
    if not file.exists():
        raise CommandError(f"There is no backup at {file}.")
    moment = f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    target = file_of(settings.store_url)
    yield from _restore_file(file, target, moment) if target else _restore_server(file, settings.store_url, moment)
    yield from _restore_key(settings, key_beside(file))


def confirm_log(connection: Connection, source: object) -> None:
    """Raise `CommandError` where the database, which came from `source`, is no log of a shape that we know."""
    revision = migrations.revision(connection)
    if not revision:
        raise CommandError(f"{source} is no database of Parlor's.")
    if revision not in migrations.revisions():
        raise CommandError(f"{source} is of a newer Parlor: its revision {revision} is unknown here. Upgrade first.")


def _renew(connection: Connection, source: Path) -> str:
    """Make of what was in `source` a log that can be served, and return what it is."""
    confirm_log(connection, source)
    migrations.upgrade(connection)
    epoch = renew_epoch(connection)
    return f"{totals(connection)}, with the new epoch {epoch}."


# SQLite


def _restore_file(file: Path, target: Path, moment: str) -> Iterator[str]:
    sqlite_file.check(file, str(file))
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(target) as draft:
        sqlite_file.copy(file, draft)
        with opened(draft) as connection, connection.begin():
            found = _renew(connection, file)
        aside = sqlite_file.put_aside(target, f"before-restore-{moment}")
    if aside:
        yield f"{aside}: the database that was there before."
    yield f"{target}: {found}"


# PostgreSQL


def _restore_server(file: Path, url: str, moment: str) -> Iterator[str]:
    dumps.check(file)
    schema = dumps.ASIDE + moment
    moved = alone(url, partial(_put_aside, schema=schema))
    try:
        dumps.load(file, url)
        found = alone(url, partial(_renew, source=file))
    except BaseException:  # also where somebody interrupts it: what was there goes on
        alone(url, partial(_put_back, schema=schema))
        raise
    if moved:
        yield f"Schema {schema}: the tables that were there before. To be rid of them: DROP SCHEMA {schema} CASCADE."
    yield f"The database: {found}"


def _put_aside(connection: Connection, schema: str) -> bool:
    """Move all tables to a `schema` of their own; returns whether there were any."""
    if connection.exec_driver_sql(OTHERS).scalar_one():
        raise CommandError("A server runs on this database. Stop all of them first.")
    tables = inspect(connection).get_table_names()
    if tables:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    for table in tables:
        connection.exec_driver_sql(f"ALTER TABLE {table} SET SCHEMA {schema}")
    return bool(tables)


def _put_back(connection: Connection, schema: str) -> None:
    """Undo `_put_aside`, whatever was made in the place of the tables."""
    for table in inspect(connection).get_table_names():
        connection.exec_driver_sql(f"DROP TABLE {table} CASCADE")
    if schema in inspect(connection).get_schema_names():
        for table in inspect(connection).get_table_names(schema):
            connection.exec_driver_sql(f"ALTER TABLE {schema}.{table} SET SCHEMA public")
        connection.exec_driver_sql(f"DROP SCHEMA {schema}")


# The key


def _restore_key(settings: Settings, key: Path) -> Iterator[str]:
    if settings.secret_key or not key.exists():
        return
    here = settings.key_file
    if not here.exists():
        here.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(here) as draft:
            copyfile(key, draft)
        yield f"{here}: the key of the backup."
    elif here.read_bytes() != key.read_bytes():
        # It stays: it may have been changed because the other had leaked.
        yield f"{here} is another key than the backup's, and stays."
        yield f"To accept what either has signed, put the lines of {key} before those of {here}."
