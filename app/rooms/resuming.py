"""Resuming: enter a room, come up to date from a cursor, leave.

`resume` reads the log up to what the audience was shown and joins it without an `await` in between, so no message is
lost or shown twice.
"""

from collections.abc import Callable, Sequence

from app.chat.messages import Cursor, Message, Room
from app.chat.timeline import Gap, portion
from app.cluster.cluster import Cluster
from app.delivery.connection import Connection
from app.delivery.encoding import Frame
from app.delivery.hub import Audience, Backlog, Hub
from app.html.fragments import Fragments
from app.rooms.delivering import FRAME_MESSAGES, Delivery
from app.rooms.directory import Directory
from app.rooms.reading import NEWEST, RENDERED_CHARACTERS, History
from app.settings import Settings
from app.store.store import Store

MOST_ANNOUNCED = 10  # messages that were missed, which a screen reader reads out one by one
MOST_BACKLOGS = 8  # cached (guarantee G5): after an outage most browsers resume from the same position


class Resumption:
    """Connects browsers to rooms and brings them up to date. One per process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        hub: Hub,
        cluster: Cluster,
        directory: Directory,
        history: History,
        delivery: Delivery,
        fragments: Fragments,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._hub = hub
        self._cluster = cluster
        self._fragments = fragments
        self._directory = directory
        self._history = history
        self._delivery = delivery
        self._now = now

    async def enter(self, room: Room, connection: Connection) -> Audience:
        """Open the room to `connection`, which gets nothing live until it has resumed. Raises `StoreUnavailable`."""
        self._history.confirm()
        audience = self._hub.audience(room.id)
        if audience is None:
            # No await between taking the audience in and entering it: an empty one is soon forgotten.
            audience = self._hub.admit(await self._audience(room))
            self._hub.enter(audience, connection)
            # A commit since the log was read found no audience to announce to.
            await self._look_again(audience, connection)
        else:
            self._hub.enter(audience, connection)
        return audience

    async def _audience(self, room: Room) -> Audience:
        # One more than a frame takes: it decides how the first of them is grouped.
        tail = await self._store.before(room.id, NEWEST, FRAME_MESSAGES + 1)
        return Audience(room, tail, FRAME_MESSAGES + 1)

    async def _look_again(self, audience: Audience, connection: Connection) -> None:
        try:
            self._delivery.reached(audience.room.id, await self._store.head(audience.room.id))
            await self._cluster.load_presence(audience)
        except BaseException:
            self.leave(audience, connection)
            raise

    def leave(self, audience: Audience, connection: Connection) -> None:
        """The browser is gone. Its member counts as present for the grace: most come right back."""
        self._hub.leave(audience, connection, self._now())

    async def resume(self, audience: Audience, connection: Connection, cursor: Cursor | None) -> None:
        """Bring the page behind `connection` up to date from `cursor` (None: it shows nothing), and keep it so."""
        self._hub.pause(audience, connection)
        position = await self._starting_point(audience, cursor)
        if position is None:
            position = await self._send_newest(audience, connection)
            await connection.drained()
        missed = audience.position - position
        if missed > MOST_ANNOUNCED:
            connection.offer(self._fragments.missed(missed))
        while position < audience.position:
            position = await self._send_missed(audience, connection, position, missed <= MOST_ANNOUNCED)
            await connection.drained()
        # No await from here to the end: the page and the audience stand at the same position.
        connection.offer(self._resumed_frame(audience))
        self._hub.join(audience, connection)

    async def _starting_point(self, audience: Audience, cursor: Cursor | None) -> int | None:
        """Return the position to resume from; None if the cursor is of no use for this log."""
        if cursor is None or cursor.epoch != self._store.epoch:
            return None
        if cursor.position > audience.position:
            # Its page was just read from the log, and is ahead of the audience.
            await self._delivery.catch_up(audience)
        return cursor.position if cursor.position <= audience.position else None

    async def _send_newest(self, audience: Audience, connection: Connection) -> int:
        page = await self._history.page(audience.room, connection.time_zone)
        if page.position > audience.position:  # newer messages will be delivered in a moment
            page = await self._history.page(audience.room, connection.time_zone, audience.position + 1)
        connection.offer(
            self._fragments.replaced(audience.room, page, self._history.cursor(page.position), connection.time_zone)
        )
        return page.position

    async def _send_missed(self, audience: Audience, connection: Connection, position: int, is_announced: bool) -> int:
        """Send the next messages after `position`, and return the position up to which the page is complete."""
        zone = connection.time_zone
        if audience.position - position > max(self._settings.resume_limit, self._settings.page_size):
            page = await self._history.page(audience.room, zone, audience.position + 1)
            gap = Gap(position, page.entries[0].message.position)
            cursor = self._history.cursor(page.position)
            connection.offer(self._fragments.appended(page.entries, cursor, zone, gap, is_announced))
            return page.position
        if (known := audience.since(position)) is not None:
            # After an outage all come back from the same position: it is rendered once.
            key = (position, zone, is_announced)
            if key not in audience.backlogs:
                if len(audience.backlogs) >= MOST_BACKLOGS:
                    audience.backlogs.clear()
                audience.backlogs[key] = self._backlog(known, position, zone, is_announced)
            backlog = audience.backlogs[key]
        else:
            # One more than we send: the last message that the page has decides how the next is grouped.
            messages = await self._store.since(audience.room.id, position - 1, audience.position, FRAME_MESSAGES + 1)
            backlog = self._backlog(messages, position, zone, is_announced)
        connection.offer(backlog.frame)
        return backlog.position

    def _backlog(self, messages: Sequence[Message], position: int, zone: str, is_announced: bool) -> Backlog:
        """Return a frame with as many of `messages` as one takes; the first is the one at `position`, if not 0."""
        after, missed = (messages[0], messages[1:]) if position else (None, messages)
        missed = missed[: portion(missed, RENDERED_CHARACTERS)]
        entries, upto = self._history.arrange(missed, after, zone), missed[-1].position
        html = self._fragments.appended(entries, self._history.cursor(upto), zone, is_announced=is_announced)
        return Backlog(Frame(html), upto)

    def _resumed_frame(self, audience: Audience) -> Frame:
        # Presence as of the last tick, as everybody sees it: one rendering serves all that resume at once.
        if audience.resumed_frame is None:
            resumed = self._fragments.resumed(self._directory.all(), audience.room, audience.presence.members())
            audience.resumed_frame = Frame(resumed + self._delivery.trimmed(audience))
        return audience.resumed_frame
