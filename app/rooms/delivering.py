"""Delivering: everybody who looks at a room is shown what was committed.

Only `_show` moves an audience's position. The next changes of the log are shown at once; anything else is read from
the log by one task per room. `publish` never waits, so a slow browser delays nobody.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from app.chat.timeline import Changes, split
from app.delivery.hub import Audience, Hub
from app.html.fragments import Fragments
from app.metrics import Metrics
from app.rooms.reading import NEWEST, RENDERED_CHARACTERS, History
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import Store
from app.store.writer import LARGEST_BATCH

log = structlog.get_logger("parlor.rooms")

FRAME_MESSAGES = 100  # most messages in one frame
RETRY_SECONDS = 1.0  # until a delivery that the store could not serve is tried again


class Delivery:
    """Shows audiences what changes in their room. One per process."""

    def __init__(
        self, settings: Settings, store: Store, hub: Hub, fragments: Fragments, metrics: Metrics, history: History
    ) -> None:
        self._store = store
        self._hub = hub
        self._fragments = fragments
        self._metrics = metrics
        self._history = history
        self._open_page_size = max(settings.open_page_size, settings.page_size)
        self._trim_every = max(1, self._open_page_size // 4)  # messages
        self._deliveries: dict[Audience, asyncio.Task[None]] = {}
        self.has_deleted = False  # words of deleted messages may still be in the search index
        self._unwatched: set[int] = set()  # rooms that changed while nobody was shown how
        self.on_deleted: Callable[[int], None] = lambda room_id: None  # called where a message of the room was deleted

    def committed(self, room_id: int, changes: Changes) -> None:
        """These are new in the log of a room: show them at once, if they are what comes next."""
        self._forget_deleted(room_id, changes)
        audience = self._hub.audience(room_id)
        if audience is None or audience in self._deliveries or changes.after != audience.position:
            return
        if changes.upto == changes.after:  # what was done changed nothing
            return
        try:
            at_once = next(split(changes, LARGEST_BATCH, RENDERED_CHARACTERS))  # the rest is read from the log
            for part in split(at_once, FRAME_MESSAGES, RENDERED_CHARACTERS):
                self._show(audience, part)
        except Exception:  # whatever it is: the log is still there, and will be shown
            log.exception("not delivered at once", room=audience.room.slug)

    def reached(self, room_id: int, position: int) -> None:
        """The log of a room goes up to `position`: deliver it. Never waits."""
        self._history.newest.reached(room_id, position)
        audience = self._hub.audience(room_id)
        if audience is None:
            self._unwatched.add(room_id)
        if audience is None or position <= audience.reached:
            return
        audience.reached = position
        if audience not in self._deliveries:
            self._deliveries[audience] = asyncio.create_task(self._deliver(audience), name=f"deliver {room_id}")

    async def catch_up(self, audience: Audience) -> None:
        """Return when what the log holds now is shown, or is tried again."""
        self.reached(audience.room.id, await self._store.head(audience.room.id))
        delivery = self._deliveries.get(audience)
        if delivery:
            await asyncio.shield(delivery)

    def served(self) -> dict[int, int]:
        """Return the ids of the rooms that are shown or cached here, each with the position shown at least."""
        shown = {audience.room.id: audience.position for audience in self._hub.audiences()}
        return dict.fromkeys(self._history.newest.rooms(), 0) | shown

    @property
    def behind(self) -> int:
        """How many positions are known to be reached, and not shown yet."""
        return sum(audience.reached - audience.position for audience in self._hub.audiences())

    async def _deliver(self, audience: Audience) -> None:
        try:
            while audience.position < audience.reached:
                try:
                    await self._show_next(audience)
                except StoreUnavailable as error:
                    log.error("not delivered yet", room=audience.room.slug, error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:  # whatever it is: the log is still there, and will be shown
                    log.exception("not delivered yet", room=audience.room.slug)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            del self._deliveries[audience]

    async def _show_next(self, audience: Audience) -> None:
        changes = await self._store.changes(audience.room.id, audience.position, NEWEST, FRAME_MESSAGES)
        if changes.upto == audience.position:  # announced, and not there: the log says what is
            audience.reached = audience.position
            return
        self._forget_deleted(audience.room.id, changes)
        for part in split(changes, FRAME_MESSAGES, RENDERED_CHARACTERS):
            self._show(audience, part)
            await asyncio.sleep(0)  # others in between

    def _forget_deleted(self, room_id: int, changes: Changes) -> None:
        """What a deleted message was must not be kept anywhere."""
        if deleted := {message.position for message in changes.changed if message.is_deleted}:
            self.has_deleted = True
            self._fragments.forget(room_id, deleted)
            self.on_deleted(room_id)

    def sweep(self) -> None:
        """Forget how rooms looked that changed while nobody was shown how: messages may have been deleted."""
        if self._unwatched:
            self._fragments.forget_rooms(self._unwatched)
            for room_id in self._unwatched:
                self.on_deleted(room_id)
            self._unwatched.clear()

    def _show(self, audience: Audience, changes: Changes) -> None:
        cursor = self._history.cursor(changes.upto)
        # What a reply quotes may have changed since its sender read it.
        changes = replace(changes, new=audience.with_quotes(changes.new))

        def render(zone: str) -> str:
            entries = self._history.arrange(changes.new, audience.last, zone)
            return self._fragments.changes(audience.room, entries, cursor, zone, changed=changes.changed)

        before = audience.shown
        self._hub.publish(audience, render)
        audience.advance(changes)
        if audience.shown // self._trim_every > before // self._trim_every and (frame := self.trimmed(audience)):
            audience.resumed_frame = None  # it contains the previous trim frame
            self._hub.publish(audience, in_any_zone(frame))
        if changes.new:
            self._metrics.bus.delivered(self._store.age(changes.new[-1]))

    def trimmed(self, audience: Audience) -> str:
        """Return what makes a page forget all but the newest messages; nothing where there are no others."""
        if len(audience.tail) <= self._open_page_size:
            return ""
        return self._fragments.trimmed(audience.room, audience.tail[-self._open_page_size].position)

    def tasks(self) -> list[asyncio.Task[None]]:
        """Return what reads the log for audiences that are behind."""
        return list(self._deliveries.values())


def in_any_zone(frame: str) -> Callable[[str], str]:
    """Return what renders `frame` whatever the time zone."""
    return lambda zone: frame
