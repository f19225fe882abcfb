"""Looks how far everything has come, again and again: what no announcement told of is found that way.

Who cannot look knows nothing of what others do, so that what it shows may be old: it must not look alive. This module
knows neither what is looked at nor from where.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import structlog

from app.cluster.bus import Bus
from app.metrics import BusMetrics
from app.store.store import StoreUnavailable

log = structlog.get_logger("parlor.lookout")

LATE_SECONDS = 1.0  # by which a look may be late, on a busy machine
RETRY_SECONDS = 0.5  # until a look that failed is tried again


class Lookout(Protocol):
    """Tells whether this process sees what others do."""

    def sees(self, grace: float = 0) -> bool:
        """Whether it does just now, or did within `grace` seconds."""

    async def look(self) -> bool:
        """Look for what is new, and return whether that could be seen."""

    def running(self, on_sight: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Keep looking until the end; `on_sight` is called each time that it sees again after it did not."""


class Alone:
    """The lookout of a process that is alone: there is nothing that it could miss."""

    def sees(self, grace: float = 0) -> bool:
        """It always does."""
        return True

    async def look(self) -> bool:
        """There is nothing to look for."""
        return True

    @asynccontextmanager
    async def running(self, on_sight: Callable[[], None]) -> AsyncIterator[None]:
        """It never looks."""
        yield


class Watch:
    """The lookout among several processes: calls `look` every `seconds`, and when the bus may have missed something.

    What `look` returns, positions by topic, goes to those who listen to the bus. `now` is a clock for pauses.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Mapping[str, int]]],
        bus: Bus,
        seconds: float,
        now: Callable[[], float],
        metrics: BusMetrics,
    ) -> None:
        self._look = look
        self._bus = bus
        self._seconds = seconds
        self._now = now
        self._metrics = metrics
        self._known: dict[str, int] = {}  # what was seen last, and heard of since
        self._seen_at = now()  # when the last look began that saw
        self._failed = False  # the last one
        self._missed = asyncio.Event()
        self._on_sight: Callable[[], None] = lambda: None
        bus.listen(self._heard)
        bus.on_missed(self._missed.set)

    def sees(self, grace: float = 0) -> bool:
        """Whether it does just now, or did within `grace` seconds."""
        age = self._now() - self._seen_at
        return age < grace or (not self._failed and age <= self._seconds + LATE_SECONDS)

    async def look(self) -> bool:
        """Look for what is new, have it told to those who listen, and return whether that could be seen."""
        began = self._now()
        try:
            async with asyncio.timeout(self._seconds + LATE_SECONDS):
                found = await self._look()
        except (StoreUnavailable, TimeoutError) as error:
            if not self._failed:
                log.error("out of sight", error=str(error) or "no answer")
            self._failed = True
            return False
        self._tell(found)
        self._seen_at = max(began, self._seen_at)
        if self._failed:
            self._failed = False
            log.warning("in sight again")
            self._on_sight()
        return True

    def _tell(self, found: Mapping[str, int]) -> None:
        news = [topic for topic, position in found.items() if position > self._known.get(topic, position)]
        self._metrics.looked(bool(news))
        self._known = dict(found)
        for topic, position in found.items():
            self._bus.hear(topic, position)

    def _heard(self, topic: str, position: int) -> None:
        if position > self._known.get(topic, position):
            self._known[topic] = position

    @asynccontextmanager
    async def running(self, on_sight: Callable[[], None]) -> AsyncIterator[None]:
        """Keep looking until the end; `on_sight` is called each time that it sees again after it did not."""
        self._on_sight = on_sight
        self._seen_at = self._now()
        looking = asyncio.create_task(self._look_forever(), name="lookout")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait({looking})

    async def _look_forever(self) -> None:
        while True:
            self._missed.clear()
            try:
                sees = await self.look()
            except Exception:  # whatever it is: it has to go on
                log.exception("a look failed")
                sees = False
            await self._pause(self._seconds if sees else min(self._seconds, RETRY_SECONDS))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._missed.wait()
        except TimeoutError:
            pass
