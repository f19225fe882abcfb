"""Creating: people take names and make rooms, and everybody is shown what changed.

Another process may also take a name, or make or remove a room.
"""

from contextlib import suppress

import structlog

from app.chat.messages import Member, Refused, Room
from app.chat.names import clean_name, is_reserved
from app.cluster.bus import Bus
from app.delivery.hub import Hub
from app.html.fragments import Fragments
from app.rooms.delivering import in_any_zone
from app.rooms.directory import Directory
from app.rooms.limiting import RateLimits
from app.rooms.page_cache import PageCache
from app.rooms.posting import NAMELESS, UNSTORED
from app.rooms.reading import NEWEST
from app.settings import Settings
from app.store import topics
from app.store.errors import StoreUnavailable
from app.store.store import Store

log = structlog.get_logger("parlor.rooms")

OUTDATED, GONE = "session-ended", "room-removed"  # why a connection is ended
SIGNED_OUT = "You signed out. Messages from this window are no longer sent."
REMOVED = "This room was removed."


class Creation:
    """Makes members and rooms. One per process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        hub: Hub,
        bus: Bus,
        fragments: Fragments,
        limits: RateLimits,
        newest: PageCache,
    ) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._bus = bus
        self._fragments = fragments
        self._limits = limits
        self._newest = newest
        self.directory = Directory(store.rooms_after, self._show_room, store.removed_since, self._close_room)

    async def take_name(self, member: Member | None, name: str, time_zone: str, address: str) -> Member:
        """Create a member, or rename one, and return them as they are now. Raises `Refused`."""
        name = clean_name(name, self._settings.name_length)
        if is_reserved(name, self._settings.title):
            raise Refused("name-reserved", f"The name “{name}” is reserved. Choose another.")
        if member and (name, time_zone) == (member.name, member.time_zone):
            return member
        await self._limits.creation(address)
        try:
            renamed = await self._store.take_name(member, name, time_zone, self._settings.name_held_days)
        except StoreUnavailable as error:
            raise UNSTORED() from error
        self.rename(renamed)
        return renamed

    async def sign_out(self, member: Member) -> None:
        """End the session of `member` in every browser that has it. Raises `StoreUnavailable`."""
        if ended := await self._store.sign_out(member):
            self.rename(ended)

    def rename(self, member: Member) -> None:
        """Show `member` by their new name, taken here or elsewhere, and end the connections of older sessions.

        Their own windows come back at once, with the cookie that counts now; a copy of an older one is nobody's.
        """
        for audience in self._hub.audiences():
            audience.presence.rename(member)
            for connection in list(audience.visitors):
                known = connection.member
                if known and known.id == member.id and known.session < member.session:
                    if known == member:  # the name is the same, so they signed out
                        connection.offer(self._fragments.notice(SIGNED_OUT, join=audience.room))
                    connection.cut(OUTDATED)

    async def create(self, member: Member | None, name: str, address: str) -> Room:
        """Make a room called `name` and show it to everybody. Raises `Refused`."""
        if member is None:
            raise NAMELESS()
        name = clean_name(name, self._settings.name_length)
        await self._limits.creation(address)
        await self._limits.room(address)
        try:
            room = await self._store.create_room(name, self._settings.max_rooms)
        except Refused:
            self._limits.refund_room(address)
            raise
        except StoreUnavailable as error:
            self._limits.refund_room(address)
            raise UNSTORED() from error
        self._bus.announce(topics.ROOMS, room.id)
        with suppress(StoreUnavailable):  # it is made, and will be shown
            await self.directory.refresh()
        log.info("room made", room=room.slug)
        return room

    def _show_room(self, room: Room) -> None:
        audiences = self._hub.audiences()
        added = in_any_zone(self._fragments.room_added(room)) if audiences else str
        for audience in audiences:
            audience.resumed_frame = None
            self._hub.publish(audience, added)

    def _close_room(self, room: Room) -> None:
        """A room was removed: end its connections, and show the remaining rooms to everybody else."""
        self._newest.reached(room.id, NEWEST)
        for audience in self._hub.audiences():
            if audience.room.id == room.id:
                for connection in list(audience.visitors):
                    connection.offer(self._fragments.notice(REMOVED))
                    connection.cut(GONE)
            else:
                audience.resumed_frame = None
                self._hub.publish(audience, in_any_zone(self._fragments.rooms(self.directory.all(), audience.room)))
        log.info("room removed", room=room.slug)
