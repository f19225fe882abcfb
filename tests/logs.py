"""What tests of the log share: how it is opened, read, waited for and locked by somebody else."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing

import asyncpg

from app.chat.messages import Room
from app.store.store import Store
from app.store.writer import Stored

HELD_DAYS = 30.0

Opener = Callable[[], AbstractAsyncContextManager[Store]]


async def bodies(log: Store, room: Room) -> list[str]:
    """Return what was said in `room`, in order."""
    return [message.body for message in (await log.changes(room.id, 0, 1_000_000, 1_000_000)).new]


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def attempted(attempt: Coroutine[None, None, Stored]) -> Stored | BaseException:
    """Return what `asyncio.gather` would."""
    outcome: tuple[Stored | BaseException] = await asyncio.gather(attempt, return_exceptions=True)
    return outcome[0]


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Write to the database at `url` from elsewhere, for as long as it takes: others can read it, and not write."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
            file.execute("ROLLBACK")
    else:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE rooms, members, messages IN EXCLUSIVE MODE")
            yield
        await connection.close()
