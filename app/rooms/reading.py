"""Reading: a room's messages as pages, and what a gap hides. The newest page is cached."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from app.chat.messages import Cursor, Message, Room
from app.chat.timeline import MOST_COUNTED, Entry, Excerpt, Gap, Page, arrange, portion
from app.cluster.cluster import Cluster
from app.delivery.hub import Hub
from app.rooms.page_cache import PageCache, Tail
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.store.store import Store

NEWEST = 2**63 - 1  # before this position stands the newest page
# Most characters of messages in one frame or page: rendering ten times as much would hold up everybody for 0.1 s.
RENDERED_CHARACTERS = 20_000


class History:
    """Reads the log. One per process."""

    def __init__(self, settings: Settings, store: Store, hub: Hub, cluster: Cluster) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._cluster = cluster
        self.newest = PageCache(self._tail)

    async def page(self, room: Room, zone: str, before: int = NEWEST) -> Page:
        """Return the messages just before the position `before`, as one page."""
        tail = await self.newest.of(room.id) if before == NEWEST else self.newest.known(room.id)
        if tail and before > tail.position:
            self.confirm(self._settings.lost_after)  # a cache must not outlive the log
            return tail.page(zone)
        return self._paged(await self._store.before(room.id, before, self._settings.page_size + 1), zone)

    async def around(self, room: Room, zone: str, position: int) -> Page | None:
        """Return the message at `position` in the middle of a page; None if it does not exist."""
        half = self._settings.page_size // 2
        excerpt = await self._store.before(room.id, position + 1, half + 2)
        if not excerpt.messages or excerpt.messages[-1].position != position:
            return None
        newer = (await self._store.changes(room.id, position, NEWEST, half)).new
        newer = newer[: portion(newer, RENDERED_CHARACTERS)]
        page = self._paged(excerpt, zone, half + 1)
        entries = [*page.entries, *self.arrange(newer, excerpt.messages[-1], zone)]
        return Page(entries, excerpt.position, page.older)

    async def earlier_versions(self, room: Room, message: Message) -> list[tuple[str, datetime]]:
        """Return the earlier texts of a message, the first one first, with the time at which each was replaced."""
        return await self._store.earlier_versions(room.id, message.position) if message.edited_at else []

    async def fill(self, room: Room, zone: str, gap: Gap) -> tuple[Page, Gap | None]:
        """Return the newest messages of `gap` as a page, and the gap that remains before them."""
        excerpt = await self._store.before(room.id, gap.before, self._settings.page_size + 1)
        most = min(sum(message.position > gap.after for message in excerpt.messages), self._settings.page_size)
        page = self._paged(excerpt, zone, most)
        return page, await self.gap(room, gap.after, page.first or gap.before)

    async def gap(self, room: Room, after: int, before: int) -> Gap | None:
        """Return what there is between two positions, if there is anything."""
        size = await self._store.count(room.id, after, before, MOST_COUNTED + 1)
        return Gap(after, before, size) if size else None

    def cursor(self, position: int) -> Cursor:
        """Return the cursor of a page that is complete up to `position`."""
        return Cursor(self._store.epoch, position)

    def confirm(self, grace: float = 0) -> None:
        """Raise `StoreUnavailable` if the log is gone, or was not polled within `grace` seconds."""
        self._store.confirm()
        if not self._cluster.is_current(grace):
            raise StoreUnavailable("the database cannot be polled")

    def arrange(self, messages: Sequence[Message], after: Message | None, zone: str) -> list[Entry]:
        """Return `messages`, which come after `after`, as they are shown in `zone`."""
        return arrange(messages, after, ZoneInfo(zone), self._settings.group_window)

    async def _tail(self, room_id: int) -> Tail:
        count = self._settings.page_size + 1
        audience = self._hub.audience(room_id)
        excerpt = audience.newest(count) if audience else None
        if excerpt is None:
            excerpt = await self._store.before(room_id, NEWEST, count)
        return Tail(partial(self._paged, excerpt), excerpt.position)

    def _paged(self, excerpt: Excerpt, zone: str, most: int | None = None) -> Page:
        after, shown = self._last_of(excerpt.messages, self._settings.page_size if most is None else most)
        return Page(
            self.arrange(shown, after, zone),
            position=excerpt.position,
            older=shown[0].position if after else None,
        )

    def _last_of(self, messages: Sequence[Message], most: int) -> tuple[Message | None, Sequence[Message]]:
        """Return the last of `messages` that are shown together, and the one before them, if there is one.

        It decides how the first of them is grouped: there is one more than the `most` that are shown.
        """
        count = portion(messages[: -most - 1 : -1], RENDERED_CHARACTERS)
        start = len(messages) - count
        return messages[start - 1] if start else None, messages[start:]
