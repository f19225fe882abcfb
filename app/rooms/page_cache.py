"""A cache of each room's newest page, valid until somebody writes there.

An announced position invalidates it, also while it is being read, so it never holds what was read before a commit. This
module knows no HTML, and of the log only that positions grow.
"""

import asyncio
from collections.abc import Awaitable, Callable

from cachetools import LRUCache

from app.chat.timeline import Page

MOST_ROOMS = 256  # whose newest messages are cached, so that a page and a resume need no query
MOST_ZONES = 16  # for which those of one room are arranged

Paged = Callable[[str], Page]  # the newest messages of a room, as a page for a time zone


class Tail:
    """The newest messages of one room, and the pages made of them."""

    def __init__(self, paged: Paged, position: int) -> None:
        self.position = position  # up to where they go
        self._paged = paged
        self._pages: dict[str, Page] = {}  # by time zone

    def page(self, zone: str) -> Page:
        """Return them as a page for `zone`: the same one each time."""
        page = self._pages.get(zone)
        if page is None:
            if len(self._pages) >= MOST_ZONES:
                self._pages.clear()
            page = self._pages[zone] = self._paged(zone)
        return page


class PageCache:
    """Caches the tails of rooms; `read` reads one from the log."""

    def __init__(self, read: Callable[[int], Awaitable[Tail]]) -> None:
        self._read = read
        self._tails: LRUCache[int, asyncio.Task[Tail]] = LRUCache(MOST_ROOMS)  # finished or running reads

    def known(self, room_id: int) -> Tail | None:
        """Return the tail of a room, if it is kept."""
        tail = self._tails.get(room_id)
        return tail.result() if tail and tail.done() else None

    async def of(self, room_id: int) -> Tail:
        """Return the tail of a room; concurrent calls share one read. Raises what `read` raises."""
        tail = self._tails.get(room_id)
        if tail is None:
            tail = self._tails[room_id] = asyncio.create_task(self._load(room_id), name=f"newest {room_id}")
        # Shielded: a caller that is cancelled must not cancel it for the others.
        return tail.result() if tail.done() else await asyncio.shield(tail)

    async def _load(self, room_id: int) -> Tail:
        try:
            return await self._read(room_id)
        except BaseException:
            if self._tails.get(room_id) is asyncio.current_task():
                del self._tails[room_id]
            raise

    def rooms(self) -> set[int]:
        """Return the ids of the rooms of which something is kept."""
        return set(self._tails)

    def reached(self, room_id: int, position: int) -> None:
        """The log of a room reaches up to `position`: a tail that ends before, or is being read, is not kept."""
        if room_id in self._tails:
            tail = self.known(room_id)
            if position > (tail.position if tail else 0):  # a poll may say again that an empty room is empty
                del self._tails[room_id]
