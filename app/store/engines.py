"""The interface of a database engine, and which one a URL stands for.

An engine runs work in as few round trips as it can. It knows no table. Only the store and operations use it.
"""

from typing import Protocol

from app.store.postgres import Postgres
from app.store.sqlite import Sqlite
from app.store.work import Result, Work


class Engine(Protocol):
    """A database. If it cannot serve, it raises an `OSError` or one of SQLAlchemy's errors."""

    async def open(self, work: Work[Result]) -> Result:
        """Connect to the database, or create it, and do `work` first, while no other process opens it."""
        ...

    async def close(self) -> None:
        """Close the database, when running work is done."""
        ...

    async def read(self, work: Work[Result]) -> Result:
        """Return what `work` reads, in bounded time."""
        ...

    async def write(self, work: Work[Result], deadline: float | None = None, is_single: bool = False) -> Result:
        """Do `work` in a transaction, all or nothing, and return its result.

        It waits for others who write until `deadline`, on the loop's clock. Where it fails at its very end, on the way
        to the disk, nobody can say whether it was done: it must be such that doing it again does no harm.
        With `is_single`, it is a single statement wherever each is a trip, and can be committed in the same.
        """
        ...

    def confirm(self) -> None:
        """Raise `OSError` if the opened database is known to be gone or replaced."""
        ...


def open_engine(url: str, lock_wait: float) -> Engine:
    """Return the engine for `url`, whose writes wait up to `lock_wait` seconds for other writers."""
    return Postgres(url, lock_wait) if url.startswith("postgresql://") else Sqlite(url, lock_wait)
