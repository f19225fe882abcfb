"""The log: what was said, in which order, by whom. The only module that speaks to the database.

Appends go through one writer, which commits what waits together as one batch. Reads go past it.
Nobody waits longer than `lock_wait` seconds for others who write, here or in another process, however many wait.
It knows nothing of sockets, HTML or who is here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from secrets import token_hex
from typing import Any, Self

from sqlalchemy import ColumnElement, Row, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from app import migrations
from app.engines import file_of, identity, open_engines
from app.lookups import Lookups
from app.messages import Member, Message, Refused, Room
from app.names import name_key, skeleton, slug_of
from app.tables import log, members, messages, rooms

LOBBY = "lobby"
LARGEST_BATCH = 256
MOST_WAITING = 10_000  # appends: far more than wait while the database can be written
VISIT_NOTED_EVERY_MS = 3_600_000
VISIT_WAIT = 0.1  # seconds that somebody's page may be late because their visit is noted
DAY_MS = 86_400_000

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


class StoreUnavailable(Exception):
    """The database cannot be reached or cannot write now: locked, full, gone. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that is in the log; `is_new` is false where an earlier submission put it there."""

    message: Message
    is_new: bool


@dataclass(frozen=True, slots=True)
class Append:
    """A message on its way into the log; `stored` tells when it is there."""

    room_id: int
    author: Member
    body: str
    submission: bytes
    deadline: float  # until when it may wait for others who write, on the loop's clock
    stored: asyncio.Future[Stored]


class Store:
    """The log at the SQLAlchemy URL `url`, and what belongs to it. It serves while it is `opened`.

    A write waits up to `lock_wait` seconds for others who write, and is then refused.
    """

    def __init__(self, url: str, clock: Clock, lock_wait: float = 5) -> None:
        self.epoch = ""  # of the log that is open
        self._reader, self._writer = open_engines(url, lock_wait)
        self._file = file_of(url)
        self._file_identity: tuple[int, int] | None = None  # of the file that is open
        self._clock = clock
        self._lock_wait = lock_wait
        self._turn = asyncio.Lock()  # held by whoever writes
        self._appends: asyncio.Queue[Append] = asyncio.Queue(MOST_WAITING)
        self._lookups = Lookups(self._members)
        # Called with room and position after each commit; whoever delivers listens here, so that a message is
        # announced even when the one who sent it has gone before hearing of it.
        self.on_commit: Callable[[int, int], None] = lambda room_id, position: None
        self.on_batch: Callable[[int, float], None] = lambda size, seconds: None

    @asynccontextmanager
    async def opened(self, lobby: str) -> AsyncIterator[Self]:
        """Open the log, migrated and with a first room called `lobby`; at the end, store what has come and close."""
        try:
            await self._prepare(lobby)
            async with self._appending():
                yield self
        finally:
            await self._reader.dispose()
            await self._writer.dispose()

    @asynccontextmanager
    async def _appending(self) -> AsyncIterator[None]:
        appending = asyncio.create_task(self._append_forever(), name="store appends")
        try:
            yield
            await self._appends.join()
        finally:
            appending.cancel()
            with suppress(asyncio.CancelledError):
                await appending

    async def _prepare(self, lobby: str) -> None:
        async with self._writing() as connection:
            await connection.run_sync(migrations.upgrade)
            if not await connection.scalar(select(func.count()).select_from(log)):
                await connection.execute(insert(log).values(epoch=token_hex(4)))
            self.epoch = str(await connection.scalar(select(log.c.epoch)))
            if not await connection.scalar(select(func.count()).select_from(rooms)):
                await self._insert_room(connection, LOBBY, lobby)
        self._file_identity = identity(self._file)

    @property
    def waiting(self) -> int:
        """How many messages wait to be stored."""
        return self._appends.qsize()

    # Messages

    async def append(self, room_id: int, author: Member, body: str, key: str) -> Stored:
        """Store a message and return it once it is committed; for a submission stored before, return that one.

        Raises `StoreUnavailable`.
        """
        submission = sha256("\0".join((author.id, key, body)).encode("utf-8", "surrogatepass")).digest()
        stored: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        try:
            self._appends.put_nowait(Append(room_id, author, body, submission, self._deadline(), stored))
        except asyncio.QueueFull:
            raise StoreUnavailable("too many messages wait to be stored") from None
        return await stored

    async def since(self, room_id: int, after: int, upto: int, limit: int) -> list[Message]:
        """Return up to `limit` messages at positions `after` < p <= `upto`, oldest first."""
        where = (messages.c.room_id == room_id, messages.c.position > after, messages.c.position <= upto)
        return await self._messages(select(messages).where(*where).order_by(messages.c.position).limit(limit))

    async def before(self, room_id: int, position: int, limit: int) -> list[Message]:
        """Return the `limit` messages just before `position`, oldest first."""
        where = (messages.c.room_id == room_id, messages.c.position < position)
        query = select(messages).where(*where).order_by(messages.c.position.desc()).limit(limit)
        return (await self._messages(query))[::-1]

    async def head(self, room_id: int) -> int:
        """Return the position of the newest message, 0 where there is none."""
        async with self._reading() as connection:
            return int(await connection.scalar(select(rooms.c.position).where(rooms.c.id == room_id)) or 0)

    def confirm(self) -> None:
        """Raise `StoreUnavailable` where the log is gone, or another lies in its place: for what was kept of it."""
        with _unavailable():
            self._find_file()

    async def _messages(self, query: Any) -> list[Message]:
        async with self._reading() as connection:
            return [_message(row) for row in await connection.execute(query)]

    # Rooms

    async def rooms(self) -> list[Room]:
        """Return all rooms, oldest first: the lobby leads."""
        async with self._reading() as connection:
            return [_room(row) for row in await connection.execute(select(rooms).order_by(rooms.c.id))]

    async def create_room(self, name: str) -> Room:
        """Store a room with a slug of its own and return it."""
        async with self._writing() as connection:
            taken = (await connection.scalars(select(rooms.c.slug))).all()
            return await self._insert_room(connection, slug_of(name, frozenset(taken)), name)

    async def _insert_room(self, connection: AsyncConnection, slug: str, name: str) -> Room:
        values = {"slug": slug, "name": name, "position": 0, "created_at": self._now()}
        row = (await connection.execute(insert(rooms).values(values).returning(rooms))).one()
        return _room(row)

    # Members

    async def member(self, member_id: str) -> Member | None:
        """Return the member with this id, unless another has taken over their name. Counts as a visit."""
        row = await self._lookups.ask(member_id)
        if row is None or row.name_key is None:
            return None
        if row.seen_at < self._now() - VISIT_NOTED_EVERY_MS:
            with suppress(StoreUnavailable):
                await self.saw([member_id], VISIT_WAIT)
        return Member(row.id, row.name, row.time_zone)

    async def _members(self, member_ids: Sequence[str]) -> dict[str, Row[Any]]:
        async with self._reading() as connection:
            rows = await connection.execute(select(members).where(members.c.id.in_(member_ids)))
            return {row.id: row for row in rows}

    async def saw(self, member_ids: Sequence[str], wait: float | None = None) -> None:
        """Note that these members are here, which keeps their names theirs; wait as long as others, or `wait`."""
        async with self._writing(self._deadline(wait)) as connection:
            await connection.execute(update(members).where(members.c.id.in_(member_ids)).values(seen_at=self._now()))

    async def take_name(self, member: Member | None, name: str, time_zone: str, held_days: float) -> Member:
        """Give `name` to `member`, or to a new one, and return them as they are now.

        A name, and what looks like it, belongs to who took it until they have not been seen for `held_days`.
        Raises `Refused` ("name-taken").
        """
        now = self._now()
        keys = {"name_key": name_key(name), "name_skeleton": skeleton(name)}
        changed = {"name": name, **keys, "time_zone": time_zone, "seen_at": now}
        renamed = Member(member.id if member else token_hex(8), name, time_zone)
        try:
            async with self._writing() as connection:
                await self._release_name(connection, keys, now - int(held_days * DAY_MS))
                if member:
                    await connection.execute(update(members).where(members.c.id == member.id).values(changed))
                else:
                    await connection.execute(insert(members).values(id=renamed.id, **changed))
        except IntegrityError as error:
            raise await self._taken(renamed, keys) from error
        return renamed

    async def _release_name(self, connection: AsyncConnection, keys: dict[str, str], unseen_since: int) -> None:
        abandoned = (_have_either(keys), members.c.seen_at < unseen_since)
        await connection.execute(update(members).where(*abandoned).values(dict.fromkeys(keys)))

    async def _taken(self, member: Member, keys: dict[str, str]) -> Refused:
        """Return why `member` cannot have their name: another has it, or one that looks like it."""
        theirs = (_have_either(keys), members.c.id != member.id)
        async with self._reading() as connection:
            others = (await connection.scalars(select(members.c.name_key).where(*theirs))).all()
        is_it = "is taken" if keys["name_key"] in others else "looks like one that is taken"
        return Refused("name-taken", f"The name “{member.name}” {is_it}. Please choose another.")

    # The writer

    async def _append_forever(self) -> None:
        while True:
            batch = [await self._appends.get()]
            while len(batch) < LARGEST_BATCH and not self._appends.empty():
                batch.append(self._appends.get_nowait())
            await self._store(batch)
            for _ in batch:
                self._appends.task_done()

    async def _store(self, batch: list[Append]) -> None:
        started = asyncio.get_running_loop().time()
        try:
            stored = await self._commit(batch)
        except Exception as error:  # whatever it is: those who wait must hear of it, and the writer must live on
            await self._fail(batch, error)
            return
        self.on_batch(len(batch), asyncio.get_running_loop().time() - started)
        for room_id, position in _heads(stored).items():
            self.on_commit(room_id, position)
        for append in batch:
            result = stored[append.room_id, append.submission]
            # The same submission may stand in a batch twice: it is new to the first alone.
            stored[append.room_id, append.submission] = Stored(result.message, is_new=False)
            # Who left meanwhile no longer waits; what they said is stored all the same.
            if not append.stored.done():
                append.stored.set_result(result)

    async def _fail(self, batch: list[Append], error: Exception) -> None:
        if len(batch) > 1 and not isinstance(error, StoreUnavailable):
            # One of them cannot be stored: the others shall not suffer for it.
            for append in batch:
                await self._store([append])
        else:
            failure = error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error))
            for append in batch:
                if not append.stored.done():
                    append.stored.set_exception(failure)

    async def _commit(self, batch: list[Append]) -> dict[tuple[int, bytes], Stored]:
        stored = {}
        # Rooms in one order, so that two processes never wait for each other's rows.
        in_rooms = sorted(batch, key=lambda append: append.room_id)
        # Who has waited longest decides for all: nobody waits twice, in the queue and then at the file.
        async with self._writing(batch[0].deadline) as connection:
            for room_id, appends in groupby(in_rooms, key=lambda append: append.room_id):
                wanted = {append.submission: append for append in appends}
                for submission, result in (await self._append(connection, room_id, wanted)).items():
                    stored[room_id, submission] = result
        return stored

    async def _append(
        self, connection: AsyncConnection, room_id: int, wanted: dict[bytes, Append]
    ) -> dict[bytes, Stored]:
        head = select(rooms.c.position).where(rooms.c.id == room_id).with_for_update()
        position = (await connection.execute(head)).scalar_one()
        known = select(messages).where(messages.c.room_id == room_id, messages.c.submission.in_(wanted))
        stored = {row.submission: Stored(_message(row), False) for row in await connection.execute(known)}
        new = [append for submission, append in wanted.items() if submission not in stored]
        if not new:
            return stored
        now = self._now()
        rows = [_row(append, position + place, now) for place, append in enumerate(new, start=1)]
        await connection.execute(insert(messages), rows)
        await connection.execute(update(rooms).where(rooms.c.id == room_id).values(position=position + len(new)))
        return stored | {append.submission: _new(append, row) for append, row in zip(new, rows, strict=True)}

    # Connections

    async def check(self) -> None:
        """Return when the database answers; raises `StoreUnavailable`."""
        async with self._reading() as connection:
            await connection.execute(select(1))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _unavailable():
            self._find_file()
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self, deadline: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Write in a transaction, which has until `deadline` to begin: one's turn comes, and nobody locks the file."""
        deadline = self._deadline() if deadline is None else deadline
        with _unavailable():
            async with self._taking_turns(deadline):
                self._find_file()
                async with self._writer.connect() as connection:
                    await connection.execution_options(lock_wait=deadline - asyncio.get_running_loop().time())
                    async with connection.begin():
                        yield connection

    @asynccontextmanager
    async def _taking_turns(self, deadline: float) -> AsyncIterator[None]:
        async with asyncio.timeout_at(deadline):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    def _deadline(self, wait: float | None = None) -> float:
        return asyncio.get_running_loop().time() + (self._lock_wait if wait is None else wait)

    def _find_file(self) -> None:
        # SQLite goes on with a file that was taken away, and what it writes there is lost; and a new connection would
        # open whatever lies in its place, and mix two logs.
        if self._file_identity and identity(self._file) != self._file_identity:
            raise StoreUnavailable("the database file is gone, or another lies in its place")

    def _now(self) -> int:
        return int(self._clock().timestamp() * 1000)


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turn what a database or its driver says when it cannot serve into `StoreUnavailable`."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout, OSError) as error:  # a TimeoutError is an OSError
        raise StoreUnavailable(str(error) or "somebody else writes for too long") from error


def _have_either(keys: dict[str, str]) -> ColumnElement[bool]:
    return or_(*(members.c[column] == key for column, key in keys.items()))


def _row(append: Append, position: int, now: int) -> dict[str, Any]:
    return {
        "room_id": append.room_id,
        "position": position,
        "author_id": append.author.id,
        "author_name": append.author.name,
        "body": append.body,
        "created_at": now,
        "submission": append.submission,
    }


def _new(append: Append, row: dict[str, Any]) -> Stored:
    author = append.author
    return Stored(Message(row["position"], author.id, author.name, append.body, _time(row["created_at"])), True)


def _heads(stored: dict[tuple[int, bytes], Stored]) -> dict[int, int]:
    """Return up to where the log of each room goes, as far as `stored` tells."""
    heads: dict[int, int] = {}
    # What was there already counts: it may be a commit that failed as far as we could tell, and was never announced.
    for (room_id, _), result in stored.items():
        heads[room_id] = max(heads.get(room_id, 0), result.message.position)
    return heads


def _message(row: Row[Any]) -> Message:
    return Message(row.position, row.author_id, row.author_name, row.body, _time(row.created_at))


def _room(row: Row[Any]) -> Room:
    return Room(row.id, row.slug, row.name)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
