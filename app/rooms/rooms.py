"""The chapters of a room's story, put together, and what happens as time passes: presence, heartbeats, clean-up.

A room is a log. Live delivery, resuming and reading ask the same log and end in the same HTML. A browser's cursor says
how far its page is complete.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from app.chat.limits import Limits
from app.chat.messages import Member, Room
from app.chat.presence import everybody
from app.cluster.cluster import Cluster
from app.delivery.hub import Hub
from app.html.fragments import Fragments
from app.metrics import Metrics
from app.rooms.changing import Changing
from app.rooms.creating import Creation
from app.rooms.delivering import Delivery, in_any_zone
from app.rooms.limiting import RateLimits
from app.rooms.mentioning import Mentioning
from app.rooms.posting import Posting
from app.rooms.reading import History
from app.rooms.resuming import Resumption
from app.rooms.searching import Searching
from app.rooms.typing_notes import TypingNotes
from app.settings import Settings
from app.store import topics
from app.store.errors import StoreUnavailable
from app.store.store import Store

log = structlog.get_logger("parlor.rooms")

TICK_SECONDS = 0.25  # how long arrivals and departures are collected before they are shown
MEMBER_LISTS_PER_SECOND = 1000  # sent to one room at most, if it is so full that each tick would send more
VISIT_SECONDS = 3600.0  # between two records that the present members are here
PURGE_SECONDS = 3600.0  # between two times that the words of deleted messages are overwritten


class Rooms:
    """Builds the chapters; `running` keeps them going. `now` is a clock for pauses, in seconds."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        cluster: Cluster,
        hub: Hub,
        fragments: Fragments,
        metrics: Metrics,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self.hub = hub
        self._settings = settings
        self._store = store
        self.cluster = cluster
        self._fragments = fragments
        self._now = now
        self.limits = RateLimits(limits, cluster.limits, now)
        self.history = History(settings, store, hub, cluster)
        self.creation = Creation(settings, store, hub, cluster.bus, fragments, self.limits, self.history.newest)
        self.directory = self.creation.directory
        self.delivery = Delivery(settings, store, hub, fragments, metrics, self.history)
        chapters = (self.directory, self.history, self.delivery)
        self.searching = Searching(store, self.directory)
        self.resumption = Resumption(settings, store, hub, cluster, *chapters, fragments, now)
        mentioning = Mentioning(store, hub, self.limits)
        self.posting = Posting(settings, store, fragments, metrics, self.limits, mentioning, cluster.drafts, now)
        self.changing = Changing(settings, store, self.limits, mentioning, fragments, metrics)
        self.typing = TypingNotes(settings, hub, cluster.bus, fragments, mentioning, now)
        cluster.bus.listen(self._heard)

    async def present(self, room: Room) -> list[Member]:
        """Return the members present in the room, sorted by name, as far as they are known."""
        audience = self.hub.audience(room.id)
        if audience:
            return audience.presence.members()
        try:
            return await self.cluster.members_elsewhere(room.id)
        except StoreUnavailable:  # the page is still of use without presence
            return []

    def _heard(self, topic: str, position: int) -> None:
        """A topic has come to `position`, here or in another process. Never waits."""
        kind, room_id, member_id = topics.split(topic)
        if kind == topics.LOG_KIND:
            self.delivery.reached(room_id, position)
        elif kind == topics.TYPING_KIND:
            self.typing.reached(room_id, member_id)
        elif kind == topics.ROOMS:
            self.directory.reached(position)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep presence and heartbeats going."""
        await self.directory.refresh()
        forever = (
            *(self._tick_forever, self._beat_forever, self._note_visits_forever),
            *(self._follow_removals_forever, self._purge_forever),
        )
        tasks = [asyncio.create_task(each()) for each in forever]
        try:
            async with self.cluster.running(on_recovery=self.beat):
                yield
        finally:
            for task in (*tasks, *self.delivery.tasks()):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if self.cluster.is_current():  # whatever is sent looks like a sign of life
                    self.tick()
            except Exception:
                log.exception("a tick failed")

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat)
            try:
                # A page that hears nothing more of the log turns yellow as soon as one that hears nothing of us.
                if await self.cluster.poll():
                    self.beat()
            except Exception:  # without heartbeats every page would turn red: whatever it was, go on
                log.exception("a heartbeat failed")

    def tick(self) -> None:
        """Show arrivals, departures and who is typing, since the last tick."""
        self.posting.share_drafts()
        self.typing.tick()
        for audience in self.hub.audiences():
            audience.presence.sweep(self._now(), self._settings.presence_grace)
            if audience.presence.changed and self._now() >= audience.members_due:
                audience.presence.changed = False
                audience.resumed_frame = None
                self.hub.publish(audience, in_any_zone(self._fragments.members(audience.presence.members())))
                pause = len(audience.visitors) / MEMBER_LISTS_PER_SECOND
                audience.members_due = self._now() + (pause if pause > TICK_SECONDS else 0)

    def beat(self) -> None:
        """Send a heartbeat to everybody, and clean up."""
        heartbeat = in_any_zone(self._fragments.heartbeat())
        for audience in self.hub.audiences():
            self.hub.publish(audience, heartbeat)
        self.hub.forget_empty()
        self.limits.sweep()
        self.posting.sweep()
        self.delivery.sweep()

    async def _follow_removals_forever(self) -> None:
        """Poll for removed rooms. The command line removes them, and announces nothing."""
        while True:
            try:
                await self.directory.forget_removed()
            except StoreUnavailable:  # the watchdog logs it
                pass
            except Exception:
                log.exception("not looked for removed rooms")
            await asyncio.sleep(self._settings.poll_seconds)

    async def _purge_forever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            with suppress(StoreUnavailable):  # the next time
                await self.purge()

    async def purge(self) -> None:
        """Overwrite the words of messages that were deleted here. Raises `StoreUnavailable`."""
        if self.delivery.has_deleted:
            self.delivery.has_deleted = False  # before, so that a deletion meanwhile is not forgotten
            try:
                await self._store.index.purge()
            except StoreUnavailable:
                self.delivery.has_deleted = True
                raise

    async def _note_visits_forever(self) -> None:
        while True:
            await asyncio.sleep(VISIT_SECONDS)
            with suppress(StoreUnavailable):
                await self._store.saw(list(everybody(audience.presence for audience in self.hub.audiences())))
