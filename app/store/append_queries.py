"""Appends messages: plain functions of a connection, each for one transaction, on either engine.

Times are whole milliseconds since 1970 in UTC, as in the tables.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Update, bindparam, insert, select, text, update

from app.chat.messages import Member, Mention, Message, Quote
from app.store.message_queries import IN_ROOM, MESSAGE, moment, read
from app.store.search_queries import document, index
from app.store.tables import mentions, messages, rooms


class Submission(NamedTuple):
    """A message on its way into the log. The same submission has the same `digest`, however often it comes."""

    room_id: int
    author: Member
    body: str
    digest: bytes
    reply: Quote | None = None
    mentions: tuple[Mention, ...] = ()


def digest_of(author: Member, key: str, body: str) -> bytes:
    """Return by what a submission is known."""
    return sha256("\0".join((author.id, key, body)).encode("utf-8", "surrogatepass")).digest()


class Committed(NamedTuple):
    """The result of a batch in one room, whose newest message is at `position`.

    Submissions by digest: the `new` ones in the order of their positions, without gaps, and those `known` from before.
    """

    position: int
    new: dict[bytes, Message]
    known: dict[bytes, Message]


# Made once: to put a statement together takes several times as long as to run it.

_KNOWN = select(*MESSAGE, messages.c.submission).where(
    IN_ROOM, messages.c.submission.in_(bindparam("digests", expanding=True))
)
_ADVANCE = (
    update(rooms)
    .where(rooms.c.id == bindparam("room"))
    .values(position=rooms.c.position + bindparam("count"))
    .returning(rooms.c.position)
)
_INSERT = insert(messages)
MENTION = insert(mentions)
_JOIN = text("INSERT INTO memberships (room_id, member_id) VALUES (:room, :author) ON CONFLICT DO NOTHING")
_ROW = ("room_id", "position", "author_id", "author_name", "body", "created_at", "submission", "reply_to")
# The same for all rooms of a batch in one trip, for PostgreSQL: the network is between it and us, and as long as a
# transaction lasts, all other appends to its rooms wait. Rooms are locked in one order, which prevents deadlocks.
# Where a room is not there, nothing is stored: its messages refer to none. (One without a position would be refused,
# too, but with all that it says in the error.)
_COMMIT = """
WITH said AS (
    SELECT *, row_number() OVER (PARTITION BY room_id ORDER BY place) AS number
    FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::text[])
        WITH ORDINALITY AS each (room_id, author_id, author_name, body, submission, reply_to, words, place)
), counted AS (
    SELECT room_id, count(*) AS count FROM said GROUP BY room_id
), held AS (
    SELECT id FROM rooms WHERE id IN (SELECT room_id FROM counted) ORDER BY id FOR NO KEY UPDATE
), advanced AS (
    UPDATE rooms SET position = position + count FROM held JOIN counted ON room_id = id WHERE rooms.id = held.id
    RETURNING rooms.id, position, count
), placed AS (
    SELECT said.*, coalesce(position - count, 0) + number AS position FROM said LEFT JOIN advanced ON id = room_id
), added AS (
    INSERT INTO messages (room_id, position, author_id, author_name, body, created_at, submission, reply_to)
    SELECT room_id, position, author_id, author_name, body, $8, submission, reply_to FROM placed
), indexed AS (
    INSERT INTO search_index (room_id, position, created_at, words)
    SELECT room_id, position, $8, words::tsvector FROM placed
), mentioned AS (
    INSERT INTO mentions (room_id, position, written, member_id, member_name)
    SELECT room_id, position, written, member_id, member_name
    FROM unnest($9::int[], $10::text[], $11::text[], $12::text[]) AS each (place, written, member_id, member_name)
        JOIN placed USING (place)
), joined AS (
    INSERT INTO memberships (room_id, member_id)
    SELECT DISTINCT room_id, author_id FROM placed JOIN held ON id = room_id ON CONFLICT DO NOTHING
)
SELECT id, position FROM advanced
"""


@cache
def _sql(statement: Insert | Update, dialect: Dialect) -> str:
    """Return `statement` as SQL, compiled once: SQLAlchemy's own cache costs a lookup per message."""
    return str(statement.compile(dialect=dialect, column_keys=_ROW if statement is _INSERT else None))


def commit(connection: Connection, submissions: Iterable[Submission], now: int) -> dict[int, Committed]:
    """Store `submissions`, dated `now`, and return the result by room.

    Raises `IntegrityError` where one was stored before: most never were, and are not asked for.
    """
    by_room = _by_room(submissions)
    if connection.dialect.name == "postgresql":
        return _append_together(connection, by_room, now)
    return {room_id: _append(connection, room_id, new, {}, now) for room_id, new in by_room.items()}


