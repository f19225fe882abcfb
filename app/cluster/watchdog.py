"""Polls the database for new positions, so that a lost notification costs at most one interval.

A process that cannot reach the database may show stale data, so it stops sending heartbeats. This module knows neither
what it polls nor from where.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from app.cluster.bus import Bus
from app.metrics import BusMetrics
from app.store.errors import StoreUnavailable

log = structlog.get_logger("parlor.watchdog")

LATE_SECONDS = 1.0  # by which a poll may be late, on a busy machine
RETRY_SECONDS = 0.5  # until a poll that failed is tried again


class Watchdog:
    """Calls `read` every `seconds`, and when the bus may have missed something.

    Passes what `read` returns, positions by topic, to the listeners of the bus. `now` is a clock for pauses.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Mapping[str, int]]],
        bus: Bus,
        seconds: float,
        now: Callable[[], float],
        metrics: BusMetrics,
    ) -> None:
        self._read = read
        self._bus = bus
        self._seconds = seconds
        self._now = now
        self._metrics = metrics
        self._known: dict[str, int] = {}  # positions that were read last, or announced since
        self._polled_at = now()  # when the last poll that worked began
        self._failed = False  # the last one
        self._missed = asyncio.Event()
        self._on_recovery: Callable[[], None] = lambda: None
        bus.listen(self._heard)
        bus.on_missed(self._missed.set)

    def is_current(self, grace: float = 0) -> bool:
        """Whether the last poll worked, or one did within `grace` seconds."""
        age = self._now() - self._polled_at
        return age < grace or (not self._failed and age <= self._seconds + LATE_SECONDS)

    async def poll(self) -> bool:
        """Read the positions, pass them to the listeners, and return whether that worked."""
        began = self._now()
        try:
            async with asyncio.timeout(self._seconds + LATE_SECONDS):
                found = await self._read()
        except (StoreUnavailable, TimeoutError) as error:
            if not self._failed:
                log.error("the database cannot be polled", error=str(error) or "no answer")
            self._failed = True
            return False
        self._tell(found)
        self._polled_at = max(began, self._polled_at)
        if self._failed:
            self._failed = False
            log.warning("the database can be polled again")
            self._on_recovery()
        return True

    def _tell(self, found: Mapping[str, int]) -> None:
        news = [topic for topic, position in found.items() if position > self._known.get(topic, position)]
        self._metrics.polled(bool(news))
        self._known = dict(found)
        for topic, position in found.items():
            self._bus.hear(topic, position)

    def _heard(self, topic: str, position: int) -> None:
        if position > self._known.get(topic, position):
            self._known[topic] = position

    @asynccontextmanager
    async def running(self, on_recovery: Callable[[], None]) -> AsyncIterator[None]:
        """Poll until the end; `on_recovery` is called when a poll works again after one failed."""
        self._on_recovery = on_recovery
        self._polled_at = self._now()
        looking = asyncio.create_task(self._poll_forever(), name="watchdog")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait({looking})

    async def _poll_forever(self) -> None:
        while True:
            self._missed.clear()
            try:
                worked = await self.poll()
            except Exception:  # whatever it is: it has to go on
                log.exception("a poll failed")
                worked = False
            await self._pause(self._seconds if worked else min(self._seconds, RETRY_SECONDS))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._missed.wait()
        except TimeoutError:
            pass
