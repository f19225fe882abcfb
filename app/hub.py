"""Who is here in this process, and `publish`, a plain function that never waits.

An audience is what this process knows of a room that somebody looks at: its connections, who is present, and
how far the log has been shown. It knows no database and no HTML: frames come rendered, one for each time zone.
"""

from collections.abc import Callable
from time import perf_counter

from app.connection import Connection
from app.messages import Message, Room
from app.presence import Presence


class Audience:
    """Those who look at one room, and what they have been shown."""

    def __init__(self, room: Room, position: int, last: Message | None) -> None:
        self.room = room
        self.position = position  # shown up to here; only a delivery moves it
        self.reached = position  # the log is known to go up to here
        self.last = last  # the message at `position`, which decides how the next one is grouped
        self.presence = Presence()
        self.members_due = 0.0  # not before this time is the list of who is here shown again
        self.greeting: str | None = None  # the frame that ends a resume, while it is up to date
        self.visitors: set[Connection] = set()  # whose socket is open; until they resume, they get nothing
        self.by_zone: dict[str, dict[Connection, None]] = {}  # those who have resumed

    def __contains__(self, connection: Connection) -> bool:
        return connection in self.by_zone.get(connection.time_zone, {})

    def is_empty(self) -> bool:
        """Whether nobody looks at the room, nor is about to, nor counts as present."""
        return not self.visitors and not len(self.presence)


class Hub:
    """The audiences of this process."""

    def __init__(self, observe_fan_out: Callable[[float, int], None]) -> None:
        self._audiences: dict[int, Audience] = {}
        self._observe_fan_out = observe_fan_out

    def audience(self, room_id: int) -> Audience | None:
        """Return the audience of a room; None where nobody looks."""
        return self._audiences.get(room_id)

    def audiences(self) -> list[Audience]:
        """Return all audiences."""
        return list(self._audiences.values())

    def admit(self, audience: Audience) -> Audience:
        """Take in `audience`, and return the one in force for its room."""
        return self._audiences.setdefault(audience.room.id, audience)

    def enter(self, audience: Audience, connection: Connection) -> None:
        """A socket to the room is open."""
        audience.visitors.add(connection)
        if connection.member:
            audience.presence.arrive(connection.member)

    def join(self, audience: Audience, connection: Connection) -> None:
        """From now on, `connection` gets what is published to `audience`."""
        audience.by_zone.setdefault(connection.time_zone, {})[connection] = None

    def pause(self, audience: Audience, connection: Connection) -> None:
        """`connection` gets nothing until it joins again."""
        zone = audience.by_zone.get(connection.time_zone, {})
        zone.pop(connection, None)
        if not zone:
            audience.by_zone.pop(connection.time_zone, None)

    def leave(self, audience: Audience, connection: Connection, now: float) -> None:
        """The socket is closed. Leaving twice is leaving once."""
        if connection not in audience.visitors:
            return
        self.pause(audience, connection)
        audience.visitors.discard(connection)
        if connection.member:
            audience.presence.depart(connection.member.id, now)

    def forget_empty(self) -> None:
        """Drop the audiences that nobody belongs to any more."""
        self._audiences = {key: each for key, each in self._audiences.items() if not each.is_empty()}

    def publish(self, audience: Audience, render: Callable[[str], str]) -> None:
        """Offer everybody in `audience` the frame that `render` returns for their time zone."""
        started = perf_counter()
        recipients = 0
        for zone, connections in list(audience.by_zone.items()):
            frame = render(zone)
            for connection in list(connections):
                connection.offer(frame)
            recipients += len(connections)
        self._observe_fan_out(perf_counter() - started, recipients)
