"""Reads messages: plain functions of a connection, on either engine.

Each query is a snapshot of its own. What says up to where something is complete is read with it or before it, so that
what is read may be newer than that, and never older.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, literal, null, select, union_all

from app.chat.changes import in_order
from app.chat.mentions import in_order as mentions_in_order
from app.chat.messages import Mention, Message, Reaction, Reactor
from app.chat.quotes import quote
from app.chat.timeline import Changes, Excerpt
from app.store.tables import mentions, messages, reactions, rooms, versions

# Made once: to put a statement together takes several times as long as to run it.

MESSAGE = (
    messages.c.position,
    messages.c.author_id,
    messages.c.author_name,
    messages.c.body,
    messages.c.created_at,
    messages.c.changed,
    messages.c.edited_at,
    messages.c.deleted_at,
    messages.c.reply_to,
)
IN_ROOM = messages.c.room_id == bindparam("room")
_HEAD = select(rooms.c.position).where(rooms.c.id == bindparam("room"))


def _with_head(found: Select[Any]) -> Select[Any]:
    """Return a query for the rows of `found` and, as a row without an author, how far the log goes."""
    head = select(rooms.c.position, *(null().label(column.name) for column in MESSAGE[1:])).where(
        rooms.c.id == bindparam("room")
    )
    part = found.subquery()
    both = union_all(head, select(part)).subquery()
    return select(both).order_by(both.c.author_id.is_not(None), both.c.position)


_BEFORE = _with_head(
    select(*MESSAGE)
    .where(IN_ROOM, messages.c.position < bindparam("before"))
    .order_by(messages.c.position.desc())
    .limit(bindparam("limit"))
)
_SINCE = _with_head(
    select(*MESSAGE)
    .where(IN_ROOM, messages.c.position > bindparam("after"), messages.c.position <= bindparam("upto"))
    .order_by(messages.c.position)
    .limit(bindparam("limit"))
)
_CHANGED = (
    select(*MESSAGE)
    .where(
        IN_ROOM,
        messages.c.changed > bindparam("after"),
        messages.c.changed <= bindparam("upto"),
        messages.c.position <= bindparam("last"),
    )
    .order_by(messages.c.changed)
    .limit(bindparam("limit"))
)
_STORED = select(messages.c.position).where(IN_ROOM, messages.c.submission == bindparam("digest"))
_AT = select(*MESSAGE).where(IN_ROOM, messages.c.position.in_(bindparam("positions", expanding=True)))
_BETWEEN = (
    select(literal(1))
    .where(IN_ROOM, messages.c.position > bindparam("after"), messages.c.position < bindparam("before"))
    .limit(bindparam("most"))
)
_COUNT = select(func.count()).select_from(_BETWEEN.subquery())
_REACTIONS = (
    select(reactions.c.position, reactions.c.emoji, reactions.c.member_id, reactions.c.member_name, reactions.c.added)
    .where(reactions.c.room_id == bindparam("room"), reactions.c.position.in_(bindparam("positions", expanding=True)))
    .order_by(reactions.c.added)
)
_MENTIONS = select(mentions.c.position, mentions.c.member_id, mentions.c.member_name, mentions.c.written).where(
    mentions.c.room_id == bindparam("room"), mentions.c.position.in_(bindparam("positions", expanding=True))
)
_VERSIONS = (
    select(versions.c.body, versions.c.replaced_at)
    .where(versions.c.room_id == bindparam("room"), versions.c.position == bindparam("position"))
    .order_by(versions.c.changed)
)


def _run(connection: Connection, query: Select[Any], values: Mapping[str, int]) -> tuple[int, Sequence[Row[Any]]]:
    """Return how far the log goes (0: the room is gone), and the rows that were found."""
    rows = connection.execute(query, values).all()
    return (rows[0].position, rows[1:]) if rows else (0, ())


def before(connection: Connection, room_id: int, position: int, limit: int) -> Excerpt:
    """Return the `limit` messages just before `position`."""
    head, rows = _run(connection, _BEFORE, {"room": room_id, "before": position, "limit": limit})
    return Excerpt(read(connection, room_id, rows), head)


def changes(connection: Connection, room_id: int, after: int, upto: int, limit: int) -> Changes:
    """Return what happened at positions `after` < p <= `upto`: up to `limit` new messages, and as many that changed.

    Where there are more, it goes less far.
    """
    values = {"room": room_id, "after": after, "upto": upto, "limit": limit}
    head, rows = _run(connection, _SINCE, values)
    upto = rows[-1].position if len(rows) == limit else max(min(head, upto), after)
    if upto - after == len(rows):  # each of them is the position of a new message
        return Changes(after, upto, read(connection, room_id, rows))
    older = changed(connection, room_id, after, upto, after, limit)
    if len(older) == limit:
        upto = older[-1].changed
        rows = [row for row in rows if row.position <= upto]
    return Changes(after, upto, read(connection, room_id, rows), older)


def changed(connection: Connection, room_id: int, after: int, upto: int, last: int, limit: int) -> list[Message]:
    """Return up to `limit` messages at positions up to `last` that changed at `after` < p <= `upto`, in this order."""
    values = {"room": room_id, "after": after, "upto": upto, "last": last, "limit": limit}
    return read(connection, room_id, connection.execute(_CHANGED, values).all())


def at(connection: Connection, room_id: int, positions: Collection[int]) -> list[Message]:
    """Return the messages at these positions."""
    return read(connection, room_id, connection.execute(_AT, {"room": room_id, "positions": list(positions)}).all())


def is_stored(connection: Connection, room_id: int, digest: bytes) -> bool:
    """Whether the submission with this digest was stored."""
    return connection.scalar(_STORED, {"room": room_id, "digest": digest}) is not None


def count(connection: Connection, room_id: int, after: int, before: int, most: int) -> int:
    """Return how many messages there are at positions `after` < p < `before`, or `most`."""
    values = {"room": room_id, "after": after, "before": before, "most": most}
    return int(connection.scalar(_COUNT, values) or 0)


def earlier_versions(connection: Connection, room_id: int, position: int) -> list[tuple[str, datetime]]:
    """Return the earlier texts of a message, the first one first, with the time at which each was replaced."""
    rows = connection.execute(_VERSIONS, {"room": room_id, "position": position})
    return [(body, moment(replaced_at)) for body, replaced_at in rows]


def head(connection: Connection, room_id: int) -> int:
    """Return the position of the newest change, 0 if there is none."""
    return int(connection.scalar(_HEAD, {"room": room_id}) or 0)


def read(connection: Connection, room_id: int, rows: Sequence[Any]) -> list[Message]:
    """Return the messages in `rows`, with what belongs to them.

    Those that never changed have no reactions, and those without an `@` mention nobody.
    """
    said = [plain(row) for row in rows]
    changed = [message.position for message in said if message.changed and not message.is_deleted]
    if changed:
        found = _reactions(connection, room_id, changed)
        said = [replace(each, reactions=found[each.position]) if each.position in found else each for each in said]
    if marked := [message.position for message in said if "@" in message.body]:
        meant = mentions_of(connection, room_id, marked)
        said = [replace(each, mentions=meant[each.position]) if each.position in meant else each for each in said]
    if quoted := {row[8] for row in rows if row[8]}:
        originals = connection.execute(_AT, {"room": room_id, "positions": list(quoted)}).all()
        quotes = {row[0]: quote(plain(row)) for row in originals}
        said = [replace(each, reply=quotes.get(row[8])) for each, row in zip(said, rows, strict=True)]
    return said


def _reactions(connection: Connection, room_id: int, positions: list[int]) -> dict[int, tuple[Reaction, ...]]:
    by: dict[int, dict[str, list[Reactor]]] = {}
    for position, emoji, *reactor in connection.execute(_REACTIONS, {"room": room_id, "positions": positions}):
        by.setdefault(position, {}).setdefault(emoji, []).append(Reactor(*reactor))
    return {position: in_order(found) for position, found in by.items()}


def mentions_of(connection: Connection, room_id: int, positions: list[int]) -> dict[int, tuple[Mention, ...]]:
    """Return the mentions of the messages at these positions that have any."""
    found: dict[int, list[Mention]] = {}
    for position, *mention in connection.execute(_MENTIONS, {"room": room_id, "positions": positions}):
        found.setdefault(position, []).append(Mention(*mention))
    return {position: mentions_in_order(each) for position, each in found.items()}


def plain(row: Sequence[Any]) -> Message:
    """Return the message of a row, without reactions, mentions and quote."""
    position, author_id, author_name, body, created_at, changed, edited_at, deleted_at = row[:8]
    edited = moment(edited_at) if edited_at else None
    at = moment(created_at)
    return Message(position, author_id, author_name, body, at, changed or 0, edited, deleted_at is not None)


def moment(milliseconds: int) -> datetime:
    """Return a time of a table."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def milliseconds(moment: datetime) -> int:
    """Return `moment` as a table keeps it."""
    return round(moment.timestamp() * 1000)
