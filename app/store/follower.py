"""Follows a position: reads what is new, one read at a time, until nothing newer is known.

It does not know what it reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.store.batch_loader import BatchLoader

log = structlog.get_logger("parlor.follower")

RETRY_SECONDS = 1.0  # after a failed read


class Follower:
    """Calls `read` with the position up to which everything was read; `read` returns the new one.

    `read` may see the same changes twice and must be idempotent.
    """

    def __init__(self, name: str, read: Callable[[int], Awaitable[int]]) -> None:
        self.position = 0  # read up to here
        self._reached = 0  # known to go up to here
        self._name = name
        self._read = read
        self._readings = BatchLoader(self._read_new)
        self._following: asyncio.Task[None] | None = None

    def reached(self, position: int) -> None:
        """There is something up to `position`: read what is new. Never waits."""
        self._reached = max(position, self._reached)
        if self._following is None and self.position < self._reached:
            self._following = asyncio.create_task(self._follow(), name=f"follow {self._name}")

    async def refresh(self) -> None:
        """Return when everything is read that was there when this was called. Raises what `read` raises."""
        await self._readings.load(self._name)

    async def _read_new(self, names: Sequence[str]) -> dict[str, int]:
        self.position = await self._read(self.position)
        return dict.fromkeys(names, self.position)

    async def _follow(self) -> None:
        try:
            while self.position < self._reached:
                known = self._reached
                try:
                    await self.refresh()
                except Exception as error:  # whatever it is: it is still there, and will be read
                    log.error("not read yet", what=self._name, error=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    if self._reached == known:  # announced, and not there: believe the log
                        self._reached = self.position
        finally:
            self._following = None
