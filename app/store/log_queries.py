"""Queries of the log as a whole: its epoch, its keys, totals. Plain functions of a connection."""

from secrets import token_hex
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from app.store import migrations
from app.store.room_queries import insert_room
from app.store.tables import log, members, messages, rooms


class Totals(NamedTuple):
    """How many rows there are."""

    messages: int
    rooms: int
    members: int

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {what if count != 1 else what[:-1]}" for what, count in self._asdict().items())


def prepare(connection: Connection, slug: str, name: str, now: int) -> str:
    """Bring the database to its newest shape, with a first room if there is none; return the log's epoch."""
    migrations.upgrade(connection)
    if not connection.scalar(select(func.count()).select_from(log)):
        connection.execute(insert(log).values(epoch=token_hex(4)))
    if not connection.scalar(select(func.count()).select_from(rooms)):
        insert_room(connection, slug, name, now)
    return str(connection.scalar(select(log.c.epoch)))


def renew_epoch(connection: Connection) -> str:
    """Give the log, which takes another's place, an epoch that tells it from any other, and return that."""
    epoch = token_hex(4)
    if not connection.execute(update(log).values(epoch=epoch)).rowcount:
        connection.execute(insert(log).values(epoch=epoch))
    return epoch


def totals(connection: Connection) -> Totals:
    """Return how much there is in all."""
    counts = (select(func.count()).select_from(table).scalar_subquery() for table in (messages, rooms, members))
    return Totals(*connection.execute(select(*counts)).one())


def signing_keys(connection: Connection, made: str) -> str:
    """Return the keys in the database; store those just `made` if it has none."""
    keys = log.c["keys"]
    kept = update(log).values({keys: func.coalesce(keys, made)}).returning(keys)
    return str(connection.execute(kept).scalar_one())
