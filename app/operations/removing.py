"""Removes a room with all its messages, while servers go on serving the others.

The room is closed at once; its messages are erased in batches, so that no write waits long. After an interruption, the
same command goes on.
"""

import asyncio
from collections.abc import Iterator
from functools import partial

from sqlalchemy import Connection

from app.chat.messages import Room
from app.operations.commands import LOCK_WAIT, CommandError, file_of
from app.settings import Settings
from app.store import migrations
from app.store.engines import Engine, open_engine
from app.store.room_queries import close_room, erase_messages, erase_room
from app.store.search_queries import purge
from app.store.store import LOBBY
from app.store.work import Work

BATCH = 1000  # messages that are erased in one transaction


def remove_room(settings: Settings, slug: str) -> Iterator[str]:
    """Remove the room at the address `slug`; yields what was done. Raises `CommandError` and what SQLAlchemy raises."""
    if slug == LOBBY:
        raise CommandError("The lobby cannot be removed: everybody without a room of their own arrives there.")
    file = file_of(settings.store_url)
    if file and not file.exists():
        raise CommandError(f"There is no database at {file}.")
    room, erased = asyncio.run(_remove(settings, slug))
    yield f"The room “{room.name}” (/rooms/{room.slug}) is removed, with {erased:,} message{'s' * (erased != 1)}."


async def _remove(settings: Settings, slug: str) -> tuple[Room, int]:
    engine = open_engine(settings.store_url, LOCK_WAIT)
    try:
        room = await engine.write(partial(_close, slug=slug))
        return room, await _erase(engine, room)
    finally:
        await engine.close()


def _close(connection: Connection, slug: str) -> Room:
    if migrations.revision(connection) != migrations.revisions()[0]:
        raise CommandError("The database is not at the newest revision. Migrate it first (migrate).")
    room = close_room(connection, slug)
    if room is None:
        raise CommandError(f"There is no room at /rooms/{slug}.")
    return room


async def _erase(engine: Engine, room: Room) -> int:
    erased = 0
    while count := await engine.write(_for_good(partial(erase_messages, room_id=room.id, limit=BATCH))):
        erased += count
    erased += await engine.write(_for_good(partial(erase_room, room_id=room.id)))
    begins = True
    while await engine.write(partial(purge, begins=begins)):
        begins = False
    return erased


def _for_good(work: Work[int]) -> Work[int]:
    """Have `work` overwrite what it deletes: a SQLite file keeps it otherwise until the place is needed."""

    def erase(connection: Connection) -> int:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        return work(connection)

    return erase
