"""The audiences of this process, and `publish`, a plain function that never waits.

An audience is what this process knows of a room that somebody looks at: connections, presence, and how far its log was
shown. It knows no database and no HTML: frames come rendered, one per time zone.
"""

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from app.chat.messages import Message, Room
from app.chat.presence import Presence
from app.delivery.connection import Connection
from app.delivery.encoding import Frame
from app.delivery.fanout import Channel


class Backlog(NamedTuple):
    """A frame with some of the messages that a page missed, and the position up to which they complete it."""

    frame: Frame
    position: int


class Audience:
    """The browsers that look at one room, and what they were shown."""

    def __init__(self, room: Room, tail: Sequence[Message], longest_tail: int) -> None:
        self.room = room
        self.tail = deque(tail, longest_tail)  # the newest messages: most browsers that reconnect missed no more
        self.position = tail[-1].position if tail else 0  # shown up to here; only a delivery moves it
        self.reached = self.position  # the log is known to go up to here
        self.backlogs: dict[tuple[int, str, bool], Backlog] = {}  # missed messages, by position, zone, is it announced
        self.presence = Presence()
        self.members_due = 0.0  # the list of members is not sent again before this time
        self.resumed_frame: Frame | None = None  # the frame that ends a resume, rendered once for all (guarantee G5)
        self.visitors: set[Connection] = set()  # whose socket is open; until they resume, they get nothing
        self.channels: dict[str, Channel] = {}  # connections that resumed, by time zone

    def __contains__(self, connection: Connection) -> bool:
        channel = self.channels.get(connection.time_zone)
        return channel is not None and connection in channel

    @property
    def last(self) -> Message | None:
        """The message at `position`, which decides how the next one is grouped."""
        return self.tail[-1] if self.tail else None

    def advance(self, messages: Sequence[Message]) -> None:
        """Note that the next `messages` have been shown."""
        self.tail.extend(messages)
        self.position = messages[-1].position
        self.reached = max(self.reached, self.position)
        self.backlogs.clear()

    def since(self, position: int) -> list[Message] | None:
        """Return the messages from the one at `position` on (0: from the first); None if the tail is too short."""
        if not self.tail or self.tail[0].position > max(position, 1):
            return None
        return [message for message in self.tail if message.position >= position]

    def newest(self, count: int) -> list[Message] | None:
        """Return the newest `count` messages of the log; None if that goes further, or the tail is too short."""
        if self.position < self.reached or not self.tail or self.tail[0].position > max(self.position - count + 1, 1):
            return None
        return list(self.tail)[-count:]

    def is_empty(self) -> bool:
        """Whether there is neither a socket nor a present member."""
        return not self.visitors and not len(self.presence)


class Hub:
    """The audiences of this process."""

    def __init__(self, observe_fan_out: Callable[[float, int], None]) -> None:
        self._audiences: dict[int, Audience] = {}
        self._observe_fan_out = observe_fan_out

    def audience(self, room_id: int) -> Audience | None:
        """Return the audience of a room; None if nobody looks at it."""
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
        """Subscribe `connection` to `audience`."""
        audience.channels.setdefault(connection.time_zone, Channel()).join(connection)

    def pause(self, audience: Audience, connection: Connection) -> None:
        """`connection` gets nothing until it joins again."""
        channel = audience.channels.get(connection.time_zone)
        if channel is not None:
            channel.leave(connection)
            if not len(channel):
                del audience.channels[connection.time_zone]

    def leave(self, audience: Audience, connection: Connection, now: float) -> None:
        """The socket is closed. Leaving twice is leaving once."""
        if connection not in audience.visitors:
            return
        self.pause(audience, connection)
        audience.visitors.discard(connection)
        if connection.member:
            audience.presence.depart(connection.member.id, now)

    def forget_empty(self) -> None:
        """Drop empty audiences."""
        self._audiences = {key: each for key, each in self._audiences.items() if not each.is_empty()}

    def publish(self, audience: Audience, render: Callable[[str], str]) -> None:
        """Offer everybody in `audience` the frame that `render` returns for their time zone."""
        started = perf_counter()
        # Rendered for all zones before it is offered: if that fails, it is tried again for all.
        frames = [(channel, render(zone)) for zone, channel in audience.channels.items()]
        for channel, frame in frames:
            channel.publish(frame)
        self._observe_fan_out(perf_counter() - started, sum(len(channel) for channel, _ in frames))
