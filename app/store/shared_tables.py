"""What processes share through the database, on PostgreSQL: who is present where, rate limits, open drafts."""

from collections.abc import Awaitable, Collection, Mapping
from functools import partial
from typing import Protocol

from app.store import cluster_queries
from app.store.cluster_queries import Attendance, Attended, Grant, Seat, TokenRequest
from app.store.work import Result, Work


class Run(Protocol):
    """Does work in the database. Raises `StoreUnavailable`."""

    def __call__(self, work: Work[Result], /) -> Awaitable[Result]: ...


class SharedTables:
    """Reads and writes these tables."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    async def attend(
        self,
        process_id: str,
        arrived: Collection[Seat],
        departed: Collection[Seat],
        expiry: float | None = None,
        ahead: float = 0,
    ) -> Attended:
        """Record that a process lives, and its arrivals and departures, as `cluster_queries.attend`."""
        note = partial(cluster_queries.attend, arrived=arrived, departed=departed, expiry=expiry, ahead=ahead)
        return await self._write(partial(note, process_id=process_id))

    async def attendance(self, process_id: str, room_ids: Collection[int]) -> dict[int, Attendance]:
        """Return the members present in each of these rooms in all other processes."""
        return await self._read(partial(cluster_queries.attendance, process_id=process_id, room_ids=room_ids))

    async def take_tokens(self, requests: Mapping[str, TokenRequest]) -> dict[str, Grant]:
        """Take the requested tokens from each of these shared buckets, or as many as there are."""
        # One statement, which needs no transaction around it.
        return await self._read(partial(cluster_queries.take_tokens, requests=requests))

    async def note_drafts(self, said: Mapping[tuple[str, str], str]) -> None:
        """Record the texts of open drafts, by author and key, for all processes and a day."""
        await self._write(partial(cluster_queries.note_drafts, said=said))

    async def noted_drafts(self, author: str, keys: Collection[str]) -> dict[str, str]:
        """Return by key the recorded texts of these drafts of an author."""
        return await self._read(partial(cluster_queries.noted_drafts, author=author, keys=keys))

    async def forget_full_buckets(self) -> None:
        """Let go of the buckets that are as good as new ones."""
        await self._read(cluster_queries.forget_full_buckets)
