"""Follows renamings in all processes, which invalidate what is cached of a member. It knows no database."""

from collections.abc import Awaitable, Callable, Sequence

from app.chat.messages import Member
from app.cluster.bus import Bus
from app.store import topics
from app.store.follower import Follower

NEVER = 2**62  # after this renaming comes none


class Renamings:
    """`read` returns the members who were renamed after a number, with the number of the last renaming.

    `on_renamed` is called with each of them as they are called now, possibly more than once.
    """

    def __init__(
        self,
        read: Callable[[int], Awaitable[tuple[int, Sequence[Member]]]],
        bus: Bus,
        on_renamed: Callable[[Member], None],
    ) -> None:
        self._read = read
        self._on_renamed = on_renamed
        self._follower = Follower("renamings", self._read_new)
        bus.listen(self._heard)

    async def begin(self) -> None:
        """Start from the last renaming: nothing is cached of earlier ones."""
        self._follower.position, _ = await self._read(NEVER)

    def _heard(self, topic: str, position: int) -> None:
        if topic == topics.NAMES:
            self._follower.reached(position)

    async def _read_new(self, renaming: int) -> int:
        last, members = await self._read(renaming)
        for member in members:
            self._on_renamed(member)
        return last
