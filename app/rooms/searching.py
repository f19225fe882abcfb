"""Searching: what a query asks for becomes an answer of the index, and that a page of results."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.chat.messages import Member, Refused, Room
from app.chat.names import name_key
from app.chat.search import Query, excerpt, parse_query, score
from app.html.views import Result, Results
from app.rooms.directory import Directory
from app.store.message_queries import milliseconds
from app.store.search_queries import Found, Search
from app.store.store import Store

RESULTS = 30  # on a page
RANKED = 200  # of the newest, among which the best are found
MOST_AUTHORS = 20  # whose names begin with what is asked for
ME = "me"


class Searching:
    """Finds messages. One per process."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def find(self, text: str, member: Member | None, zone: str, is_ranked: bool, before: int | None) -> Results:
        """Return what answers the query `text` of `member`: the best first, or the newest, from the entry `before` on.

        Raises `StoreUnavailable`.
        """
        try:
            query = parse_query(text)
            if query.is_empty():
                return Results()
            asked = await self._asked(query, member, zone)
        except Refused as refusal:
            return Results(notice=refusal.sentence)
        if is_ranked:
            found = await self._store.index.find(asked, RANKED)
            found.sort(key=lambda each: score(each.message.body, query.terms), reverse=True)
            return self._results(found[:RESULTS], query)
        found = await self._store.index.find(asked._replace(before=before), RESULTS + 1)
        results = self._results(found[:RESULTS], query)
        return replace(results, older=found[RESULTS - 1].id) if len(found) > RESULTS else results

    async def _asked(self, query: Query, member: Member | None, zone: str) -> Search:
        """Return what the index is asked for. Raises `Refused` where there is no such member or room."""
        return Search(
            query.terms,
            self._room(query.room).id if query.room else None,
            await self._members(query.author, member) if query.author else (),
            await self._mentioned(query.mentioned, member) if query.mentioned else (),
            _midnight(query.after + timedelta(days=1), zone) if query.after else None,
            _midnight(query.before, zone) if query.before else None,
        )

    def _room(self, name: str) -> Room:
        key = name_key(name)
        for room in self._directory.all():
            if name == room.slug or key == name_key(room.name):
                return room
        raise Refused("no-room", f"There is no room called “{name}”.")

    async def _mentioned(self, name: str, member: Member | None) -> list[str | int]:
        """Return a member, and the rooms where everybody is they, too."""
        ids = await self._members(name, member)
        return [*ids, *await self._store.rooms_of(ids)]

    async def _members(self, name: str, member: Member | None) -> list[str]:
        if member and name.casefold() == ME:
            return [member.id]
        found = await self._store.members_called(None, [name_key(name)], MOST_AUTHORS)
        exact = [each.id for each in found if name_key(each.name) == name_key(name)]
        if not found:
            raise Refused("no-member", f"Nobody is called “{name}”.")
        return exact or [each.id for each in found]

    def _results(self, found: list[Found], query: Query) -> Results:
        rooms = {room.id: room for room in self._directory.all()}
        return Results(
            [
                Result(rooms[each.room_id], each.message, excerpt(each.message.body, query.terms))
                for each in found
                if each.room_id in rooms  # one that is being removed is not
            ]
        )


def _midnight(day: date, zone: str) -> int:
    """Return when a day begins in `zone`, in milliseconds since 1970."""
    return milliseconds(datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC))
