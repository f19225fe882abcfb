"""The rooms by their address, as this process knows them. It knows no database and no HTML."""

import re
from collections.abc import Awaitable, Callable, Sequence

from app.chat.messages import Room
from app.store.follower import Follower

SLUG = re.compile(r"[a-z0-9-]{1,80}")


class Directory:
    """Holds all rooms, oldest first. `read` returns the rooms that were made after one, by its id.

    `read_removed` returns the removals after one, by its number, with the addresses of the rooms. `on_new` and
    `on_removed` are called with each room that appears or disappears here.
    """

    def __init__(
        self,
        read: Callable[[int], Awaitable[Sequence[Room]]],
        on_new: Callable[[Room], None],
        read_removed: Callable[[int], Awaitable[Sequence[tuple[int, str]]]],
        on_removed: Callable[[Room], None],
    ) -> None:
        self._read_removed = read_removed
        self._on_removed = on_removed
        self._removal = 0  # the number of the last removal that is known
        self._removed: set[str] = set()  # addresses, which are never given again
        self._rooms: dict[str, Room] = {}
        self._read = read
        self._on_new = on_new
        self._follower = Follower("rooms", self._read_new)

    def all(self) -> list[Room]:
        """Return all rooms, the oldest first."""
        return list(self._rooms.values())

    @property
    def oldest(self) -> Room:
        """The first room that was made."""
        return next(iter(self._rooms.values()))

    def find(self, slug: str) -> Room | None:
        """Return the room at the address `slug`, if it is known here."""
        return self._rooms.get(slug)

    async def look_up(self, slug: str) -> Room | None:
        """Return the room at the address `slug`, also where it was made just now by another process.

        However many ask for rooms that are not there, one query at a time answers them.
        """
        if slug not in self._rooms and SLUG.fullmatch(slug):
            await self._follower.refresh()
        return self._rooms.get(slug)

    async def refresh(self) -> None:
        """Return when every room is known that was there when this was called."""
        await self._follower.refresh()

    async def forget_removed(self) -> None:
        """Forget the rooms that were removed. Raises what `read_removed` raises."""
        for removal, slug in await self._read_removed(self._removal):
            self._removal = removal
            self._removed.add(slug)
            if room := self._rooms.pop(slug, None):
                self._on_removed(room)

    def reached(self, newest: int) -> None:
        """There are rooms up to the one with the id `newest`: have them read. Never waits."""
        self._follower.reached(newest)

    async def _read_new(self, newest: int) -> int:
        rooms = await self._read(newest)
        for room in rooms:
            if room.slug not in self._removed:  # since it was read
                self._rooms[room.slug] = room
                self._on_new(room)
        return rooms[-1].id if rooms else newest
