"""Queries of rooms: create, list, and remove (close at once, erase in parts). Plain functions of a connection."""

from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, or_, select, union_all

from app.chat.messages import Room
from app.chat.names import name_key, skeleton, slug_of
from app.store.errors import NameUnavailable, TooManyRooms
from app.store.tables import log, messages, removed_rooms, rooms

_THERE = select(rooms).where(rooms.c.id.not_in(select(removed_rooms.c.id))).order_by(rooms.c.id)


def all_rooms(connection: Connection) -> list[Room]:
    """Return all rooms, oldest first."""
    return [_room(row) for row in connection.execute(_THERE)]


def rooms_after(connection: Connection, room_id: int) -> list[Room]:
    """Return the rooms that were made after the one with this id, oldest first."""
    return [_room(row) for row in connection.execute(_THERE.where(rooms.c.id > room_id))]


def create_room(connection: Connection, name: str, now: int, most: int) -> Room:
    """Store a room with a slug of its own and return it.

    Raises `TooManyRooms` where there are `most`, and `NameUnavailable` where one has the name or looks like it.
    """
    # One after the other, whichever process asks: in the order of their ids, and none with another's slug or name.
    connection.execute(select(log.c.epoch).with_for_update())
    if _count(connection, rooms) >= most:
        raise TooManyRooms
    if rooms_with(connection, name):
        raise NameUnavailable
    taken = connection.scalars(union_all(select(rooms.c.slug), select(removed_rooms.c.slug))).all()
    return insert_room(connection, slug_of(name, frozenset(taken)), name, now)


def rooms_with(connection: Connection, name: str) -> list[str]:
    """Return the name keys of the rooms that are called `name`, or something that looks like it."""
    keys = (rooms.c.name_key == name_key(name), rooms.c.name_skeleton == skeleton(name))
    return list(connection.scalars(select(rooms.c.name_key).where(or_(*keys))))


def insert_room(connection: Connection, slug: str, name: str, now: int) -> Room:
    """Store a room at the address `slug`, and return it."""
    keys = {"name_key": name_key(name), "name_skeleton": skeleton(name)}
    values: dict[str, Any] = {"slug": slug, "name": name, **keys, "position": 0, "created_at": now}
    if connection.dialect.name == "sqlite":  # else it would give the last room's id again, once that was removed
        values["id"] = last_room(connection) + 1
    return _room(connection.execute(insert(rooms).values(values).returning(rooms)).one())


def last_room(connection: Connection) -> int:
    """Return the highest id that a room ever had; 0 if there was none."""
    ids = union_all(select(func.max(rooms.c.id)), select(func.max(removed_rooms.c.id)))
    return max(number or 0 for number in connection.scalars(ids))


def _count(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def _room(row: Row[Any]) -> Room:
    return Room(row.id, row.slug, row.name)


# Removing


def close_room(connection: Connection, slug: str) -> Room | None:
    """Mark a room as removed, and return it, also if it was marked before; None if it is gone.

    What was said in it is still to be erased.
    """
    connection.execute(select(log.c.epoch).with_for_update())
    row = connection.execute(select(rooms).where(rooms.c.slug == slug)).one_or_none()
    if row is None:
        return None
    if not connection.scalar(select(removed_rooms.c.id).where(removed_rooms.c.id == row.id)):
        removal = (connection.scalar(select(func.max(removed_rooms.c.removal))) or 0) + 1
        connection.execute(insert(removed_rooms).values(id=row.id, slug=slug, removal=removal))
    return _room(row)


def erase_messages(connection: Connection, room_id: int, limit: int) -> int:
    """Erase up to `limit` messages of a room, the oldest first, and return how many that were."""
    oldest = select(messages.c.position).where(messages.c.room_id == room_id)
    oldest = oldest.order_by(messages.c.position).limit(limit)
    erased = delete(messages).where(messages.c.room_id == room_id, messages.c.position.in_(oldest))
    return int(connection.execute(erased).rowcount)


def erase_room(connection: Connection, room_id: int) -> int:
    """Erase a room with its last messages, and return how many those were."""
    connection.execute(select(rooms.c.id).where(rooms.c.id == room_id).with_for_update())
    erased = connection.execute(delete(messages).where(messages.c.room_id == room_id)).rowcount
    connection.execute(delete(rooms).where(rooms.c.id == room_id))
    return int(erased)


def removed_since(connection: Connection, removal: int) -> list[tuple[int, str]]:
    """Return the number of each removal after `removal` with the address of the room, in their order."""
    query = select(removed_rooms.c.removal, removed_rooms.c.slug).where(removed_rooms.c.removal > removal)
    return [(number, slug) for number, slug in connection.execute(query.order_by(removed_rooms.c.removal))]
