"""The log: the messages of each room, in order. Only the store speaks to the database.

Appends go through one writer, which commits in batches; reads do not wait for it. The store knows nothing of sockets,
HTML or presence. Its SQL is in the `…_queries.py`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from time import monotonic
from typing import Any, Self

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from app.chat.messages import Member, Mention, Message, Quote, Refused, Room
from app.chat.names import name_key, skeleton
from app.chat.timeline import Changes, Excerpt
from app.store import cluster_queries, log_queries, member_queries, message_queries, room_queries, topics
from app.store.append_queries import Submission, digest_of
from app.store.batch_loader import BatchLoader
from app.store.change_queries import Request
from app.store.engines import open_engine
from app.store.errors import NameUnavailable, SessionOutdated, StoreUnavailable, TooManyRooms, unavailable
from app.store.search_index import SearchIndex
from app.store.shared_tables import SharedTables
from app.store.work import Result, Work
from app.store.writer import Stored, Writer

LOBBY = "lobby"
VISIT_NOTED_EVERY_MS = 3_600_000
VISIT_WAIT = 0.1  # seconds by which recording a visit may delay a page
ANOTHER = "another log lies in the place of the one that was opened: give it a new epoch (renew), and start anew"
DAY_MS = 86_400_000
FAILURE_SECONDS = 10.0  # for which a failed write counts, if no other follows
SESSION_ENDED = "Your session in this browser has ended. Choose a name to continue."

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


class Store:
    """The log at the SQLAlchemy URL `url`. It serves while it is `opened`.

    A write waits up to `lock_wait` seconds for other writers, and is refused then.
    """

    def __init__(self, url: str, clock: Clock, lock_wait: float = 5) -> None:
        self.epoch = ""  # of the log that is open
        self._is_another = False  # whether the log was replaced
        self._failed_at: float | None = None  # when the last write failed; None if it did not
        self._database = open_engine(url, lock_wait)
        self._clock = clock
        self.writer = Writer(self._write, self._now, lock_wait)
        self.shared = SharedTables(self._read, self._write)
        self.index = SearchIndex(self._read, self._write)
        self._lookups = BatchLoader(self._find_members)
        self.on_renamed: Callable[[int], None] = lambda renaming: None  # called with the number of each renaming

    @asynccontextmanager
    async def opened(self, lobby: str) -> AsyncIterator[Self]:
        """Open and migrate the log, with a first room called `lobby`; at the end, finish all appends and close."""
        try:
            prepare = partial(log_queries.prepare, slug=LOBBY, name=lobby, now=self._now())
            with unavailable():
                self.epoch = await self._database.open(prepare)
            yield self
        finally:
            await self.writer.finish()
            await self._database.close()

    async def signing_keys(self, made: str) -> str:
        """Return the keys that all processes share, a line each; store those just `made` if there are none."""
        return await self._write(partial(log_queries.signing_keys, made=made))

    # Messages

    async def append(
        self,
        room_id: int,
        author: Member,
        body: str,
        key: str,
        reply: Quote | None = None,
        mentions: tuple[Mention, ...] = (),
    ) -> Stored:
        """Store a message, as `Writer.append` does. `key` makes it the same submission, however often it comes."""
        self._check_replaced()
        digest = digest_of(author, key, body)
        return await self.writer.append(Submission(room_id, author, body, digest, reply, mentions))

    async def is_stored(self, room_id: int, author: Member, body: str, key: str) -> bool:
        """Whether this submission was stored before."""
        return await self._read(
            partial(message_queries.is_stored, room_id=room_id, digest=digest_of(author, key, body))
        )

    async def change(self, request: Request) -> Message:
        """Change a message and return it, once that is committed.

        Raises `Refused` where it cannot be changed so, and `StoreUnavailable`.
        """
        self._check_replaced()
        return await self.writer.change(request)

    async def changes(self, room_id: int, after: int, upto: int, limit: int) -> Changes:
        """Return what happened at positions `after` < p <= `upto`, as `message_queries.changes`."""
        return await self._read(partial(message_queries.changes, room_id=room_id, after=after, upto=upto, limit=limit))

    async def changed(self, room_id: int, after: int, upto: int, last: int, limit: int) -> list[Message]:
        """Return up to `limit` messages at positions up to `last` that changed at `after` < p <= `upto`, in order."""
        work = partial(message_queries.changed, room_id=room_id, after=after, upto=upto, last=last, limit=limit)
        return await self._read(work)

    async def before(self, room_id: int, position: int, limit: int) -> Excerpt:
        """Return the `limit` messages just before `position`."""
        return await self._read(partial(message_queries.before, room_id=room_id, position=position, limit=limit))

    async def message(self, room_id: int, position: int) -> Message | None:
        """Return the message at `position`, if there is one."""
        found = await self._read(partial(message_queries.at, room_id=room_id, positions=[position]))
        return found[0] if found else None

    async def earlier_versions(self, room_id: int, position: int) -> list[tuple[str, datetime]]:
        """Return the earlier texts of a message, the first one first, with the time at which each was replaced."""
        return await self._read(partial(message_queries.earlier_versions, room_id=room_id, position=position))

    async def count(self, room_id: int, after: int, before: int, most: int) -> int:
        """Return how many messages there are at positions `after` < p < `before`, or `most`."""
        return await self._read(partial(message_queries.count, room_id=room_id, after=after, before=before, most=most))

    async def head(self, room_id: int) -> int:
        """Return the position of the newest change, 0 if there is none."""
        return await self._read(partial(message_queries.head, room_id=room_id))

    def now(self) -> datetime:
        """Return the time that a message would be dated with."""
        return self._clock()

    def age(self, message: Message) -> float:
        """Return how many seconds ago a message was dated, here or in another process."""
        return (self._clock() - message.created_at).total_seconds()

    def confirm(self) -> None:
        """Raise `StoreUnavailable` if the log is gone or was replaced: a cache must not outlive it."""
        self._check_replaced()
        with unavailable():
            self._database.confirm()

    def _check_replaced(self) -> None:
        if self._is_another:
            raise StoreUnavailable(ANOTHER)

    async def positions(self, shown: Mapping[int, int]) -> dict[str, int]:
        """Return by topic how far everything has come that processes share, the logs of these rooms included.

        What was `shown` of them before is in the log, for good. Raises `StoreUnavailable` from the first time on that
        it is not: a database was put in the place of the one that was opened, or a replica that lacks its end.
        """
        epoch, found = await self._read(partial(cluster_queries.positions, room_ids=shown))
        goes_back = any(found.get(topics.log_of(room_id), 0) < position for room_id, position in shown.items())
        self._is_another = self._is_another or epoch != self.epoch or goes_back
        self.confirm()
        return found

    # Rooms

    async def rooms(self) -> list[Room]:
        """Return all rooms, oldest first: the lobby leads."""
        return await self._read(room_queries.all_rooms)

    async def rooms_after(self, room_id: int) -> list[Room]:
        """Return the rooms that were made after the one with this id, oldest first."""
        return await self._read(partial(room_queries.rooms_after, room_id=room_id))

    async def create_room(self, name: str, most: int = sys.maxsize) -> Room:
        """Store a room with a slug of its own and return it. There may be `most` of them.

        Raises `Refused` ("room-taken", "rooms-full").
        """
        try:
            return await self._write(partial(room_queries.create_room, name=name, now=self._now(), most=most))
        except TooManyRooms as error:
            raise Refused("rooms-full", f"This chat has reached its limit of {most:,} rooms.") from error
        except NameUnavailable as error:
            is_it = name_key(name) in await self._read(partial(room_queries.rooms_with, name=name))
            clash = "already exists" if is_it else "looks too much like another"
            raise Refused("room-taken", f"A room called “{name}” {clash}. Choose another name.") from error

    async def removed_since(self, removal: int) -> list[tuple[int, str]]:
        """Return the number of each removal after `removal` with the address of the room, in their order."""
        return await self._read(partial(room_queries.removed_since, removal=removal))

    # Members

    async def member(self, member_id: str) -> Member | None:
        """Return the member with this id, unless another has taken over their name. Counts as a visit."""
        row = await self._lookups.load(member_id)
        if row is None or row.name_key is None:
            return None
        if row.seen_at < self._now() - VISIT_NOTED_EVERY_MS:
            with suppress(StoreUnavailable):
                await self.saw([member_id], VISIT_WAIT)
        return Member(row.id, row.name, row.time_zone, row.session)

    async def _find_members(self, member_ids: Sequence[str]) -> dict[str, Row[Any]]:
        return await self._read(partial(member_queries.find_members, member_ids=member_ids))

    async def members_called(self, room_id: int | None, beginnings: Collection[str], most: int) -> list[Member]:
        """Return up to `most` members whose names begin with one of these keys, as `member_queries.members_called`."""
        called = partial(member_queries.members_called, room_id=room_id, beginnings=beginnings, most=most)
        return await self._read(called)

    async def rooms_of(self, member_ids: Sequence[str]) -> list[int]:
        """Return the ids of the rooms that any of these members belongs to."""
        return await self._read(partial(member_queries.rooms_of, member_ids=member_ids))

    async def saw(self, member_ids: Sequence[str], wait: float | None = None) -> None:
        """Note that these members are here, which keeps their names theirs; wait as long as others, or `wait`."""
        deadline = None if wait is None else asyncio.get_running_loop().time() + wait
        await self._write(partial(member_queries.note_visits, member_ids=member_ids, now=self._now()), deadline)

    async def take_name(self, member: Member | None, name: str, time_zone: str, held_days: float) -> Member:
        """Give `name` to `member`, or to a new one, and return them as they are now.

        A name, and what looks like it, belongs to who took it until they have not been seen for `held_days`, or gave
        it up so long ago. Raises `Refused` ("name-taken", "no-session").
        """
        now = self._now()
        keys = {"name_key": name_key(name), "name_skeleton": skeleton(name)}
        member_id, session = (member.id, member.session) if member else (token_hex(8), 0)
        renamed = Member(member_id, name, time_zone, session)
        save = partial(member_queries.save_member, member=renamed, is_new=member is None, keys=keys)
        try:
            renaming = await self._write(partial(save, unseen_since=now - int(held_days * DAY_MS), now=now))
        except (IntegrityError, NameUnavailable) as error:
            raise await self._taken(renamed, keys) from error
        except SessionOutdated as error:
            raise Refused("no-session", SESSION_ENDED) from error
        if renaming:
            renamed = replace(renamed, session=renaming)
            self.on_renamed(renaming)
        return renamed

    async def sign_out(self, member: Member) -> Member | None:
        """End the session of `member` everywhere; return them as they are now, None if it has ended."""
        try:
            renaming = await self._write(partial(member_queries.end_session, member=member))
        except SessionOutdated:
            return None
        self.on_renamed(renaming)
        return replace(member, session=renaming)

    async def renamed_since(self, renaming: int) -> tuple[int, list[Member]]:
        """Return the number of the last renaming, and the members renamed after `renaming`, as they are now."""
        return await self._read(partial(member_queries.renamed_since, renaming=renaming))

    async def _taken(self, member: Member, keys: dict[str, str]) -> Refused:
        """Return why `member` cannot have their name: another has it, or one that looks like it."""
        others = await self._read(partial(member_queries.others_with, keys=keys, member_id=member.id))
        is_it = "is taken" if keys["name_key"] in others else "looks too much like one that is taken"
        return Refused("name-taken", f"The name “{member.name}” {is_it}. Choose another.")

    # The database

    async def check(self) -> None:
        """Return when the database answers; raises `StoreUnavailable`."""
        await self.head(0)

    def fails(self) -> bool:
        """Whether the last write failed, a moment ago: later another may succeed."""
        return self._failed_at is not None and monotonic() - self._failed_at < FAILURE_SECONDS

    async def _read(self, work: Work[Result]) -> Result:
        with unavailable():
            return await self._database.read(work)

    async def _write(self, work: Work[Result], deadline: float | None = None, is_single: bool = False) -> Result:
        try:
            with unavailable():
                done = await self._database.write(work, deadline, is_single)
        except StoreUnavailable:
            self._failed_at = monotonic()
            raise
        self._failed_at = None
        return done

    def _now(self) -> int:
        return int(self._clock().timestamp() * 1000)
