"""How the database is opened: an engine to read by and one to write by, and what SQLite needs to be told.

It knows no table. The store alone uses it.
"""

import os
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry


def open_engines(url: str, lock_wait: float) -> tuple[AsyncEngine, AsyncEngine]:
    """Return an engine to read by and one to write by.

    Each transaction of the second has an execution option `lock_wait`: the seconds for which its beginning may wait.
    """
    parsed = make_url(url)
    # Parameters are what people said, and what they are called: an error is logged, they are not.
    create = partial(create_async_engine, parsed, hide_parameters=True)
    if parsed.get_backend_name() != "sqlite":
        engine = create(pool_pre_ping=True)
        return engine.execution_options(isolation_level="AUTOCOMMIT"), engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    # Reads are single statements with nothing to roll back: each trip to the driver's thread counts when all resume.
    reader = create(
        pool_timeout=lock_wait,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
    )
    # One writer: SQLite has one write lock, and waiting for it in a queue of ours beats polling for it.
    writer = create(pool_size=1, max_overflow=0)
    event.listen(reader.sync_engine, "connect", partial(_set_up_sqlite, lock_wait=lock_wait))
    event.listen(writer.sync_engine, "connect", partial(_set_up_sqlite, lock_wait=lock_wait))
    event.listen(writer.sync_engine, "begin", _begin_sqlite)
    return reader, writer


def _begin_sqlite(connection: Connection) -> None:
    timeout = _busy_timeout(connection.get_execution_options()["lock_wait"])
    if timeout != connection.info["busy_timeout"]:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={timeout}")
        connection.info["busy_timeout"] = timeout
    # A transaction that reads first and writes later can fail in the middle; one that starts as a writer cannot.
    # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_up_sqlite(connection: Any, record: ConnectionPoolEntry, lock_wait: float) -> None:
    record.info["busy_timeout"] = _busy_timeout(lock_wait)
    connection.isolation_level = None  # the driver starts no transactions of its own
    cursor = connection.cursor()
    # WAL lets reads go on during a write; FULL puts a commit on the disk before it is acknowledged.
    for pragma in (
        f"busy_timeout={record.info['busy_timeout']}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _busy_timeout(lock_wait: float) -> int:
    """Return `lock_wait` in milliseconds, rounded up: most writes wait for nobody, and have nothing to change."""
    return max(0, ceil(lock_wait * 10)) * 100


def file_of(url: str) -> str:
    """Return the path of a SQLite file, "" for another engine."""
    parsed = make_url(url)
    return parsed.database or "" if parsed.get_backend_name() == "sqlite" else ""


def identity(path: str) -> tuple[int, int] | None:
    """Return what tells the file at `path` from any other, whatever they are called; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
