"""What processes share besides the log: positions, presence, token buckets, open drafts.

Plain functions of a connection to PostgreSQL. Times are by the database's clock, at the start of a statement.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from app.chat.messages import Member

Seat = tuple[int, str]  # a room's id, and the id of a member present there


# By topic, as in `topics.py`.
_POSITIONS = text("""
SELECT 'room:' || id, position FROM rooms WHERE id = ANY(:rooms)
UNION ALL SELECT 'present:' || room_id, version FROM presence WHERE room_id = ANY(:rooms)
UNION ALL SELECT 'rooms', coalesce(max(id), 0) FROM rooms
UNION ALL SELECT 'names', renamings FROM log
UNION ALL SELECT epoch, NULL FROM log
""")


def positions(connection: Connection, room_ids: Collection[int]) -> tuple[str, dict[str, int]]:
    """Return the log's epoch and by topic how far everything has come, that of these rooms included."""
    found = {row[0]: row[1] for row in connection.execute(_POSITIONS, {"rooms": list(room_ids)})}
    epoch = next(topic for topic, position in found.items() if position is None)
    del found[epoch]
    return epoch, found


# Presence


class Attended(NamedTuple):
    """Whether the process was unknown before, and the new versions of the rooms that it changed."""

    is_first: bool
    versions: dict[int, int]


class Attendance(NamedTuple):
    """Who is present in a room, as of a version."""

    version: int
    members: list[Member]


# A version grows with the clock, also after a crash emptied the tables. Rooms are locked in one order, so
# that two processes never wait for each other's rows.
_ATTEND = text("""
WITH own AS (
    INSERT INTO processes (id, seen_at) VALUES (:process, statement_timestamp() + make_interval(secs => :ahead))
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
    RETURNING xmax = 0 AS is_first
), gone AS (
    DELETE FROM processes
    WHERE id <> :process AND seen_at < statement_timestamp() - make_interval(secs => :expiry)
    RETURNING id
), lost AS (
    DELETE FROM attendance USING gone WHERE process_id = gone.id RETURNING room_id
), departed AS (
    DELETE FROM attendance
    USING unnest(CAST(:left_rooms AS int[]), CAST(:left_members AS text[])) AS seat (room, member)
    WHERE process_id = :process AND room_id = room AND member_id = member
    RETURNING room_id
), arrived AS (
    INSERT INTO attendance (room_id, process_id, member_id)
    SELECT room, :process, member
    FROM unnest(CAST(:new_rooms AS int[]), CAST(:new_members AS text[])) AS seat (room, member)
    ON CONFLICT DO NOTHING
    RETURNING room_id
), versions AS (
    INSERT INTO presence AS known (room_id, version)
    SELECT room_id, extract(epoch FROM statement_timestamp()) * 1000
    FROM (SELECT * FROM lost UNION SELECT * FROM departed UNION SELECT * FROM arrived) AS changed
    ORDER BY room_id
    ON CONFLICT (room_id) DO UPDATE SET version = greatest(known.version + 1, excluded.version)
    RETURNING room_id, version
)
SELECT NULL, CAST(is_first AS int) FROM own UNION ALL SELECT room_id, version FROM versions
""")
_ATTENDANCE = text("""
SELECT room_id, version, NULL, NULL, NULL FROM presence WHERE room_id = ANY(:rooms)
UNION ALL
SELECT DISTINCT room_id, 0, id, name, time_zone FROM attendance JOIN members ON id = member_id
WHERE room_id = ANY(:rooms) AND process_id <> :process
""")


def attend(
    connection: Connection,
    arrived: Collection[Seat],
    departed: Collection[Seat],
    process_id: str,
    expiry: float | None = None,
    ahead: float = 0,
) -> Attended:
    """Record that a process lives, and its arrivals and departures; delete processes not seen for `expiry` seconds.

    With `expiry` None, nobody is let go of. It counts as seen `ahead` seconds from now.
    """
    values = {"process": process_id, "expiry": expiry, "ahead": ahead}
    seats = {**_columns("new", arrived), **_columns("left", departed)}
    (_, is_first), *versions = connection.execute(_ATTEND, {**values, **seats})
    return Attended(bool(is_first), dict(map(tuple, versions)))


def _columns(kind: str, seats: Collection[Seat]) -> dict[str, list[Any]]:
    return {f"{kind}_rooms": [room_id for room_id, _ in seats], f"{kind}_members": [member for _, member in seats]}