def commit_unknown(connection: Connection, submissions: Iterable[Submission], now: int) -> dict[int, Committed]:
    """Store the `submissions` that were not stored before, and return the result by room."""
    committed = {}
    for room_id, wanted in _by_room(submissions).items():
        # Lock the room's row first: from here on no other process can store what we look for.
        advance(connection, room_id, 0)
        known = _known(connection, room_id, wanted)
        new = {digest: submission for digest, submission in wanted.items() if digest not in known}
        committed[room_id] = _append(connection, room_id, new, known, now)
    return committed


def _by_room(submissions: Iterable[Submission]) -> dict[int, dict[bytes, Submission]]:
    by_room: dict[int, dict[bytes, Submission]] = {}
    for submission in submissions:
        by_room.setdefault(submission.room_id, {}).setdefault(submission.digest, submission)
    # Rooms in one order, so that two processes never wait for each other's rows.
    return dict(sorted(by_room.items()))


def _append_together(
    connection: Connection, by_room: Mapping[int, Mapping[bytes, Submission]], now: int
) -> dict[int, Committed]:
    rows = [
        (
            *(room_id, each.author.id, each.author.name, each.body, digest, _reply_to(each.reply)),
            document(connection, room_id, each.author.id, each.body, each.mentions),
        )
        for room_id, new in by_room.items()
        for digest, each in new.items()
    ]
    columns = map(list, zip(*rows, strict=True))
    meant = [
        (place, mention.written, mention.member_id, mention.name)
        for place, each in enumerate((each for new in by_room.values() for each in new.values()), start=1)
        for mention in each.mentions
    ]
    mentioned = map(list, zip(*meant, strict=True)) if meant else ([], [], [], [])
    positions: dict[int, int] = dict(connection.exec_driver_sql(_COMMIT, (*columns, now, *mentioned)).all())
    return {
        room_id: Committed(positions[room_id], _said(positions[room_id], new, now), {})
        for room_id, new in by_room.items()
    }


def _append(
    connection: Connection, room_id: int, new: Mapping[bytes, Submission], known: dict[bytes, Message], now: int
) -> Committed:
    position = advance(connection, room_id, len(new))
    if not new:
        return Committed(position, {}, known)
    said = _said(position, new, now)
    rows = [
        (
            *(room_id, message.position, message.author_id, message.author_name, message.body, now, digest),
            _reply_to(message.reply),
        )
        for digest, message in said.items()
    ]
    connection.exec_driver_sql(_sql(_INSERT, connection.dialect), rows)
    index(
        connection,
        [
            (room_id, each.position, now, document(connection, room_id, each.author_id, each.body, each.mentions))
            for each in said.values()
        ],
    )
    if mentioned := [row for message in said.values() for row in mention_rows(room_id, message)]:
        connection.execute(MENTION, mentioned)
    authors = {message.author_id for message in said.values()}
    connection.execute(_JOIN, [{"room": room_id, "author": author} for author in authors])
    return Committed(position, said, known)


def mention_rows(room_id: int, message: Message) -> list[dict[str, Any]]:
    """Return the mentions of a message as their table has them."""
    return [
        {
            "room_id": room_id,
            "position": message.position,
            "written": mention.written,
            "member_id": mention.member_id,
            "member_name": mention.name,
        }
        for mention in message.mentions
    ]


def _said(position: int, new: Mapping[bytes, Submission], now: int) -> dict[bytes, Message]:
    """Return the `new` messages of a room by their digest, whose last one stands at `position`."""
    at = moment(now)
    return {
        digest: Message(
            place, each.author.id, each.author.name, each.body, at, reply=each.reply, mentions=each.mentions
        )
        for place, (digest, each) in enumerate(new.items(), start=position - len(new) + 1)
    }


def _reply_to(reply: Quote | None) -> int | None:
    return reply.position if reply else None


def advance(connection: Connection, room_id: int, count: int) -> int:
    """Take the row of a room, whose log grows by `count`, and return how far it goes then."""
    return int(connection.exec_driver_sql(_sql(_ADVANCE, connection.dialect), (count, room_id)).scalar_one())


def _known(connection: Connection, room_id: int, digests: Iterable[bytes]) -> dict[bytes, Message]:
    rows = connection.execute(_KNOWN, {"room": room_id, "digests": list(digests)}).all()
    known = read(connection, room_id, rows)
    return {row.submission: message for row, message in zip(rows, known, strict=True)}
