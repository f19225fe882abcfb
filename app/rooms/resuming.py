"""Resuming: enter a room, come up to date from a cursor, leave.

`resume` reads the log up to what the audience was shown and joins it without an `await` in between, so no message is
lost or shown twice.
"""

from collections.abc import Callable, Sequence

from app.chat.messages import Cursor, Message, Room
from app.chat.timeline import Changes, split
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
        # One more than is sent: it decides how the first of them is grouped.
        longest = max(FRAME_MESSAGES, self._settings.open_page_size) + 1
        newest = (await self._store.before(room.id, NEWEST, longest)).messages
        audience = Audience(room, newest[:1], longest)
        if newest:
            # What changed since then, messages that are older included: many resume from there.
            audience.advance(await self._store.changes(room.id, newest[0].position, NEWEST, longest))
        return audience

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

    async def resume(
        self, audience: Audience, connection: Connection, cursor: Cursor | None, since: Cursor | None = None
    ) -> None:
        """Bring the page behind `connection` up to date from `cursor` (None: it shows nothing), and keep it so.

        Some of its messages may be older than that: as they were `since` another cursor (see `recheck`).
        """
        self._hub.pause(audience, connection)
        position = await self._starting_point(audience, cursor)
        if position is None:
            position = await self._send_newest(audience, connection)
        elif since:
            position = await self._send_changed(audience, connection, position, since)
        await self._catch_up(audience, connection, position)
        # No await from here to the end: the page and the audience stand at the same position.
        connection.offer(self._resumed_frame(audience))
        self._hub.join(audience, connection)

    async def recheck(self, audience: Audience, connection: Connection, since: Cursor) -> None:
        """Send what has changed `since` then of the messages that the page behind `connection` may hold.

        Older messages come over HTTP, as they were when they were read. When they are shown, a change of one of them
        may have come before, and found nothing to change.
        """
        if since.epoch != self._store.epoch:
            return  # it gets all anew, when it resumes
        position = audience.position
        # Most often, nothing has: then what changes from now on finds its message.
        if await self._store.changed(audience.room.id, since.position, position, position, 1):
            is_live = connection in audience
            self._hub.pause(audience, connection)
            position = await self._send_changed(audience, connection, audience.position, since)
            if is_live:
                await self._catch_up(audience, connection, position)
                self._hub.join(audience, connection)
        connection.offer(self._fragments.rechecked(since))

    async def _send_changed(self, audience: Audience, connection: Connection, position: int, since: Cursor) -> int:
        """Send the messages up to `position` that changed `since` then. Return the position, or that of a new page."""
        if since.epoch != self._store.epoch:
            return position
        room_id, limit = audience.room.id, self._limit
        changed = await self._store.changed(room_id, since.position, position, position, limit + 1)
        if len(changed) > limit:
            return await self._send_newest(audience, connection)
        if changed:
            for part in split(Changes(position, position, (), changed), FRAME_MESSAGES, RENDERED_CHARACTERS):
                connection.offer(self._fragments.changed(audience.room, part.changed, connection.time_zone))
                await connection.drained()
        return position

    @property
    def _limit(self) -> int:
        return max(self._settings.resume_limit, self._settings.page_size)

    async def _catch_up(self, audience: Audience, connection: Connection, position: int) -> None:
        """Send what changed after `position`; when this returns, the page shows what the audience was shown."""
        while position < audience.position:
            position = await self._send_missed(audience, connection, position)

    async def _starting_point(self, audience: Audience, cursor: Cursor | None) -> int | None:
        """Return the position to resume from; None if the cursor is of no use for this log."""
        if cursor is None or cursor.epoch != self._store.epoch:
            return None
        if cursor.position > audience.position:
            # Its page was just read from the log, and is ahead of the audience.
            await self._delivery.catch_up(audience)
        return cursor.position if cursor.position <= audience.position else None

    async def _send_newest(self, audience: Audience, connection: Connection) -> int:
        """Replace what the page shows with the newest messages; return the position up to which it is complete."""
        page = await self._history.page(audience.room, connection.time_zone)
        if page.last > audience.position:  # newer messages will be delivered in a moment
            page = await self._history.page(audience.room, connection.time_zone, audience.position + 1)
        position = min(page.position, audience.position)
        cursor = self._history.cursor(position)
        connection.offer(self._fragments.replaced(audience.room, page, cursor, connection.time_zone))
        await connection.drained()
        return position

    async def _send_missed(self, audience: Audience, connection: Connection, position: int) -> int:
        """Send what changed after `position`, and return the position up to which the page is complete then."""
        key = (position, connection.time_zone)
        backlog = audience.backlogs.get(key)
        if backlog is None:
            after, changes = audience.since(position) or await self._read(audience, position)
            if len(changes.changed) > self._limit:
                return await self._send_newest(audience, connection)
            if len(changes.new) > self._limit:
                return await self._send_gap(audience, connection, position)
            backlog = Backlog(self._frames(audience.room, changes, after, connection.time_zone), changes.upto)
            # After an outage all come back from the same position: it is rendered once.
            if len(audience.backlogs) >= MOST_BACKLOGS:
                audience.backlogs.clear()
            audience.backlogs[key] = backlog
        await self._send(connection, backlog.frames)
        return backlog.position

    async def _read(self, audience: Audience, position: int) -> tuple[Message | None, Changes]:
        """Return the last message that was said up to `position`, and what changed after it."""
        room_id = audience.room.id
        changes = await self._store.changes(room_id, position, audience.position, self._limit + 1)
        before = (await self._store.before(room_id, position + 1, 1)).messages
        return (before[0] if before else None), changes

    async def _send_gap(self, audience: Audience, connection: Connection, position: int) -> int:
        """Send the newest page, after a gap, and what changed above."""
        room, zone, upto = audience.room, connection.time_zone, audience.position
        changed = await self._store.changed(room.id, position, upto, position, self._limit + 1)
        if len(changed) > self._limit:
            return await self._send_newest(audience, connection)
        page = await self._history.page(room, zone, upto + 1)
        gap = await self._history.gap(room, position, page.first)
        cursor = self._history.cursor(upto)
        frame = self._fragments.changes(room, page.entries, cursor, zone, changed, gap, is_announced=False)
        missed = self._fragments.missed(len(page.entries) + (gap.size if gap else 0))
        await self._send(connection, [Frame(missed), Frame(frame)])
        return upto

    def _frames(self, room: Room, changes: Changes, after: Message | None, zone: str) -> list[Frame]:
        """Return the frames that bring `changes`, whose new messages come after the message `after`."""
        is_announced = len(changes.new) <= MOST_ANNOUNCED
        frames = [] if is_announced else [Frame(self._fragments.missed(len(changes.new)))]
        for part in split(changes, FRAME_MESSAGES, RENDERED_CHARACTERS):
            entries, cursor = self._history.arrange(part.new, after, zone), self._history.cursor(part.upto)
            html = self._fragments.changes(room, entries, cursor, zone, part.changed, is_announced=is_announced)
            frames.append(Frame(html))
            after = part.new[-1] if part.new else after
        return frames

    async def _send(self, connection: Connection, frames: Sequence[Frame]) -> None:
        for frame in frames:
            connection.offer(frame)
            await connection.drained()

    def _resumed_frame(self, audience: Audience) -> Frame:
        # Presence as of the last tick, as everybody sees it: one rendering serves all that resume at once.
        if audience.resumed_frame is None:
            resumed = self._fragments.resumed(self._directory.all(), audience.room, audience.presence.members())
            audience.resumed_frame = Frame(resumed + self._delivery.trimmed(audience))
        return audience.resumed_frame
