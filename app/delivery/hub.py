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
from app.chat.quotes import requoted
from app.chat.timeline import Changes, Excerpt
from app.chat.typing_members import Typing
from app.delivery.connection import Connection
from app.delivery.encoding import Frame
from app.delivery.fanout import Channel

MOST_CHANGED = 100  # messages older than the tail


class Backlog(NamedTuple):
    """Frames with the changes that a page missed, and the position up to which they complete it."""

    frames: Sequence[Frame]
    position: int


class Audience:
    """The browsers that look at one room, and what they were shown."""

    def __init__(self, room: Room, tail: Sequence[Message], longest_tail: int) -> None:
        self.room = room
        self.tail = deque(tail, longest_tail)  # the newest messages: most browsers that reconnect missed no more
        self.position = tail[-1].position if tail else 0  # shown up to here; only a delivery moves it
        self.reached = self.position  # the log is known to go up to here
        # Older messages, by position: those that changed after `changed_since`.
        self.changed: dict[int, Message] = {}
        self.changed_since = tail[0].position if tail else 0
        self.backlogs: dict[tuple[int, str], Backlog] = {}  # by the position they start from, and by time zone
        self.shown = self.position  # grows with each message, and not with what changes in one
        self.presence = Presence()
        self.members_due = 0.0  # the list of members is not sent again before this time
        self.typing = Typing()
        self.typing_due = 0.0  # who is typing is not sent again before this time
        self.resumed_frame: Frame | None = None  # the frame that ends a resume, rendered once for all (guarantee G5)
        self.visitors: set[Connection] = set()  # whose socket is open; until they resume, they get nothing
        self.channels: dict[str, Channel] = {}  # connections that resumed, by time zone

    def __contains__(self, connection: Connection) -> bool:
        channel = self.channels.get(connection.time_zone)
        return channel is not None and connection in channel

    @property
    def last(self) -> Message | None:
        """The newest message that was shown, which decides how the next one is grouped."""
        return self.tail[-1] if self.tail else None

    def with_quotes(self, messages: Sequence[Message]) -> list[Message]:
        """Return `messages` with what they quote as it was shown here last."""
        return [requoted(each, self._known(each.reply.position)) if each.reply else each for each in messages]

    def _known(self, position: int) -> Message | None:
        """Return the message at `position`, if it is one of the newest or of those that changed."""
        return self.changed.get(position) or next((each for each in self.tail if each.position == position), None)

    def advance(self, changes: Changes) -> None:
        """Note that the next `changes` have been shown."""
        for message in changes.changed:
            self._replace(message)
            if message.edited_at or message.is_deleted:
                self._requote(message)
        if changes.new:
            self.typing_due = 0.0  # a new message removes its author's name at once
        for message in changes.new:
            if len(self.tail) == self.tail.maxlen and self.tail[0].changed:
                self._keep_changed(self.tail[0])
            self.tail.append(message)
            self.typing.stop(message.author_id)
        self.shown += len(changes.new)
        self.position = changes.upto
        self.reached = max(self.reached, self.position)
        self.backlogs.clear()

    def _replace(self, message: Message) -> None:
        if self.tail and message.position >= self.tail[0].position:
            for place, each in enumerate(self.tail):
                if each.position == message.position:
                    self.tail[place] = message
        else:
            self._keep_changed(message)

    def _requote(self, original: Message) -> None:
        for place, each in enumerate(self.tail):
            self.tail[place] = requoted(each, original)
        self.changed = {position: requoted(each, original) for position, each in self.changed.items()}

    def _keep_changed(self, message: Message) -> None:
        self.changed.pop(message.position, None)
        self.changed[message.position] = message
        if len(self.changed) > MOST_CHANGED:
            oldest = min(self.changed.values(), key=lambda each: each.changed)
            del self.changed[oldest.position]
            self.changed_since = max(self.changed_since, oldest.changed)

    def since(self, position: int) -> tuple[Message | None, Changes] | None:
        """Return what changed after `position`, and the last message that was said up to it; None if that is not known.

        Then the log has to be asked.
        """
        if not self.tail or self.tail[0].position > max(position, 1) or self.changed_since > max(position, 1):
            return None
        older = [message for message in self.tail if message.position <= position]
        new = [message for message in self.tail if message.position > position]
        changed = [message for message in (*self.changed.values(), *older) if message.changed > position]
        changed.sort(key=lambda message: message.changed)
        return (older[-1] if older else None), Changes(position, self.position, new, changed)

    def newest(self, count: int) -> Excerpt | None:
        """Return the newest `count` messages of the log; None if that goes further, or the tail is too short."""
        tail = list(self.tail)[-count:]
        is_whole = len(tail) == count or (tail and tail[0].position == 1)
        return Excerpt(tail, self.position) if is_whole and self.position == self.reached else None

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
