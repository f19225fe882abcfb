"""The writer: commits concurrent appends as one batch.

An append waits at most `lock_wait` seconds for other writers, in this process or another, however many wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import NamedTuple, Protocol

import structlog
from sqlalchemy.exc import IntegrityError

from app.chat.messages import Member, Message
from app.store import message_queries
from app.store.errors import StoreUnavailable
from app.store.message_queries import Committed, Submission
from app.store.work import Result, Work

log = structlog.get_logger("parlor.store")

LARGEST_BATCH = 256
LONGEST_GATHERING = 0.001  # seconds
MOST_WAITING = 10_000  # appends: far more than wait while the database can be written


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the log; `is_new` is false if an earlier submission stored it."""

    message: Message
    is_new: bool


class Append(NamedTuple):
    """A submission on its way into the log; `stored` resolves when it is committed."""

    submission: Submission
    deadline: float  # until when it may wait for other writers, on the loop's clock
    stored: asyncio.Future[Stored]


class Write(Protocol):
    """Runs work in a transaction, as `Engine.write` does. Raises `StoreUnavailable`."""

    def __call__(
        self, work: Work[Result], deadline: float | None = None, is_single: bool = False
    ) -> Awaitable[Result]: ...


class Writer:
    """Appends messages through `write`, dated by `now` (milliseconds since 1970)."""

    def __init__(self, write: Write, now: Callable[[], int], lock_wait: float) -> None:
        self._write = write
        self._now = now
        self._lock_wait = lock_wait
        self._appends: deque[Append] = deque()
        self._last_batch = 1  # how many were committed together
        self._appending: asyncio.Task[None] | None = None  # while there is something to append
        # Called after each commit, for each room in it, with the position of its newest message and those that are new,
        # in order. Delivery listens here: a message is announced even if its sender is gone.
        self.on_commit: Callable[[int, int, Sequence[Message]], None] = lambda room_id, position, messages: None
        self.on_batch: Callable[[int, float], None] = lambda size, seconds: None

    @property
    def waiting(self) -> int:
        """How many messages wait to be stored."""
        return len(self._appends)

    async def finish(self) -> None:
        """Return when everything is stored that has come."""
        if self._appending:
            await self._appending

    async def append(self, room_id: int, author: Member, body: str, key: str) -> Stored:
        """Store a message and return it once it is committed; for a submission stored before, return that one.

        Raises `StoreUnavailable`.
        """
        if len(self._appends) >= MOST_WAITING:
            raise StoreUnavailable("too many messages wait to be stored")
        digest = sha256("\0".join((author.id, key, body)).encode("utf-8", "surrogatepass")).digest()
        loop = asyncio.get_running_loop()
        append = Append(Submission(room_id, author, body, digest), loop.time() + self._lock_wait, loop.create_future())
        self._appends.append(append)
        if self._appending is None:
            # It starts in the loop's next turn: appends of this one share a batch.
            self._appending = asyncio.create_task(self._append_all(), name="store appends")
        return await append.stored

    async def _append_all(self) -> None:
        try:
            while self._appends:
                await self._gather(self._last_batch)
                self._last_batch = min(len(self._appends), LARGEST_BATCH)
                await self._store([self._appends.popleft() for _ in range(self._last_batch)])
        finally:
            self._appending = None

    async def _gather(self, expected: int) -> None:
        """Wait up to a millisecond for as many appends as in the last batch."""
        until = monotonic() + LONGEST_GATHERING
        while len(self._appends) < expected and monotonic() < until:  # noqa: ASYNC110 a turn or two: no timer is as fine
            await asyncio.sleep(0)

    async def _store(self, batch: list[Append]) -> None:
        started = monotonic()
        try:
            committed = await self._commit(batch)
        except Exception as error:  # any error goes to the callers; the writer must live on
            await self._fail(batch, error)
            return
        self.on_batch(len(batch), monotonic() - started)
        for room_id, room in committed.items():
            self._announce(room_id, room)
        _acknowledge(batch, committed)

    async def _commit(self, batch: list[Append]) -> dict[int, Committed]:
        submissions, now = [append.submission for append in batch], self._now()
        # The oldest append decides for the batch: nobody waits twice, in the queue and then at the file.
        deadline = batch[0].deadline
        try:
            work = partial(message_queries.commit, submissions=submissions, now=now)
            return await self._write(work, deadline, is_single=True)
        except IntegrityError:
            return await self._write(
                partial(message_queries.commit_unknown, submissions=submissions, now=now), deadline
            )

    def _announce(self, room_id: int, room: Committed) -> None:
        try:
            self.on_commit(room_id, room.position, list(room.new.values()))
        except Exception:  # it is committed, so the callers still get their answer
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


def _acknowledge(batch: list[Append], committed: dict[int, Committed]) -> None:
    """Resolve the appends of a committed batch."""
    for submission, _, stored in batch:
        _, new, known = committed[submission.room_id]
        message = new.pop(submission.digest, None)
        result = Stored(message, True) if message else Stored(known[submission.digest], False)
        # The same submission may stand in a batch twice: it is new to the first alone.
        known[submission.digest] = result.message
        # A caller may have been cancelled; the message is stored all the same.
        if not stored.done():
            stored.set_result(result)


def _refuse(batch: list[Append], error: StoreUnavailable) -> None:
    """Fail the appends of a batch that was not stored."""
    for append in batch:
        if not append.stored.done():
            append.stored.set_exception(error)
