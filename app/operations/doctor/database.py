"""Checks the database: reachable, undamaged, at the revision of this release."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DatabaseError

from app.operations.commands import file_of, reason
from app.operations.doctor import machine, postgres
from app.operations.doctor.checks import Check, ok, warning, wrong
from app.operations.sqlite_file import opened
from app.settings import Settings
from app.store import migrations
from app.store.log_queries import totals
from app.store.tables import log, messages, rooms


def examine(settings: Settings) -> Iterator[Check]:
    """Yield what is found of the database."""
    path = file_of(settings.store_url)
    yield from examine_file(path) if path else postgres.examine(settings.store_url, shape)


# SQLite


def examine_file(path: Path) -> Iterator[Check]:
    """Yield what is found of the SQLite file at `path`, and of the disk that it is on."""
    yield machine.file_system(path)
    if not path.exists():
        yield ok(f"{path} is not there yet; it is made at the first start.")
        return
    try:
        with opened(path) as connection:
            yield from content(connection, path)
            yield journal(connection)
            yield from shape(connection)
    except DatabaseError as error:
        yield wrong(f"{path} cannot be read: {reason(error)}.", "Restore a backup (restore).")


def content(connection: Connection, path: Path) -> Iterator[Check]:
    """Yield whether the pages of the file are as they were written."""
    complaints = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
    if complaints != ["ok"]:
        yield wrong(f"{path} is damaged: {complaints[0]}.", "Restore a backup (restore).")
    else:
        yield ok(f"{path} is whole (quick_check).")


def journal(connection: Connection) -> Check:
    """Return whether reads go on while somebody writes."""
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        return warning(f"its journal mode is {mode}, not wal.", "The server sets it; where it stays, use another disk.")
    return ok("its journal mode is wal.")


# Both engines


def shape(connection: Connection) -> Iterator[Check]:
    """Yield whether the tables are those that this release knows, and what is in them agrees."""
    revision, newest = migrations.revision(connection), migrations.revisions()[0]
    if not revision:
        yield warning("the database has no tables yet.", "The first start makes them, and so does migrate.")
    elif revision not in migrations.revisions():
        yield wrong(f"a newer Parlor has migrated the database, to revision {revision}.", "Upgrade this one.")
    elif revision != newest:
        yield warning(
            f"the database is at revision {revision}, not {newest}.", "The next start migrates it, or migrate."
        )
    else:
        yield ok(f"the database is at the newest revision, {revision}.")
        yield epoch(connection)
        yield positions(connection)


def epoch(connection: Connection) -> Check:
    """Return whether the log has one epoch."""
    epochs = connection.scalars(select(log.c.epoch)).all()
    if not epochs:
        return ok("the log has no epoch yet; the first start gives it one.")
    if len(epochs) > 1:
        return wrong(f"the log has {len(epochs)} epochs: {', '.join(epochs)}.", "Restore a backup (restore).")
    return ok(f"the log's epoch is {epochs[0]}.")


def positions(connection: Connection) -> Check:
    """Return whether each room's log goes as far as the room says, and no position is missing where nothing changed.

    An edit, a deletion or a reaction takes a position, too, and most of these leave nothing that could be counted.
    """
    last_change = func.max(func.coalesce(messages.c.changed, messages.c.position))
    found = (
        select(
            messages.c.room_id,
            func.count().label("count"),
            func.count(messages.c.changed).label("changed"),
            last_change.label("last"),
        )
        .group_by(messages.c.room_id)
        .subquery()
    )
    count, changed, last = (func.coalesce(column, 0) for column in (found.c.count, found.c.changed, found.c.last))
    holed = select(rooms.c.slug).outerjoin(found, found.c.room_id == rooms.c.id)
    is_short = (last != rooms.c.position) | ((changed == 0) & (count != rooms.c.position))
    slugs = connection.scalars(holed.where(is_short)).all()
    if slugs:
        return wrong(f"messages are missing in {', '.join(slugs)}.", "Restore a backup (restore).")
    return ok(f"no position is missing in {totals(connection)}.")
