"""The engine for PostgreSQL: a few asyncpg connections, replaced when they break.

Work is a plain function of a connection. It runs in the event loop, where SQLAlchemy suspends it for each answer
(`run_sync`), so the same query serves SQLite and PostgreSQL.

A connection is not checked before each use: that would cost every message a round trip. A broken or silent one is
noticed in use; then all are opened anew, by name, wherever that points now.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.store.work import Result, Work

# Connections of each process. PostgreSQL has a process for each, and allows 100 unless told otherwise.
BATCHES = 1  # messages that come meanwhile go into the next batch
WRITERS = 2  # names, rooms, visits, presence: messages do not wait for them, nor they for messages
READERS = 4  # a read takes less than a millisecond, and browsers that reconnect at once share one
LONGEST_READ = 5.0  # seconds, the wait for a connection included
LONGEST_CONNECT = 10.0  # seconds
LONGEST_SILENCE = 1.0  # seconds without an answer, after which a connection is no longer thought to be merely slow
LONGEST_LEAVE = 0.1  # seconds, in which a connection is closed that is of no use any more
PATIENCE_OF_SERVER = 1.0  # seconds by which the server's timeout is longer than ours

OPENING = 0x7061726C6F72  # the advisory lock for opening the database; the number is "parlor" in ASCII
OPENING_SECONDS = 600  # to wait for it: another process may be migrating a large log

# SQLSTATEs after which nothing was done and another attempt may succeed.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
COLLISIONS = {"40001", "40P01"}  # serialization failure, deadlock: try again
OUTDATED = {"25006", "0A000"}  # the primary became a standby; a statement was prepared for other tables
STOPS = {"57P01", "57P02"}  # and the connection with it


class Postgres:
    """The PostgreSQL database at a libpq URL, `postgresql://…`.

    A write without a deadline has `lock_wait` seconds in all.
    """

    def __init__(self, url: str, lock_wait: float) -> None:
        self._url = url
        self._lock_wait = lock_wait
        self._doubted = 0.0  # connections opened before this moment of the loop's clock are not trusted
        self._is_closing = False
        self._running: set[asyncio.Task[Any]] = set()
        # Single statements are transactions of their own.
        self._batches = self._engine(BATCHES, "AUTOCOMMIT")
        self._reader = self._engine(READERS, "AUTOCOMMIT")
        # A writer that waited for a room's row must see what was committed meanwhile, whatever the server's default.
        self._writer = self._engine(WRITERS, "READ COMMITTED")

    def _engine(self, connections: int, isolation_level: str) -> AsyncEngine:
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            isolation_level=isolation_level,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=None,  # each caller has its own deadline
            pool_reset_on_return=None,  # a transaction has ended by then
            hide_parameters=True,  # messages and names must not get into the log with errors
        )
        event.listen(engine.sync_engine, "connect", _opened)
        event.listen(engine.sync_engine, "checkout", self._trust)
        event.listen(engine.sync_engine, "close", self._leave)
        return engine

    async def _connect(self) -> asyncpg.Connection:
        longest = str(int(1000 * (max(LONGEST_READ, self._lock_wait) + PATIENCE_OF_SERVER)))
        return await asyncpg.connect(
            self._url,
            timeout=LONGEST_CONNECT,
            target_session_attrs="read-write",  # of several hosts the primary, and never a replica
            server_settings={
                "application_name": "parlor",
                "synchronous_commit": "on",  # whatever the server's default: a receipt is a promise
                # A process that falls silent in the middle must not keep the room's row, nor its connections.
                "statement_timeout": longest,
                "idle_in_transaction_session_timeout": longest,
                "tcp_keepalives_idle": "30",  # seconds
                "tcp_keepalives_interval": "10",
                "tcp_keepalives_count": "3",
            },
        )

    def _trust(self, connection: Any, record: ConnectionPoolEntry, _: object) -> None:
        """Have a connection replaced that is closed, or of which there is doubt."""
        if record.info["opened"] < self._doubted:
            connection.driver_connection.terminate()  # to close it would be to wait for an answer
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    def _leave(self, connection: Any, _: ConnectionPoolEntry) -> None:
        if self._is_closing:
            connection.driver_connection.terminate()

    async def open(self, work: Work[Result]) -> Result:
        """Connect and do `work` before anything else, however long it takes: one process after the other."""
        return await self._transact(partial(_alone, work=work))

    async def close(self) -> None:
        """Close the connections, when running work is done."""
        await asyncio.gather(*self._running, return_exceptions=True)
        self._is_closing = True
        for engine in (self._batches, self._reader, self._writer):
            await engine.dispose()

    async def read(self, work: Work[Result]) -> Result:
        """Return the result of `work`. Raises `TimeoutError`, `OSError` and SQLAlchemy's errors."""
        return await self._within(LONGEST_READ, partial(self._run, self._reader, work))

    async def write(self, work: Work[Result], deadline: float | None = None, is_single: bool = False) -> Result:
        """Do `work` in a transaction, all or nothing, and return its result.

        It has until `deadline`, on the loop's clock, to be done. With `is_single`, it is one statement, which commits
        in the same trip: whoever else takes the row of a room waits as long as the database works, and not for us.
        Raises what `read` does. Where the connection is lost while it commits, nobody can say whether it was done. It
        counts as not done: who sent it sends it again, with the same idempotency key, and is shown what is there.
        """
        seconds = self._lock_wait if deadline is None else deadline - asyncio.get_running_loop().time()
        attempt = partial(self._run, self._batches, work) if is_single else partial(self._transact, work)
        return await self._within(seconds, attempt, commits=is_single)

    async def _run(self, engine: AsyncEngine, work: Work[Result]) -> Result:
        async with engine.connect() as connection:
            return await connection.run_sync(work)

    async def _transact(self, work: Work[Result]) -> Result:
        async with self._writer.begin() as connection:
            return await connection.run_sync(work)

    async def _within(
        self, seconds: float, attempt: Callable[[], Coroutine[Any, Any, Result]], commits: bool = False
    ) -> Result:
        """Return what comes of an `attempt`, or of a second one, within `seconds`; else raise `TimeoutError`.

        Its statements are `commits` themselves, or what they do is undone where the connection is lost.
        """
        # A task of its own: the caller may be cancelled, and a connection is useless after half an answer.
        task = asyncio.create_task(self._twice(attempt, commits))
        self._running.add(task)
        timer = asyncio.get_running_loop().call_later(seconds, self._give_up, task, seconds)
        task.add_done_callback(partial(self._ended, timer))
        # Releasing the connection takes a while if the server is silent. Nobody waits for that.
        await asyncio.wait([task], timeout=seconds)
        if not task.done() or task.cancelled():
            raise TimeoutError("the database does not answer in time")
        return task.result()

    async def _twice(self, attempt: Callable[[], Coroutine[Any, Any, Result]], commits: bool) -> Result:
        try:
            return await attempt()
        except DBAPIError as error:
            if not _is_undone(error, commits):
                raise
            if _sqlstate(error) not in COLLISIONS:
                self._doubt()
            return await attempt()

    def _give_up(self, task: asyncio.Task[Any], seconds: float) -> None:
        if seconds >= LONGEST_SILENCE:
            self._doubt()
        task.cancel()
        # The first cancel asks the server to stop, which takes two seconds if it is silent. The second does not wait.
        asyncio.get_running_loop().call_later(LONGEST_LEAVE, task.cancel)

    def _doubt(self) -> None:
        """Have all connections replaced before they are used again."""
        self._doubted = asyncio.get_running_loop().time()

    def _ended(self, timer: asyncio.TimerHandle, task: asyncio.Task[Any]) -> None:
        timer.cancel()
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the caller may be gone

    def confirm(self) -> None:
        """Do nothing: a database does not go away from under a connection."""


def _opened(_: object, record: ConnectionPoolEntry) -> None:
    record.info["opened"] = asyncio.get_running_loop().time()


def _alone(connection: Connection, work: Work[Result]) -> Result:
    """Do `work` under the lock for opening the database, without a timeout."""
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{OPENING_SECONDS}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({OPENING})")
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    return work(connection)


def _is_undone(error: DBAPIError, commits: bool) -> bool:
    """Return whether nothing was done, for a reason that another attempt may not meet."""
    if _sqlstate(error) in COLLISIONS | OUTDATED:
        return True
    is_lost = error.connection_invalidated or _sqlstate(error) in STOPS
    # An error without a statement comes from connecting or committing: the outcome is unknown.
    return is_lost and not commits and error.statement is not None


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
