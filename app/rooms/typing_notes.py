"""Typing: others see who is writing, and the writer sees whom the text would mention."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from app.chat.characters import is_blank
from app.chat.messages import Refused, clean
from app.cluster.bus import Bus
from app.delivery.connection import Connection
from app.delivery.hub import Audience, Hub
from app.html.fragments import Fragments
from app.rooms.delivering import in_any_zone
from app.rooms.mentioning import Mentioning
from app.rooms.posting import NAMELESS
from app.settings import Settings
from app.store import topics
from app.store.errors import StoreUnavailable

PAUSE_SECONDS = 1.0  # between two frames to a room
FRAMES_PER_SECOND = 1000  # to one room at most, if it is so full that each second would send more


class TypingNotes:
    """Passes on who is typing, to this process's audiences and to other processes. One per process."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        bus: Bus,
        fragments: Fragments,
        mentioning: Mentioning,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._bus = bus
        self._fragments = fragments
        self._mentioning = mentioning
        self._now = now
        self._count = count(1)

    async def take(self, audience: Audience, connection: Connection, text: str | None) -> None:
        """Somebody types, and this `text` stands in the draft (None: it is not said): tell them whom it mentions."""
        member = connection.member
        if member is None:
            connection.offer(self._fragments.notice(NAMELESS().sentence, join=audience.room))
            return
        if text is not None and is_blank(text):
            audience.typing.stop(member.id)
        elif audience.typing.note(member, self._now()):
            self._bus.announce(topics.typing_in(audience.room.id, member.id), next(self._count))
        if text is not None:
            with suppress(Refused, StoreUnavailable):  # which is told when it is sent
                body = clean(text, self._settings.message_length)
                connection.offer(self._fragments.meant(await self._mentioning.resolve(audience.room, body)))

    def reached(self, room_id: int, member_id: str) -> None:
        """A member types, here or in another process."""
        audience = self._hub.audience(room_id)
        if audience and (member := audience.presence.get(member_id)):
            audience.typing.note(member, self._now())

    def tick(self) -> None:
        """Show who types, where that has changed."""
        for audience in self._hub.audiences():
            if audience.typing.changed and self._now() >= audience.typing_due:
                audience.typing_due = self._now() + max(PAUSE_SECONDS, len(audience.visitors) / FRAMES_PER_SECOND)
                self._hub.publish(audience, in_any_zone(self._fragments.typing(audience.typing.show(self._now()))))
