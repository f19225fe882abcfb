"""Mentioning: resolves mentions among the members of a room and the people present in it."""

from collections.abc import Sequence

from app.chat import mentions
from app.chat.mentions import Meant
from app.chat.messages import EVERYBODY, Member, Mention, Room
from app.delivery.hub import Hub
from app.rooms.limiting import RateLimits
from app.store.store import Store

MOST_CALLED = 50  # members whose names begin with what was written: of so many, none is meant


class Mentioning:
    """Resolves mentions. One per process."""

    def __init__(self, store: Store, hub: Hub, limits: RateLimits) -> None:
        self._store = store
        self._hub = hub
        self._limits = limits

    async def resolve(self, room: Room, body: str) -> list[Meant]:
        """Return whom each `@` in a text means, or what is unclear about it. Raises `StoreUnavailable`."""
        rests = mentions.find(body)
        if not rests:
            return []
        beginnings = {mentions.beginning(rest) for rest in rests}
        called = await self._store.members_called(room.id, beginnings, MOST_CALLED * len(beginnings))
        return mentions.resolve(rests, {each.id: each for each in (*called, *self._present(room, beginnings))}.values())

    def _present(self, room: Room, beginnings: set[str]) -> list[Member]:
        audience = self._hub.audience(room.id)
        starts = tuple(beginnings)
        return audience.presence.find(lambda name: mentions.key_of(name).startswith(starts)) if audience else []

    async def new_mentions(
        self, room: Room, member: Member, body: str, before: Sequence[Mention] = ()
    ) -> tuple[Mention, ...]:
        """Return the mentions in a text of `member`, which had those `before`.

        Raises `Refused` ("everybody") if they mention everybody too often, and `StoreUnavailable`.
        """
        found = mentions.in_order(await self.resolve(room, body))
        if mentions_everybody(found) and not mentions_everybody(before):
            await self._limits.everybody(member)
        return found


def mentions_everybody(found: Sequence[Mention]) -> bool:
    """Whether `@room` is among the mentions."""
    return any(mention.member_id == EVERYBODY for mention in found)
