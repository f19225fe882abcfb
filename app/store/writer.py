"""The writer: commits concurrent appends and changes as one batch.

Each waits at most `lock_wait` seconds for other writers, in this process or another, however many wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError

from app.chat.messages import Message
from app.chat.timeline import Changes
from app.store import append_queries, change_queries
from app.store.append_queries import Committed, Submission
from app.store.change_queries import Request
from app.store.errors import StoreUnavailable
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
    """A submission on its way into the log; `done` resolves when it is committed."""

    submission: Submission
    deadline: float  # until when it may wait for other writers, on the loop's clock
    done: asyncio.Future[Stored]


class Alteration(NamedTuple):
    """A change on its way into the log; `done` resolves when it is committed."""

    request: Request
    deadline: float
    done: asyncio.Future[Message]


Each = TypeVar("Each", Append, Alteration)


class Write(Protocol):
    """Runs work in a transaction, as `Engine.write` does. Raises `StoreUnavailable`."""

    def __call__(
        self, work: Work[Result], deadline: float | None = None, is_single: bool = False
    ) -> Awaitable[Result]: ...


class Writer:
    """Appends and changes messages through `write`, dated by `now` (milliseconds since 1970)."""

    def __init__(self, write: Write, now: Callable[[], int], lock_wait: float) -> None:
        self._write = write
        self._now = now
        self._lock_wait = lock_wait
        self._queue: deque[Append | Alteration] = deque()
        self._last_batch = 1  # how many were committed together
        self._writing: asyncio.Task[None] | None = None  # while there is something to append
        # Called after each commit, for each room in it. Delivery listens here: a message is announced even if its
        # sender is gone.
        self.on_commit: Callable[[int, Changes], None] = lambda room_id, changes: None
        self.on_batch: Callable[[int, float], None] = lambda size, seconds: None

    @property
    def waiting(self) -> int:
        """How many messages and changes wait to be stored."""
        return len(self._queue)

    async def finish(self) -> None:
        """Return when everything is stored that has come."""
        if self._writing:
            await self._writing

    async def append(self, submission: Submission) -> Stored:
        """Store a message and return it once it is committed; for a submission stored before, return that one.

        Raises `StoreUnavailable`.
        """
        done: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self._enqueue(Append(submission, self._deadline(), done))
        return await done

    async def change(self, request: Request) -> Message:
        """Change a message and return it, once that is committed.

        Raises `Refused` where it cannot be changed so, and `StoreUnavailable`.
        """
        done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._enqueue(Alteration(request, self._deadline(), done))
        return await done

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._lock_wait

    def _enqueue(self, each: Append | Alteration) -> None:
        if len(self._queue) >= MOST_WAITING:
            raise StoreUnavailable("too many messages wait to be stored")
        self._queue.append(each)
        if self._writing is None:
            # It starts in the loop's next turn: what comes in this one shares a batch.
            self._writing = asyncio.create_task(self._write_all(), name="store writes")

    async def _write_all(self) -> None:
        try:
            while self._queue:
                await self._gather(self._last_batch)
                self._last_batch = min(len(self._queue), LARGEST_BATCH)
                batch = [self._queue.popleft() for _ in range(self._last_batch)]
                # In two transactions: that of messages is a single statement where a trip is dear.
                await self._store([each for each in batch if isinstance(each, Append)])
                await self._change([each for each in batch if isinstance(each, Alteration)])
        finally:
            self._writing = None

    async def _gather(self, expected: int) -> None:
        """Wait up to a millisecond for as many appends as in the last batch."""
        until = monotonic() + LONGEST_GATHERING
        while len(self._queue) < expected and monotonic() < until:  # noqa: ASYNC110 a turn or two: no timer is as fine
            await asyncio.sleep(0)

    async def _store(self, batch: list[Append]) -> None:
        if not batch:
            return
        started = monotonic()
        try:
            committed = await self._commit(batch)
        except Exception as error:  # any error goes to the callers; the writer must live on
            await self._fail(batch, error, self._store)
            return
        self.on_batch(len(batch), monotonic() - started)
        for room_id, room in committed.items():
            new = list(room.new.values())
            self._announce(room_id, Changes(room.position - len(new), room.position, new))
        _acknowledge(batch, committed)

    async def _change(self, batch: list[Alteration]) -> None:
        if not batch:
            return
        started = monotonic()
        try:
            work = partial(change_queries.make, requests=[each.request for each in batch], now=self._now())
            made = await self._write(work, batch[0].deadline)
        except Exception as error:
            await self._fail(batch, error, self._change)
            return
        self.on_batch(len(batch), monotonic() - started)
        for room_id, room in made.items():
            self._announce(room_id, room.changes)
        results = {room_id: iter(room.results) for room_id, room in made.items()}
        for request, _, done in batch:
            _resolve(done, next(results[request.room_id]))

    async def _commit(self, batch: list[Append]) -> dict[int, Committed]:
        submissions, now = [append.submission for append in batch], self._now()
        # The oldest append decides for the batch: nobody waits twice, in the queue and then at the file.
        deadline = batch[0].deadline
        try:
            work = partial(append_queries.commit, submissions=submissions, now=now)
            return await self._write(work, deadline, is_single=True)
        except IntegrityError:
            return await self._write(partial(append_queries.commit_unknown, submissions=submissions, now=now), deadline)

    def _announce(self, room_id: int, changes: Changes) -> None:
        try:
            self.on_commit(room_id, changes)
        except Exception:  # it is committed, so the callers still get their answer
            log.exception("not announced")

    async def _fail(self, batch: list[Each], error: Exception, again: Callable[[list[Each]], Awaitable[None]]) -> None:
        if isinstance(error, StoreUnavailable):
            _refuse(batch, error)
        elif len(batch) > 1:
            # One of them cannot be stored: the others shall not suffer for it.
            for each in batch:
                await again([each])
        else:
            log.error("cannot be stored", exc_info=error)
            _refuse(batch, StoreUnavailable(str(error)))


def _acknowledge(batch: list[Append], committed: dict[int, Committed]) -> None:
    """Resolve the appends of a committed batch."""
    for submission, _, done in batch:
        _, new, known = committed[submission.room_id]
        message = new.pop(submission.digest, None)
        result = Stored(message, True) if message else Stored(known[submission.digest], False)
        # The same submission may stand in a batch twice: it is new to the first alone.
        known[submission.digest] = result.message
        _resolve(done, result)


def _refuse(batch: Sequence[Append | Alteration], error: StoreUnavailable) -> None:
    """Fail what was not stored."""
    for each in batch:
        _resolve(each.done, error)


def _resolve(done: asyncio.Future[Any], result: Stored | Message | Exception) -> None:
    # A caller may have been cancelled; what it asked for is stored all the same.
    if done.done():
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)
