"""Putting a backup in the place of the database. What was there is kept aside.

The log has a new epoch afterwards: pages that were open all along have cursors into another log, which may go further
than this one, and load anew.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import copyfile

from sqlalchemy import Connection, column, func, inspect, table, update

from app.operations import pg_dump, sqlite_file
from app.operations.backup import key_beside
from app.operations.commands import CommandError, alone, file_of
from app.operations.sqlite_file import draft_of, locked, opened
from app.settings import Settings
from app.store import migrations
from app.store.log_queries import renew_epoch, totals
from app.store.tables import log

OTHERS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'parlor%' AND pid != pg_backend_pid()"
)

LOOKS = 10  # in a second: a server that has just stopped is still seen for a moment


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


def renew(settings: Settings) -> Iterator[str]:
    """Give the log a new epoch, where it was put back by other means; yields that. Raises what `restore` does."""
    epoch = alone(settings.store_url, _renew_epoch)
    yield f"The log has the new epoch {epoch}: pages that are open load it anew."


def confirm_log(connection: Connection, source: object) -> None:
    """Raise `CommandError` if the database, which came from `source`, is no log of a shape that we know."""
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


def _renew_epoch(connection: Connection) -> str:
    confirm_log(connection, "This")
    confirm_unserved(connection)
    return renew_epoch(connection)


# SQLite


def _restore_file(file: Path, target: Path, moment: str) -> Iterator[str]:
    sqlite_file.check(file, str(file))
    with locked(target), draft_of(target) as draft:
        sqlite_file.copy(file, draft)
        with opened(draft) as connection:
            found = _renew(connection, file)
        aside = sqlite_file.put_aside(target, f"before-restore-{moment}")
    if aside:
        yield f"{aside}: the database that was there before."
    yield f"{target}: {found}"


# PostgreSQL


def _restore_server(file: Path, url: str, moment: str) -> Iterator[str]:
    pg_dump.check(file)
    schema = pg_dump.ASIDE + moment
    moved = alone(url, partial(_put_aside, schema=schema))
    try:
        pg_dump.load(file, url)
        found, key_stays = alone(url, partial(_finish, source=file, schema=schema))
    except BaseException:  # also an interrupt: the old database stays in use
        alone(url, partial(_put_back, schema=schema))
        raise
    if moved:
        yield f"Schema {schema}: the tables that were there before. To be rid of them: DROP SCHEMA {schema} CASCADE."
    yield f"The database: {found}"
    if key_stays:
        yield "The key stays the one that was there. For the backup's, restore it into a new database."


def _put_aside(connection: Connection, schema: str) -> bool:
    """Move all tables to a `schema` of their own; returns whether there were any."""
    confirm_unserved(connection)
    tables = inspect(connection).get_table_names()
    if tables:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    for name in tables:
        connection.exec_driver_sql(f"ALTER TABLE {name} SET SCHEMA {schema}")
    return bool(tables)


def _finish(connection: Connection, source: Path, schema: str) -> tuple[str, bool]:
    """Make of what was loaded a log that can be served; returns what it is, and whether it keeps the key before."""
    confirm_unserved(connection)  # one that started meanwhile knows the log by its old epoch
    return _renew(connection, source), _keep_key(connection, schema)


def _keep_key(connection: Connection, schema: str) -> bool:
    """Keep the key that is in the tables put aside, if any; returns whether the backup has another."""
    there = inspect(connection)
    if not there.has_table("log", schema) or "keys" not in {each["name"] for each in there.get_columns("log", schema)}:
        return False
    # It may have been changed because the other had leaked.
    before = table("log", column("keys"), schema=schema).alias("before")
    kept = update(log).values(keys=before.c["keys"]).where(before.c["keys"] != func.coalesce(log.c["keys"], ""))
    return bool(connection.execute(kept).rowcount)


def confirm_unserved(connection: Connection) -> None:
    """Raise `CommandError` if a server of ours is connected to PostgreSQL. (A SQLite file is locked by its own.)"""
    if connection.dialect.name != "postgresql":
        return
    for _ in range(LOOKS):
        if not connection.exec_driver_sql(OTHERS).scalar_one():
            return
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot(), pg_sleep(0.1)")
    raise CommandError("A server runs on this database. Stop all of them first.")


def _put_back(connection: Connection, schema: str) -> None:
    """Undo `_put_aside`, whatever was made in the place of the tables."""
    there = inspect(connection)
    for name in there.get_table_names():
        connection.exec_driver_sql(f"DROP TABLE {name} CASCADE")
    if schema in there.get_schema_names():
        for name in there.get_table_names(schema):
            connection.exec_driver_sql(f"ALTER TABLE {schema}.{name} SET SCHEMA {there.default_schema_name}")
        connection.exec_driver_sql(f"DROP SCHEMA {schema}")


# The key


def _restore_key(settings: Settings, key: Path) -> Iterator[str]:
    if settings.secret_key or settings.is_shared or not key.exists():
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
