"""The engine for SQLite: threads that read, one that writes, and its pragmas.

Work is a plain function of a connection. It goes to a thread and back once, however many statements it has: the thread
switch is what small transactions spend their time on.
"""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from app.store.work import Result, Work

READERS = 2  # threads: while one waits for the disk, the other reads from memory
LONGEST_READ = 5.0  # seconds, the wait for a thread included
CHECKPOINT_PAGES = 4000  # of 4 kB; a commit waits while the write-ahead log is copied into the file

# Errors for an operator whose database is in use.
NOT_ALONE = "is open in another process, and SQLite serves one: stop that, or use PostgreSQL (PARLOR_DATABASE_URL)"
NO_LOCKS = "lies where files cannot be locked, as on some network file systems: SQLite needs a disk of this machine"


class Sqlite:
    """The SQLite file at a SQLAlchemy URL.

    A write without a deadline waits up to `lock_wait` seconds for other writers.
    """

    def __init__(self, url: str, lock_wait: float) -> None:
        self._file = make_url(url).database or ""
        self._file_identity: tuple[int, int] | None = None  # of the file that is open
        self._lock: IO[str] | None = None
        self._lock_wait = lock_wait
        # Reads are single statements with nothing to roll back.
        self._reader = self._engine(READERS, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
        self._writer = self._engine(1)
        self._connection: Connection | None = None  # the writer's, which keeps it: each taking would cost 50 µs
        self._reading = ThreadPoolExecutor(READERS, "store reads")
        # One writer: SQLite has one write lock, and waiting for it in a queue of ours beats polling for it.
        self._writing = ThreadPoolExecutor(1, "store writes")
        self._turn = asyncio.Lock()  # held during a write

    def _engine(self, connections: int, **options: Any) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._file}",
            pool_size=connections,
            max_overflow=0,
            pool_reset_on_return=None,  # a transaction has ended by then
            hide_parameters=True,  # messages and names must not get into the log with errors
            **options,
        )
        event.listen(engine, "connect", partial(_set_up, lock_wait=self._lock_wait))
        return engine

    async def open(self, work: Work[Result]) -> Result:
        """Open the file, or make it, and do `work` before anything else; from here on it is known by its identity.

        Raises `OSError` where another process has it open.
        """
        if self._file:
            Path(self._file).parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self._file)
        done = await self.write(work)
        self._file_identity = identity(self._file)
        return done

    async def close(self) -> None:
        """Close the file, when running work is done."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        if self._connection:
            self._connection.close()
        self._reader.dispose()
        self._writer.dispose()
        if self._lock:
            self._lock.close()

    async def read(self, work: Work[Result]) -> Result:
        """Return the result of `work`. Raises `TimeoutError`, `OSError` and SQLAlchemy's errors."""
        async with asyncio.timeout(LONGEST_READ):
            return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)

    def _read(self, work: Work[Result]) -> Result:
        self.confirm()
        with self._reader.connect() as connection:
            return work(connection)

    async def write(self, work: Work[Result], deadline: float | None = None, is_single: bool = False) -> Result:
        """Do `work` in a transaction, all or nothing, and return its result.

        It has until `deadline`, on the loop's clock, to begin: one's turn comes, and nobody else locks the file.
        Raises what `read` does.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._lock_wait if deadline is None else deadline
        async with asyncio.timeout_at(deadline):
            await self._turn.acquire()
        writing = self._writing.submit(self._write, work, deadline - loop.time())
        # The caller may be cancelled before it is done: the lock is released when the thread is free.
        writing.add_done_callback(lambda _: loop.call_soon_threadsafe(self._turn.release))
        return await asyncio.wrap_future(writing)

    def _write(self, work: Work[Result], lock_wait: float) -> Result:
        self.confirm()
        if self._connection is None:
            self._connection = self._writer.connect()
        with self._connection.begin():
            _wait_for_locks(self._connection, lock_wait)
            # A transaction that reads first and writes later can fail in the middle, one that starts as a writer not.
            # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            return work(self._connection)

    def confirm(self) -> None:
        """Raise `FileNotFoundError` if the file is gone or was replaced."""
        # SQLite goes on with a deleted file, and its writes are lost; and a new connection would
        # open whatever lies in its place, and mix two logs.
        if self._file_identity and identity(self._file) != self._file_identity:
            raise FileNotFoundError("the database file is gone, or another lies in its place")


def _set_up(connection: Any, record: ConnectionPoolEntry, lock_wait: float) -> None:
    record.info["busy_timeout"] = _busy_timeout(lock_wait)
    connection.isolation_level = None  # the driver starts no transactions of its own
    cursor = connection.cursor()
    # WAL lets reads go on during a write; FULL puts a commit on the disk before it is acknowledged.
    for pragma in (
        f"busy_timeout={record.info['busy_timeout']}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _wait_for_locks(connection: Connection, seconds: float) -> None:
    timeout = _busy_timeout(seconds)
    if timeout != connection.info["busy_timeout"]:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={timeout}")
        connection.info["busy_timeout"] = timeout


def _busy_timeout(seconds: float) -> int:
    """Return `seconds` in milliseconds, rounded up to 100, so that most writes need not change the pragma."""
    return max(0, ceil(seconds * 10)) * 100


def identity(path: str) -> tuple[int, int] | None:
    """Return the identity of the file at `path`; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def lock(file: str) -> IO[str] | None:
    """Keep other processes of ours from the database in `file`; return the lock, to be closed at the end.

    What one process tells itself is missed by another. The lock is on a file beside the database, which stays; the
    system ends it with the process, however that ends. Raises `OSError` with a sentence for the operator.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    path = Path(file).resolve()  # however it is called
    held = path.with_name(f"{path.name}.lock").open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        reason = NOT_ALONE if isinstance(error, BlockingIOError) else NO_LOCKS
        raise OSError(f"{path} {reason}") from error
    return held
