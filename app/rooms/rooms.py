"""The crux, told from top to bottom: enter, resume, say, deliver, leave.

A room is a log. Live delivery, catching up after an outage and reading history ask the same log the same
question, and end in the same HTML. A browser's cursor says how far its page is complete. What keeps that true:

- `resume` reads the log up to what has been shown to everybody else, and joins them without an `await` in
  between: nothing falls into a gap, nothing comes twice.
- `_show` alone moves an audience's position, by what the log says: what was committed next is shown at once, and
  anything else by one task per room, which reads it.
- Nobody's speed matters to anybody else: `publish` offers, and never waits.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from math import ceil
from secrets import token_urlsafe
from zoneinfo import ZoneInfo

import structlog

from app.chat.characters import is_blank
from app.chat.drafts import Said, whole
from app.chat.limits import Limits
from app.chat.messages import Cursor, Draft, Member, Message, Refused, Room, clean
from app.chat.names import clean_name, is_reserved
from app.chat.presence import everybody
from app.chat.timeline import Entry, Gap, Page, arrange, portion
from app.cluster.cluster import Neighbours
from app.cluster.limits import Allowance
from app.delivery.connection import Connection
from app.delivery.encoding import Frame
from app.delivery.hub import Audience, Backlog, Hub
from app.html.fragments import Fragments, Place
from app.metrics import Metrics
from app.rooms.directory import Directory
from app.rooms.newest import Newest, Tail
from app.settings import Settings
from app.store import topics
from app.store.store import Store, StoreUnavailable

log = structlog.get_logger("parlor.rooms")

TICK_SECONDS = 0.25  # how long arrivals and departures are collected before they are shown
MEMBER_LISTS_PER_SECOND = 1000  # sent to one room, where it is so full that each tick would send more
RETRY_SECONDS = 1.0  # until a delivery that the store could not serve is tried again
VISIT_SECONDS = 3600.0  # between two notes in the store that those present are here
FRAME_MESSAGES = 100  # most messages in one frame
# Most characters of them in one frame or page: rendering ten times as much would hold up everybody for 0.1 s.
RENDERED_CHARACTERS = 20_000
MOST_ANNOUNCED = 10  # messages that were missed, which a screen reader reads out one by one
MOST_BACKLOGS = 8  # kept for others who come back: after an outage most stand at the same position
KEY_LENGTH = 8  # characters of an idempotency key, of 6 bits each
KEYS_DRAWN = 512  # at once
BLANK_NOTED = 20  # characters of a blank draft that is remembered: an Enter too early, and not a flood

OUTDATED, GONE = "session-ended", "room-removed"  # why a connection is ended
SIGNED_OUT = "You signed out. Messages from this window are no longer sent."
REMOVED = "This room was removed."

NEWEST = 2**63 - 1  # before this position stands the newest page

# Made anew for each refusal: an exception that is kept keeps every frame that it ever passed through.
NAMELESS = partial(Refused, "no-name", "Choose a name first, then you can write.")
KEYLESS = partial(Refused, "no-key", "You sent a lot at once. Send the rest again.")
UNSTORED = partial(
    Refused, "unavailable", "The server cannot store anything right now. Nothing is lost: send it again."
)


class Rooms:
    """What happens in rooms. One per process; `running` keeps it alive."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        hub: Hub,
        neighbours: Neighbours,
        fragments: Fragments,
        metrics: Metrics,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self.hub = hub
        self._settings = settings
        self._store = store
        self._bus = neighbours.bus
        self._lookout = neighbours.lookout
        self._register = neighbours.register
        self._recollection = neighbours.recollection
        self._allowance = neighbours.allowance
        self._fragments = fragments
        self._metrics = metrics
        self._limits = limits
        self._open_page_size = max(settings.open_page_size, settings.page_size)
        self._trim_every = max(1, self._open_page_size // 4)  # messages
        self._now = now  # a clock for pauses, in seconds; the store has the one for dates
        self._directory = Directory(store.rooms_after, self._show_room, store.removed_since, self._close_room)
        self._newest = Newest(self._tail)
        self._said = Said()
        self._deliveries: dict[Audience, asyncio.Task[None]] = {}
        self._bus.listen(self.heard)

    # What is there

    def all(self) -> list[Room]:
        """Return all rooms, the lobby first."""
        return self._directory.all()

    def find(self, slug: str) -> Room | None:
        """Return the room at the address `slug`, if it is known here."""
        return self._directory.find(slug)

    async def look_up(self, slug: str) -> Room | None:
        """Return the room at the address `slug`, wherever it was made. Raises `StoreUnavailable`."""
        return await self._directory.look_up(slug)

    @property
    def lobby(self) -> Room:
        """The room that is there from the start."""
        return self._directory.oldest

    def sees(self, grace: float = 0) -> bool:
        """Whether this process sees what others write, or did within `grace` seconds."""
        return self._lookout.sees(grace)

    @property
    def behind(self) -> int:
        """How many positions are known to be reached, and not shown yet."""
        return sum(audience.reached - audience.position for audience in self.hub.audiences())

    @property
    def remembered(self) -> int:
        """How many members and addresses have a bucket that is not full yet."""
        return len(self._limits)

    async def present(self, room: Room) -> list[Member]:
        """Return who is in the room now, by name, as far as that is known."""
        audience = self.hub.audience(room.id)
        if audience:
            return audience.presence.members()
        try:
            return await self._register.elsewhere(room.id)
        except StoreUnavailable:  # what was said can be read all the same
            return []

    def cursor(self, position: int) -> Cursor:
        """Return the cursor of a page that is complete up to `position`."""
        return Cursor(self._store.epoch, position)

    # Reading the log

    async def page(self, room: Room, zone: str, before: int = NEWEST) -> Page:
        """Return the messages just before the position `before`, as one page."""
        tail = await self._newest.of(room.id) if before == NEWEST else self._newest.known(room.id)
        if tail and before > tail.position:
            self._confirm(self._settings.lost_after)  # what is kept is of no log that is gone
            return tail.page(zone)
        return self._paged(await self._store.before(room.id, before, self._settings.page_size + 1), zone)

    async def _tail(self, room_id: int) -> Tail:
        count = self._settings.page_size + 1
        audience = self.hub.audience(room_id)
        messages = audience.newest(count) if audience else None
        if messages is None:
            messages = await self._store.before(room_id, NEWEST, count)
        return Tail(partial(self._paged, messages), messages[-1].position if messages else 0)

    def _paged(self, messages: Sequence[Message], zone: str) -> Page:
        after, shown = self._last_of(messages, self._settings.page_size)
        return Page(
            self._arrange(shown, after, zone),
            position=shown[-1].position if shown else 0,
            older=shown[0].position if after else None,
        )

    async def fill(self, room: Room, zone: str, gap: Gap) -> tuple[list[Entry], Gap | None]:
        """Return the newest messages of `gap`, and the gap that remains before them."""
        size = min(self._settings.page_size, gap.size)
        after, shown = self._last_of(await self._store.before(room.id, gap.before, size + 1), size)
        first = shown[0].position if shown else gap.before
        remaining = Gap(gap.after, first)
        return self._arrange(shown, after, zone), remaining if remaining.size > 0 else None

    def _last_of(self, messages: Sequence[Message], most: int) -> tuple[Message | None, Sequence[Message]]:
        """Return the last of `messages` that are shown together, and the one before them, if there is one.

        It decides how the first of them is grouped: there is one more than the `most` that are shown.
        """
        count = portion(messages[: -most - 1 : -1], RENDERED_CHARACTERS)
        start = len(messages) - count
        return messages[start - 1] if start else None, messages[start:]

    def _arrange(self, messages: Sequence[Message], after: Message | None, zone: str) -> list[Entry]:
        return arrange(messages, after, ZoneInfo(zone), self._settings.group_window)

    # Enter

    async def enter(self, room: Room, connection: Connection) -> Audience:
        """Open the room to `connection`, which gets nothing live until it has resumed. Raises `StoreUnavailable`."""
        self._confirm()
        audience = self.hub.audience(room.id)
        if audience is None:
            # No await between taking the audience in and entering it: an empty one is soon forgotten.
            audience = self.hub.admit(await self._audience(room))
            self.hub.enter(audience, connection)
            # What was committed since we read the log was announced to nobody.
            await self._look_again(audience, connection)
        else:
            self.hub.enter(audience, connection)
        return audience

    def _confirm(self, grace: float = 0) -> None:
        """Raise `StoreUnavailable` where the log is gone, or out of sight for more than `grace` seconds."""
        self._store.confirm()
        if not self.sees(grace):
            raise StoreUnavailable("the log is out of sight")

    async def _look_again(self, audience: Audience, connection: Connection) -> None:
        try:
            self.reached(audience.room.id, await self._store.head(audience.room.id))
            await self._register.meet(audience)
        except BaseException:
            self.leave(audience, connection)
            raise

    async def _audience(self, room: Room) -> Audience:
        # One more than a frame takes: it decides how the first of them is grouped.
        tail = await self._store.before(room.id, NEWEST, FRAME_MESSAGES + 1)
        return Audience(room, tail, FRAME_MESSAGES + 1)

    # Resume

    async def resume(self, audience: Audience, connection: Connection, cursor: Cursor | None) -> None:
        """Bring the page behind `connection` up to date from `cursor` (None: it shows nothing), and keep it so."""
        self.hub.pause(audience, connection)
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
        connection.offer(self._greeting(audience))
        self.hub.join(audience, connection)

    def _greeting(self, audience: Audience) -> Frame:
        # Who is here is shown as of the last tick, as to everybody else: one rendering for all who come at once.
        if audience.greeting is None:
            greeting = self._fragments.resumed(self.all(), audience.room, audience.presence.members())
            audience.greeting = Frame(greeting + self._trimmed(audience))
        return audience.greeting

    async def _starting_point(self, audience: Audience, cursor: Cursor | None) -> int | None:
        """Return the position to resume from; None where the cursor says nothing about this log."""
        if cursor is None or cursor.epoch != self._store.epoch:
            return None
        if cursor.position > audience.position:
            # Its page was read from the log just now, and is ahead of what the others have been shown.
            await self._catch_up(audience)
        return cursor.position if cursor.position <= audience.position else None

    async def _catch_up(self, audience: Audience) -> None:
        self.reached(audience.room.id, await self._store.head(audience.room.id))
        delivery = self._deliveries.get(audience)
        if delivery:
            await asyncio.shield(delivery)

    async def _send_newest(self, audience: Audience, connection: Connection) -> int:
        page = await self.page(audience.room, connection.time_zone)
        if page.position > audience.position:  # what is new will be shown to everybody in a moment
            page = await self.page(audience.room, connection.time_zone, audience.position + 1)
        connection.offer(
            self._fragments.replaced(audience.room, page, self.cursor(page.position), connection.time_zone)
        )
        return page.position

    async def _send_missed(self, audience: Audience, connection: Connection, position: int, is_announced: bool) -> int:
        """Send the next part of what came after `position`, and return up to where the page is complete."""
        zone = connection.time_zone
        if audience.position - position > max(self._settings.resume_limit, self._settings.page_size):
            page = await self.page(audience.room, zone, audience.position + 1)
            gap = Gap(position, page.entries[0].message.position)
            cursor = self.cursor(page.position)
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
        entries, upto = self._arrange(missed, after, zone), missed[-1].position
        html = self._fragments.appended(entries, self.cursor(upto), zone, is_announced=is_announced)
        return Backlog(Frame(html), upto)

    # Say

    async def say(
        self,
        audience: Audience,
        connection: Connection,
        drafts: Sequence[Draft],
        is_open: bool = False,
        tries_again: bool = False,
    ) -> None:
        """Store `drafts` in their order, and tell their sender what became of each, in one receipt.

        Into open drafts something may be typed right now: they stay in the composer until they have come again. What
        was refused before stays so then, unless the page `tries_again`.
        """
        author = connection.member.id if connection.member else ""
        places = [Place(number, draft.key) for number, draft in enumerate(drafts, start=1)]
        if self._recollection and (tries_again or connection not in audience):
            await self._recollection.recall(self._said, author, drafts, self._now())
        said = [self._said.of(author, draft) for draft in drafts]
        done: list[Place] = []
        refused: list[Place] = []
        notice = ""
        for saying in whole(drafts, said, is_open):
            its_places = [places[number - 1] for number in saying.numbers]
            try:
                if saying.draft:
                    await self._say_one(audience, connection, saying.draft, is_open, is_open or tries_again)
                done += its_places
            except Refused as refusal:
                # An empty draft is let go; beside others, it is the one that somebody has yet to fill.
                if refusal.reason == "blank":
                    done += its_places
                else:
                    refused.append(its_places[-1])
                if refusal.reason != "blank" or len(drafts) == 1:
                    notice = refusal.sentence
        if is_open:
            self._remember(author, [drafts[place.number - 1] for place in done])
        else:
            for place in done:
                self._said.release(author, drafts[place.number - 1])
        released = [] if is_open else done
        join = None if connection.member else audience.room
        connection.offer(self._fragments.receipt(released, refused, notice, new_keys(len(released)), join))

    async def _say_one(
        self, audience: Audience, connection: Connection, draft: Draft, is_open: bool, is_tried: bool
    ) -> None:
        """Post one draft. What was refused at its Enter is refused alike when it comes again by itself."""
        author = connection.member.id if connection.member else ""
        refused_before = None if is_tried else self._said.refusal(author, draft)
        if refused_before:
            raise refused_before
        try:
            await self.post(audience.room, connection.member, draft, connection.address)
        except Refused as refusal:
            self._metrics.refused(refusal.reason, author or None)
            if is_open and author:
                self._said.note_refusal(author, draft, refusal, self._now())
            raise

    def _remember(self, author: str, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            if author and len(draft.body) <= (BLANK_NOTED if is_blank(draft.body) else self._settings.message_length):
                self._said.note(author, draft, self._now())

    async def post(self, room: Room, member: Member | None, draft: Draft, address: str) -> None:
        """Store one message of `member`, once, however often it is submitted. Raises `Refused`."""
        if member is None:
            raise NAMELESS()
        if not draft.key:
            raise KEYLESS()
        body = clean(draft.body, self._settings.message_length)
        self._count_message(member, address, body)
        if self._allowance:
            await self._count_message_everywhere(self._allowance, member, address, body)
        try:
            stored = await self._store.append(room.id, member, body, draft.key)
        except StoreUnavailable as error:
            log.error("not stored", room=room.slug, error=str(error))
            self._uncount_message(member, address, body)
            raise UNSTORED() from error
        if stored.is_new:
            self._metrics.message()
        else:
            self._uncount_message(member, address, body)

    def _count_message(self, member: Member, address: str, body: str) -> None:
        now = self._now()
        wait = self._limits.messages.take(member.id, now)
        if wait:
            raise _too_fast(wait)
        wait = self._limits.address_messages.take(address, now)
        if wait:
            self._limits.messages.refund(member.id)
            raise _too_fast_address(wait)
        wait = self._limits.characters.take(address, now, len(body))
        if wait:
            self._limits.messages.refund(member.id)
            self._limits.address_messages.refund(address)
            raise _too_fast_address(wait)

    async def _count_message_everywhere(self, allowance: Allowance, member: Member, address: str, body: str) -> None:
        if denial := await allowance.message(member.id, address):
            self._uncount_message_here(member, address, body)
            raise _too_fast(denial.wait) if denial.kind == allowance.MESSAGE else _too_fast_address(denial.wait)

    def _uncount_message(self, member: Member, address: str, body: str) -> None:
        self._uncount_message_here(member, address, body)
        if self._allowance:
            self._allowance.refund_message(member.id, address)

    def _uncount_message_here(self, member: Member, address: str, body: str) -> None:
        self._limits.messages.refund(member.id)
        self._limits.address_messages.refund(address)
        self._limits.characters.refund(address, len(body))

    # Deliver

    def committed(self, room_id: int, messages: Sequence[Message]) -> None:
        """These are new in the log of a room, in order: show them at once, where they are what comes next."""
        audience = self.hub.audience(room_id)
        if audience is None or audience in self._deliveries or not messages:
            return
        try:
            at_once = portion(messages, RENDERED_CHARACTERS)  # the rest is read from the log, others in between
            for first in range(0, at_once, FRAME_MESSAGES):
                if messages[first].position == audience.position + 1:
                    self._show(audience, messages[first : min(first + FRAME_MESSAGES, at_once)])
        except Exception:  # whatever it is: the log is still there, and will be shown
            log.exception("not delivered at once", room=audience.room.slug)

    def heard(self, topic: str, position: int) -> None:
        """A topic has come to `position`, here or in another process. Never waits."""
        kind, room_id = topics.split(topic)
        if kind == topics.LOG_KIND:
            self.reached(room_id, position)
        elif kind == topics.ROOMS:
            self._directory.reached(position)

    def served(self) -> dict[int, int]:
        """Return the ids of the rooms of which something is shown here, or kept, each with what is shown at least."""
        shown = {audience.room.id: audience.position for audience in self.hub.audiences()}
        return dict.fromkeys(self._newest.rooms(), 0) | shown

    def reached(self, room_id: int, position: int) -> None:
        """The log of a room reaches up to `position`: have it shown to those who look. Never waits."""
        self._newest.reached(room_id, position)
        audience = self.hub.audience(room_id)
        if audience is None or position <= audience.reached:
            return
        audience.reached = position
        if audience not in self._deliveries:
            self._deliveries[audience] = asyncio.create_task(self._deliver(audience), name=f"deliver {room_id}")

    async def _deliver(self, audience: Audience) -> None:
        try:
            while audience.position < audience.reached:
                try:
                    await self._show_next(audience)
                except StoreUnavailable as error:
                    log.error("not delivered yet", room=audience.room.slug, error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:  # whatever it is: the log is still there, and will be shown
                    log.exception("not delivered yet", room=audience.room.slug)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            del self._deliveries[audience]

    async def _show_next(self, audience: Audience) -> None:
        messages = await self._store.since(audience.room.id, audience.position, NEWEST, FRAME_MESSAGES)
        if not messages:  # announced, and not there: the log says what is
            audience.reached = audience.position
            return
        while messages:
            count = portion(messages, RENDERED_CHARACTERS)
            self._show(audience, messages[:count])
            messages = messages[count:]
            await asyncio.sleep(0)  # others in between

    def _show(self, audience: Audience, messages: Sequence[Message]) -> None:
        cursor = self.cursor(messages[-1].position)

        def render(zone: str) -> str:
            return self._fragments.appended(self._arrange(messages, audience.last, zone), cursor, zone)

        before = audience.position
        self.hub.publish(audience, render)
        audience.advance(messages)
        if audience.position // self._trim_every > before // self._trim_every and (frame := self._trimmed(audience)):
            audience.greeting = None  # it contains the previous trim frame
            self.hub.publish(audience, _in_any_zone(frame))
        self._metrics.bus.delivered(self._store.age(messages[-1]))

    def _trimmed(self, audience: Audience) -> str:
        """Return what makes a page forget all but the newest messages; nothing where there are no others."""
        first = audience.position - self._open_page_size + 1
        return self._fragments.trimmed(audience.room, first) if first > 1 else ""

    # Leave

    def leave(self, audience: Audience, connection: Connection) -> None:
        """The browser is gone. Whoever it belonged to counts as present for a while: most come right back."""
        self.hub.leave(audience, connection, self._now())

    # Members and rooms

    async def take_name(self, member: Member | None, name: str, time_zone: str, address: str) -> Member:
        """Make somebody a member, or rename them, and return them as they are now. Raises `Refused`."""
        name = clean_name(name, self._settings.name_length)
        if is_reserved(name, self._settings.title):
            raise Refused("name-reserved", f"The name “{name}” is reserved. Choose another.")
        if member and (name, time_zone) == (member.name, member.time_zone):
            return member
        await self._count_creation(address)
        try:
            renamed = await self._store.take_name(member, name, time_zone, self._settings.name_held_days)
        except StoreUnavailable as error:
            raise UNSTORED() from error
        self.rename(renamed)
        return renamed

    async def sign_out(self, member: Member) -> None:
        """End the session of `member` in every browser that has it. Raises `StoreUnavailable`."""
        if ended := await self._store.sign_out(member):
            self.rename(ended)

    def rename(self, member: Member) -> None:
        """Show `member` by the name that they have taken, here or elsewhere, and end what is open of other sessions.

        Their own windows come back at once, with the cookie that counts now; a copy of an older one is nobody's.
        """
        for audience in self.hub.audiences():
            audience.presence.rename(member)
            for connection in list(audience.visitors):
                known = connection.member
                if known and known.id == member.id and known.session < member.session:
                    if known == member:  # who has the same name has not come by another: they signed out
                        connection.offer(self._fragments.notice(SIGNED_OUT, join=audience.room))
                    connection.cut(OUTDATED)

    async def create(self, member: Member | None, name: str, address: str) -> Room:
        """Make a room called `name` and show it to everybody. Raises `Refused`."""
        if member is None:
            raise NAMELESS()
        name = clean_name(name, self._settings.name_length)
        await self._count_creation(address)
        await self._count_room(address)
        try:
            room = await self._store.create_room(name, self._settings.rooms_most)
        except Refused:
            self._uncount_room(address)
            raise
        except StoreUnavailable as error:
            self._uncount_room(address)
            raise UNSTORED() from error
        self._bus.announce(topics.ROOMS, room.id)
        with suppress(StoreUnavailable):  # it is made, and will be shown
            await self._directory.refresh()
        log.info("room made", room=room.slug)
        return room

    def _show_room(self, room: Room) -> None:
        audiences = self.hub.audiences()
        added = _in_any_zone(self._fragments.room_added(room)) if audiences else str
        for audience in audiences:
            audience.greeting = None
            self.hub.publish(audience, added)

    def _close_room(self, room: Room) -> None:
        """A room was removed: end what is open of it, and show everybody else the rooms that are left."""
        self._newest.reached(room.id, NEWEST)
        for audience in self.hub.audiences():
            if audience.room.id == room.id:
                for connection in list(audience.visitors):
                    connection.offer(self._fragments.notice(REMOVED))
                    connection.cut(GONE)
            else:
                audience.greeting = None
                self.hub.publish(audience, _in_any_zone(self._fragments.rooms(self.all(), audience.room)))
        log.info("room removed", room=room.slug)

    async def _count_room(self, address: str) -> None:
        wait = self._limits.rooms.take(address, self._now())
        if not wait and self._allowance and (denial := await self._allowance.room(address)):
            self._limits.rooms.refund(address)
            wait = denial.wait
        if wait:
            sentence = f"Your address has created many rooms. Wait {_long(wait)} before you create another."
            raise Refused("too-many-rooms", sentence, wait)

    def _uncount_room(self, address: str) -> None:
        self._limits.rooms.refund(address)
        if self._allowance:
            self._allowance.refund_room(address)

    async def _count_creation(self, address: str) -> None:
        wait = self._limits.creations.take(address, self._now())
        if not wait and self._allowance and (denial := await self._allowance.creation(address)):
            wait = denial.wait
        if wait:
            raise Refused("too-many", f"Too many changes from your address. Wait {_seconds(wait)} and try again.", wait)

    # Keeping in touch

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep presence and heartbeats going."""
        await self._directory.refresh()
        forever = (self._tick_forever, self._beat_forever, self._note_visits_forever, self._follow_removals_forever)
        tasks = [asyncio.create_task(each()) for each in forever]
        try:
            async with self._lookout.running(on_sight=self.beat), self._register.running():
                yield
        finally:
            for task in (*tasks, *self._deliveries.values()):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if self.sees():  # whatever is sent looks like a sign of life
                    self.tick()
            except Exception:
                log.exception("a tick failed")

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat)
            try:
                # A page that hears nothing more of the log turns yellow as soon as one that hears nothing of us.
                if await self._lookout.look():
                    self.beat()
            except Exception:  # without heartbeats every page would turn red: whatever it was, go on
                log.exception("a heartbeat failed")

    def tick(self) -> None:
        """Show who has come and gone since the last time."""
        if self._recollection:
            self._recollection.share(self._said.lingering(self._now()))
        for audience in self.hub.audiences():
            audience.presence.sweep(self._now(), self._settings.presence_grace)
            if audience.presence.changed and self._now() >= audience.members_due:
                audience.presence.changed = False
                audience.greeting = None
                self.hub.publish(audience, _in_any_zone(self._fragments.members(audience.presence.members())))
                pause = len(audience.visitors) / MEMBER_LISTS_PER_SECOND
                audience.members_due = self._now() + (pause if pause > TICK_SECONDS else 0)

    def beat(self) -> None:
        """Show everybody that the server is there, and forget what is no longer needed."""
        heartbeat = _in_any_zone(self._fragments.heartbeat())
        for audience in self.hub.audiences():
            self.hub.publish(audience, heartbeat)
        self.hub.forget_empty()
        self._limits.sweep(self._now())
        if self._allowance:
            self._allowance.sweep()
        self._said.sweep(self._now())

    async def _follow_removals_forever(self) -> None:
        """Look for rooms that were removed. Who removes them is no process of ours, and announces nothing."""
        while True:
            try:
                await self._directory.forget_removed()
            except StoreUnavailable:  # whoever looks for the log says so already
                pass
            except Exception:
                log.exception("not looked for removed rooms")
            await asyncio.sleep(self._settings.look_seconds)

    async def _note_visits_forever(self) -> None:
        while True:
            await asyncio.sleep(VISIT_SECONDS)
            with suppress(StoreUnavailable):
                await self._store.saw(list(everybody(audience.presence for audience in self.hub.audiences())))


def new_keys(count: int) -> list[str]:
    """Return fresh idempotency keys, for the next things somebody says."""
    return list(islice(_fresh_keys, count))


def _draw_keys() -> Iterator[str]:
    while True:
        drawn = token_urlsafe(KEYS_DRAWN * KEY_LENGTH * 3 // 4)  # many at once, for it is the system that draws them
        yield from (drawn[start : start + KEY_LENGTH] for start in range(0, len(drawn), KEY_LENGTH))


_fresh_keys = _draw_keys()


def _in_any_zone(frame: str) -> Callable[[str], str]:
    """Return what renders `frame` whatever the time zone."""
    return lambda zone: frame


def _too_fast(wait: float) -> Refused:
    return Refused("too-fast", f"You are sending too fast. Wait {_seconds(wait)}, then send it again.", wait)


def _too_fast_address(wait: float) -> Refused:
    sentence = f"Too many messages from your address. Wait {_seconds(wait)}, then send it again."
    return Refused("too-fast-address", sentence, wait)


def _long(wait: float) -> str:
    """Return a long `wait` in words, rounded up to a unit that fits."""
    if wait <= 120:
        return _seconds(wait)
    return f"{ceil(wait / 60)} minutes" if wait <= 7200 else f"{ceil(wait / 3600)} hours"


def _seconds(wait: float) -> str:
    return "a second" if ceil(wait) == 1 else f"{ceil(wait)} seconds"
