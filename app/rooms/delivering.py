"""Delivering: everybody who looks at a room is shown what was committed.

Only `_show` moves an audience's position. The next messages of the log are shown at once; anything else is read from
the log by one task per room. `publish` never waits, so a slow browser delays nobody.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from app.chat.messages import Message
from app.chat.timeline import portion
from app.delivery.hub import Audience, Hub
from app.html.fragments import Fragments
from app.metrics import Metrics
from app.rooms.reading import NEWEST, RENDERED_CHARACTERS, History
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import Store

log = structlog.get_logger("parlor.rooms")

FRAME_MESSAGES = 100  # most messages in one frame
RETRY_SECONDS = 1.0  # until a delivery that the store could not serve is tried again


class Delivery:
    """Shows audiences the new messages of their room. One per process."""

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

    def committed(self, room_id: int, messages: Sequence[Message]) -> None:
        """These are new in the log of a room, in order: show them at once, where they are what comes next."""
        audience = self._hub.audience(room_id)
        if audience is None or audience in self._deliveries or not messages:
            return
        try:
            at_once = portion(messages, RENDERED_CHARACTERS)  # the rest is read from the log, others in between
            for first in range(0, at_once, FRAME_MESSAGES):
                if messages[first].position == audience.position + 1:
                    self._show(audience, messages[first : min(first + FRAME_MESSAGES, at_once)])
        except Exception:  # whatever it is: the log is still there, and will be shown
            log.exception("not delivered at once", room=audience.room.slug)

    def reached(self, room_id: int, position: int) -> None:
        """The log of a room goes up to `position`: deliver it. Never waits."""
        self._history.newest.reached(room_id, position)
        audience = self._hub.audience(room_id)
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
        messages = await self._store.since(audience.room.id, audience.position, NEWEST, FRAME_MESSAGES)
        if not messages:  # announced, and not there: the log says what is
            audience.reached = audience.position
            return
        while messages:
            count = portion(messages, RENDERED_CHARACTERS)
            self._show(audience, messages[:count])
            messages = messages[count:]
            await asyncio.sleep(0)  # others in between

    def _show(self, audience: Audience, messages: Sequence[Message]) -> None:
        cursor = self._history.cursor(messages[-1].position)

        def render(zone: str) -> str:
            return self._fragments.appended(self._history.arrange(messages, audience.last, zone), cursor, zone)

        before = audience.position
        self._hub.publish(audience, render)
        audience.advance(messages)
        if audience.position // self._trim_every > before // self._trim_every and (frame := self.trimmed(audience)):
            audience.resumed_frame = None  # it contains the previous trim frame
            self._hub.publish(audience, in_any_zone(frame))
        self._metrics.bus.delivered(self._store.age(messages[-1]))

    def trimmed(self, audience: Audience) -> str:
        """Return what makes a page forget all but the newest messages; nothing where there are no others."""
        first = audience.position - self._open_page_size + 1
        return self._fragments.trimmed(audience.room, first) if first > 1 else ""

    def tasks(self) -> list[asyncio.Task[None]]:
        """Return what reads the log for audiences that are behind."""
        return list(self._deliveries.values())


def in_any_zone(frame: str) -> Callable[[str], str]:
    """Return what renders `frame` whatever the time zone."""
    return lambda zone: frame