def attendance(connection: Connection, process_id: str, room_ids: Collection[int]) -> dict[int, Attendance]:
    """Return the members present in each of these rooms in all other processes."""
    versions: dict[int, int] = defaultdict(int)
    members: dict[int, list[Member]] = defaultdict(list)
    for room_id, version, *member in connection.execute(_ATTENDANCE, {"process": process_id, "rooms": list(room_ids)}):
        versions[room_id] = max(version, versions[room_id])
        if member[0]:
            members[room_id].append(Member(*member))
    return {room_id: Attendance(versions[room_id], members[room_id]) for room_id in room_ids}


# How fast one may speak


class TokenRequest(NamedTuple):
    """Asks a bucket with this `rate` per second and `burst` for tokens; a negative number gives them back."""

    tokens: int
    rate: float
    burst: float


class Grant(NamedTuple):
    """So many tokens were granted; the next comes in `wait` seconds."""

    tokens: int
    wait: float


# A bucket is stored as the time at which it is full again: the later, the more tokens are missing. The proposed row
# (`excluded`) holds what is wanted, the stored row what was granted, because only a row can be returned. Rows are in
# one order, so that two processes never wait for each other's buckets. An epsilon makes up for rounding.
_NOW = "extract(epoch FROM statement_timestamp())::float8"
_GRANTED = f"""
least(
    excluded.granted,
    floor(excluded.burst - greatest(bucket.full_at - {_NOW}, 0) / excluded.cost + 0.000001)
)
"""
_TAKE = text(f"""
INSERT INTO buckets AS bucket (id, cost, burst, granted, full_at)
SELECT id, cost, burst, least(wanted, floor(burst)), {_NOW} + least(wanted, floor(burst)) * cost
FROM unnest(CAST(:ids AS text[]), CAST(:costs AS float8[]), CAST(:bursts AS float8[]), CAST(:wanted AS float8[]))
    AS wish (id, cost, burst, wanted)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    cost = excluded.cost,
    burst = excluded.burst,
    granted = {_GRANTED},
    full_at = greatest(bucket.full_at, {_NOW}) + {_GRANTED} * excluded.cost
RETURNING id, granted, full_at - {_NOW} + cost - burst * cost
""")  # noqa: S608 - nothing of it comes from outside
# Buckets that are locked by a request stay.
_FORGET = text(f"""
DELETE FROM buckets WHERE id IN (SELECT id FROM buckets WHERE full_at < {_NOW} FOR UPDATE SKIP LOCKED)
""")  # noqa: S608


def take_tokens(connection: Connection, requests: Mapping[str, TokenRequest]) -> dict[str, Grant]:
    """Take the requested tokens from each of these buckets, or as many as there are."""
    values = {
        "ids": list(requests),
        "costs": [1 / wish.rate for wish in requests.values()],  # seconds in which a token comes back
        "bursts": [wish.burst for wish in requests.values()],
        "wanted": [wish.tokens for wish in requests.values()],
    }
    return {bucket: Grant(int(tokens), max(0.0, wait)) for bucket, tokens, wait in connection.execute(_TAKE, values)}


def forget_full_buckets(connection: Connection) -> None:
    """Let go of the buckets that are as good as new ones."""
    connection.execute(_FORGET)


# Open drafts

_NOTE_DRAFTS = text("""
WITH forgotten AS (DELETE FROM drafts WHERE said_at < statement_timestamp() - interval '1 day')
INSERT INTO drafts (author_id, key, body, said_at)
SELECT author_id, key, body, statement_timestamp()
FROM unnest(CAST(:authors AS text[]), CAST(:keys AS text[]), CAST(:bodies AS text[])) AS said (author_id, key, body)
ORDER BY author_id, key
ON CONFLICT (author_id, key) DO UPDATE SET body = excluded.body, said_at = excluded.said_at
""")
_NOTED_DRAFTS = text("SELECT key, body FROM drafts WHERE author_id = :author AND key = ANY(:keys)")


def note_drafts(connection: Connection, said: Mapping[tuple[str, str], str]) -> None:
    """Record the texts of open drafts, by author and key; delete those older than a day."""
    authors, keys = [author for author, _ in said], [key for _, key in said]
    connection.execute(_NOTE_DRAFTS, {"authors": authors, "keys": keys, "bodies": list(said.values())})


def noted_drafts(connection: Connection, author: str, keys: Collection[str]) -> dict[str, str]:
    """Return by key the recorded texts of these drafts of an author."""
    return {row.key: row.body for row in connection.execute(_NOTED_DRAFTS, {"author": author, "keys": list(keys)})}
