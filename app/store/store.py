"""The log: what was said, in which order, by whom. Nobody else speaks to the database.

Appends go through one writer, which commits what waits together as one batch. Reads go past it.
Nobody waits longer than `lock_wait` seconds for others who write, here or in another process, however many wait.
It knows nothing of sockets, HTML or who is here; what it does to the database is in `statements.py`.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from secrets import token_hex
from time import monotonic
from typing import Any, NamedTuple, Self

import structlog
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.chat.messages import Member, Message, Refused, Room
from app.chat.names import name_key, skeleton
from app.store import room_statements, shared, statements, topics
from app.store.batch_loader import BatchLoader
from app.store.engines import open_engine
from app.store.migrations import UnknownRevision
from app.store.room_statements import NameUnavailable, TooManyRooms
from app.store.shared import Attendance, Attended, Grant, Seat, TokenRequest
from app.store.statements import Committed, SessionOutdated, Submission
from app.store.work import Result, Work

log = structlog.get_logger("parlor.store")

LOBBY = "lobby"
LARGEST_BATCH = 256
LONGEST_GATHERING = 0.001  # seconds
MOST_WAITING = 10_000  # appends: far more than wait while the database can be written
VISIT_NOTED_EVERY_MS = 3_600_000
VISIT_WAIT = 0.1  # seconds that somebody's page may be late because their visit is noted
ANOTHER = "another log lies in the place of the one that was opened: give it a new epoch (renew), and start anew"
DAY_MS = 86_400_000
FAILURE_SECONDS = 10.0  # for which a write that failed counts, where none comes after it
SESSION_ENDED = "Your session in this browser has ended. Choose a name to continue."

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


class Append(NamedTuple):
    """A submission on its way into the log; `stored` tells when it is there."""

    submission: Submission
    deadline: float  # until when it may wait for others who write, on the loop's clock
    stored: asyncio.Future[Stored]


class Store:
    """The log at the SQLAlchemy URL `url`, and what belongs to it. It serves while it is `opened`.

    A write waits up to `lock_wait` seconds for others who write, and is then refused.
    """

    def __init__(self, url: str, clock: Clock, lock_wait: float = 5) -> None:
        self.epoch = ""  # of the log that is open
        self._is_another = False  # what the database holds now
        self._failed_at: float | None = None  # when the last write failed; None where it did not
        self._database = open_engine(url, lock_wait)
        self._clock = clock
        self._lock_wait = lock_wait
        self._appends: deque[Append] = deque()
        self._last_batch = 1  # how many were committed together
        self._appending: asyncio.Task[None] | None = None  # while there is something to append
        self._lookups = BatchLoader(self._find_members)
        # Called after each commit, for each room in it, with the position of its newest message and those that are new,
        # in order. Whoever delivers listens here: what is said is announced even when its sender does not hear of it.
        self.on_commit: Callable[[int, int, Sequence[Message]], None] = lambda room_id, position, messages: None
        self.on_batch: Callable[[int, float], None] = lambda size, seconds: None
        self.on_renamed: Callable[[int], None] = lambda renaming: None  # called with the number of each renaming

    @asynccontextmanager
    async def opened(self, lobby: str) -> AsyncIterator[Self]:
        """Open the log, migrated and with a first room called `lobby`; at the end, store what has come and close."""
        try:
            prepare = partial(statements.prepare, slug=LOBBY, name=lobby, now=self._now())
            with _unavailable():
                self.epoch = await self._database.open(prepare)
            yield self
        finally:
            if self._appending:
                await self._appending
            await self._database.close()

    async def signing_keys(self, made: str) -> str:
        """Return the keys, a line each, that sign for all processes: those just `made` where there are none yet."""
        return await self._write(partial(statements.signing_keys, made=made))

    @property
    def waiting(self) -> int:
        """How many messages wait to be stored."""
        return len(self._appends)

    # Messages

    async def append(self, room_id: int, author: Member, body: str, key: str) -> Stored:
        """Store a message and return it once it is committed; for a submission stored before, return that one.

        Raises `StoreUnavailable`.
        """
        if self._is_another:
            raise StoreUnavailable(ANOTHER)
        if len(self._appends) >= MOST_WAITING:
            raise StoreUnavailable("too many messages wait to be stored")
        digest = sha256("\0".join((author.id, key, body)).encode("utf-8", "surrogatepass")).digest()
        loop = asyncio.get_running_loop()
        append = Append(Submission(room_id, author, body, digest), loop.time() + self._lock_wait, loop.create_future())
        self._appends.append(append)
        if self._appending is None:
            # It starts in the loop's next turn: what comes in this one goes into the same batch.
            self._appending = asyncio.create_task(self._append_all(), name="store appends")
        return await append.stored

    async def since(self, room_id: int, after: int, upto: int, limit: int) -> list[Message]:
        """Return up to `limit` messages at positions `after` < p <= `upto`, oldest first."""
        return await self._read(partial(statements.since, room_id=room_id, after=after, upto=upto, limit=limit))

    async def before(self, room_id: int, position: int, limit: int) -> list[Message]:
        """Return the `limit` messages just before `position`, oldest first."""
        return await self._read(partial(statements.before, room_id=room_id, position=position, limit=limit))

    async def head(self, room_id: int) -> int:
        """Return the position of the newest message, 0 where there is none."""
        return await self._read(partial(statements.head, room_id=room_id))

    def age(self, message: Message) -> float:
        """Return how many seconds ago a message was dated, here or in another process."""
        return (self._clock() - message.created_at).total_seconds()

    def confirm(self) -> None:
        """Raise `StoreUnavailable` where the log is gone, or another lies in its place: for what was kept of it."""
        if self._is_another:
            raise StoreUnavailable(ANOTHER)
        with _unavailable():
            self._database.confirm()

    async def positions(self, shown: Mapping[int, int]) -> dict[str, int]:
        """Return by topic how far everything has come that processes share, the logs of these rooms included.

        What was `shown` of them before is in the log, for good. Raises `StoreUnavailable` from the first time on that
        it is not: a database was put in the place of the one that was opened, or a replica that lacks its end.
        """
        epoch, found = await self._read(partial(shared.positions, room_ids=shown))
        goes_back = any(found.get(topics.log_of(room_id), 0) < position for room_id, position in shown.items())
        self._is_another = self._is_another or epoch != self.epoch or goes_back
        self.confirm()
        return found

    async def attend(
        self,
        process_id: str,
        arrived: Collection[Seat],
        departed: Collection[Seat],
        expiry: float | None = None,
        ahead: float = 0,
    ) -> Attended:
        """Note that a process lives, and who arrived and departed there, as `shared.attend` does."""
        note = partial(shared.attend, arrived=arrived, departed=departed, expiry=expiry, ahead=ahead)
        return await self._write(partial(note, process_id=process_id))

    async def attendance(self, process_id: str, room_ids: Collection[int]) -> dict[int, Attendance]:
        """Return who is present in each of these rooms in all processes but this one."""
        return await self._read(partial(shared.attendance, process_id=process_id, room_ids=room_ids))

    async def take_tokens(self, requests: Mapping[str, TokenRequest]) -> dict[str, Grant]:
        """Take from each of these buckets, which all processes share, what is wanted, or as much as there is."""
        # One statement, which needs no transaction around it.
        return await self._read(partial(shared.take_tokens, requests=requests))

    async def note_drafts(self, said: Mapping[tuple[str, str], str]) -> None:
        """Note what was said of open drafts, by author and key, for all processes and a day."""
        await self._write(partial(shared.note_drafts, said=said))

    async def noted_drafts(self, author: str, keys: Collection[str]) -> dict[str, str]:
        """Return by key what this author said of those drafts of which anything was noted."""
        return await self._read(partial(shared.noted_drafts, author=author, keys=keys))

    async def forget_full_buckets(self) -> None:
        """Let go of the buckets that are as good as new ones."""
        await self._read(shared.forget_full_buckets)

    # Rooms

    async def rooms(self) -> list[Room]:
        """Return all rooms, oldest first: the lobby leads."""
        return await self._read(room_statements.all_rooms)

    async def rooms_after(self, room_id: int) -> list[Room]:
        """Return the rooms that were made after the one with this id, oldest first."""
        return await self._read(partial(room_statements.rooms_after, room_id=room_id))

    async def create_room(self, name: str, most: int = sys.maxsize) -> Room:
        """Store a room with a slug of its own and return it. There may be `most` of them.

        Raises `Refused` ("room-taken", "rooms-full").
        """
        try:
            return await self._write(partial(room_statements.create_room, name=name, now=self._now(), most=most))
        except TooManyRooms as error:
            sentence = f"This chat has reached its limit of {most:,} rooms."
            raise Refused("rooms-full", sentence) from error
        except NameUnavailable as error:
            is_it = name_key(name) in await self._read(partial(room_statements.rooms_with, name=name))
            clash = "already exists" if is_it else "looks too much like another"
            raise Refused("room-taken", f"A room called “{name}” {clash}. Choose another name.") from error

    async def removed_since(self, removal: int) -> list[tuple[int, str]]:
        """Return the number of each removal after `removal` with the address of the room, in their order."""
        return await self._read(partial(room_statements.removed_since, removal=removal))

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
        return await self._read(partial(statements.find_members, member_ids=member_ids))

    async def saw(self, member_ids: Sequence[str], wait: float | None = None) -> None:
        """Note that these members are here, which keeps their names theirs; wait as long as others, or `wait`."""
        deadline = None if wait is None else asyncio.get_running_loop().time() + wait
        await self._write(partial(statements.note_visits, member_ids=member_ids, now=self._now()), deadline)

    async def take_name(self, member: Member | None, name: str, time_zone: str, held_days: float) -> Member:
        """Give `name` to `member`, or to a new one, and return them as they are now.

        A name, and what looks like it, belongs to who took it until they have not been seen for `held_days`, or gave
        it up so long ago. Raises `Refused` ("name-taken", "no-session").
        """
        now = self._now()
        keys = {"name_key": name_key(name), "name_skeleton": skeleton(name)}
        renamed = Member(
            member.id if member else token_hex(8), name, time_zone, session=member.session if member else 0
        )
        save = partial(
            statements.save_member,
            member=renamed,
            is_new=member is None,
            keys=keys,
            unseen_since=now - int(held_days * DAY_MS),
            now=now,
        )
        try:
            renaming = await self._write(save)
        except (IntegrityError, NameUnavailable) as error:
            raise await self._taken(renamed, keys) from error
        except SessionOutdated as error:
            raise Refused("no-session", SESSION_ENDED) from error
        if renaming:
            renamed = replace(renamed, session=renaming)
            self.on_renamed(renaming)
        return renamed

    async def sign_out(self, member: Member) -> Member | None:
        """End the session of `member` wherever it is open; return them as they are now, None where it has ended."""
        try:
            renaming = await self._write(partial(statements.end_session, member=member))
        except SessionOutdated:
            return None
        self.on_renamed(renaming)
        return replace(member, session=renaming)

    async def renamed_since(self, renaming: int) -> tuple[int, list[Member]]:
        """Return the number of the last renaming, and as they are now the members of those after `renaming`."""
        return await self._read(partial(statements.renamed_since, renaming=renaming))

    async def _taken(self, member: Member, keys: dict[str, str]) -> Refused:
        """Return why `member` cannot have their name: another has it, or one that looks like it."""
        others = await self._read(partial(statements.others_with, keys=keys, member_id=member.id))
        is_it = "is taken" if keys["name_key"] in others else "looks too much like one that is taken"
        return Refused("name-taken", f"The name “{member.name}” {is_it}. Choose another.")

    # The writer

    async def _append_all(self) -> None:
        try:
            while self._appends:
                await self._gather(self._last_batch)
                self._last_batch = min(len(self._appends), LARGEST_BATCH)
                await self._store([self._appends.popleft() for _ in range(self._last_batch)])
        finally:
            self._appending = None

    async def _gather(self, expected: int) -> None:
        """Let come what is on its way: those who spoke in the last batch may be about to speak again."""
        until = monotonic() + LONGEST_GATHERING
        while len(self._appends) < expected and monotonic() < until:  # noqa: ASYNC110 a turn or two: no timer is as fine
            await asyncio.sleep(0)

    async def _store(self, batch: list[Append]) -> None:
        started = monotonic()
        try:
            committed = await self._commit(batch)
        except Exception as error:  # whatever it is: those who wait must hear of it, and the writer must live on
            await self._fail(batch, error)
            return
        self.on_batch(len(batch), monotonic() - started)
        for room_id, room in committed.items():
            self._announce(room_id, room)
        _acknowledge(batch, committed)

    async def _commit(self, batch: list[Append]) -> dict[int, Committed]:
        submissions, now = [append.submission for append in batch], self._now()
        # Who has waited longest decides for all: nobody waits twice, in the queue and then at the file.
        deadline = batch[0].deadline
        try:
            work = partial(statements.commit, submissions=submissions, now=now)
            return await self._write(work, deadline, is_single=True)
        except IntegrityError:
            return await self._write(partial(statements.commit_unknown, submissions=submissions, now=now), deadline)

    def _announce(self, room_id: int, room: Committed) -> None:
        try:
            self.on_commit(room_id, room.position, list(room.new.values()))
        except Exception:  # whatever it is: it is committed, and those who wait must hear of it
            log.exception("not announced")

    async def _fail(self, batch: list[Append], error: Exception) -> None:
        if isinstance(error, StoreUnavailable):
            _refuse(batch, error)
        elif len(batch) > 1:
            # One of them cannot be stored: the others shall not suffer for it.
            for append in batch:
                await self._store([append])
        else:
            log.error("cannot be stored", exc_info=error)
            _refuse(batch, StoreUnavailable(str(error)))

    # The database

    async def check(self) -> None:
        """Return when the database answers; raises `StoreUnavailable`."""
        await self.head(0)

    def fails(self) -> bool:
        """Whether the last write failed, a moment ago: later another may succeed."""
        return self._failed_at is not None and monotonic() - self._failed_at < FAILURE_SECONDS

    async def _read(self, work: Work[Result]) -> Result:
        with _unavailable():
            return await self._database.read(work)

    async def _write(self, work: Work[Result], deadline: float | None = None, is_single: bool = False) -> Result:
        try:
            with _unavailable():
                done = await self._database.write(work, deadline, is_single)
        except StoreUnavailable:
            self._failed_at = monotonic()
            raise
        self._failed_at = None
        return done

    def _now(self) -> int:
        return int(self._clock().timestamp() * 1000)


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turn what a database or its driver says when it cannot serve into `StoreUnavailable`."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, OSError, UnknownRevision) as error:  # a TimeoutError is an OSError
        raise StoreUnavailable(str(error) or "somebody else writes for too long") from error


def _acknowledge(batch: list[Append], committed: dict[int, Committed]) -> None:
    """Tell those who wait what became of their submissions."""
    for submission, _, stored in batch:
        _, new, known = committed[submission.room_id]
        message = new.pop(submission.digest, None)
        result = Stored(message, True) if message else Stored(known[submission.digest], False)
        # The same submission may stand in a batch twice: it is new to the first alone.
        known[submission.digest] = result.message
        # Who left meanwhile no longer waits; what they said is stored all the same.
        if not stored.done():
            stored.set_result(result)


def _refuse(batch: list[Append], error: StoreUnavailable) -> None:
    """Tell those who wait that nothing was stored."""
    for append in batch:
        if not append.stored.done():
            append.stored.set_exception(error)
