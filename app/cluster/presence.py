"""Presence across processes: each process writes its own members and reads those of the others.

Arrivals and departures of one tick are written together. A notification that rooms changed leads to one query for all
of them. A process that was not seen for a while is ignored, by the database's clock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from app.chat.messages import Member
from app.cluster.bus import Bus
from app.delivery.hub import Audience, Hub
from app.store import topics
from app.store.batch_loader import BatchLoader
from app.store.cluster_queries import Attendance, Seat
from app.store.errors import StoreUnavailable
from app.store.shared_tables import SharedTables

log = structlog.get_logger("parlor.presence")

TICK_SECONDS = 0.25  # for which arrivals and departures are collected
RETRY_SECONDS = 1.0  # after a failed query
NEVER = float("-inf")
ATTENDANCES_PER_SECOND = 2500  # read at most, in rooms so full that each change would read more


class SharedPresence:
    """Shares presence under the name `process_id`; `now` is a clock for pauses, in seconds.

    Each process is seen every `pause` seconds. One not seen for `grace` seconds is gone, with its people.
    """

    def __init__(
        self,
        tables: SharedTables,
        bus: Bus,
        hub: Hub,
        process_id: str,
        grace: float,
        pause: float,
        now: Callable[[], float],
    ) -> None:
        self._tables = tables
        self._bus = bus
        self._hub = hub
        self._process_id = process_id
        # A dead process is noticed by the next write of another one: then the grace is over.
        self._expiry = max(grace - pause, 2 * pause)
        self._ahead = max(grace - self._expiry, 0)
        self._pause = pause
        self._now = now
        self._noted: set[Seat] = set()  # the presence that was written
        self._noted_at = NEVER
        self._noting_since = float("inf")  # without an interruption that could have had us taken for gone
        self._unread: set[int] = set()  # rooms whose presence elsewhere must be read
        self._changed = asyncio.Event()
        self._lookups = BatchLoader(self._look_up)
        bus.listen(self._heard)

    # Presence here

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write and read presence until the end. Members count a while longer: they may be about to reconnect."""
        tasks = [asyncio.create_task(each()) for each in (self._note_forever, self._read_forever)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(StoreUnavailable):
                await self._note(ahead=self._ahead)

    async def _note_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if self._has_moved() or self._now() >= self._noted_at + self._pause:
                    await self._note()
            except StoreUnavailable:  # the watchdog logs it
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # go on: without a sign of life, other processes would take our members for gone
                log.exception("not noted")
                await asyncio.sleep(RETRY_SECONDS)

    def _has_moved(self) -> bool:
        return any(audience.presence.moved for audience in self._hub.audiences())

    async def _note(self, ahead: float = 0) -> None:
        """Write the members present here."""
        for audience in self._hub.audiences():
            audience.presence.moved = False
        here = {(each.room.id, member_id) for each in self._hub.audiences() for member_id in each.presence.here()}
        began = self._now()
        arrived, departed = here - self._noted, self._noted - here
        expiry = self._expiry if self._may_judge(began) else None
        is_first, versions = await self._tables.attend(self._process_id, arrived, departed, expiry, ahead)
        if began - self._noted_at > self._expiry:
            self._noting_since = began
        was_known, self._noted_at = self._noted_at > NEVER, began
        self._noted = here
        for room_id, version in versions.items():
            self._bus.announce(topics.presence_in(room_id), version)
        if is_first and was_known:
            await self._note_again()

    def _may_judge(self, now: float) -> bool:
        """Whether we would know if others were gone: not after we could not note anything ourselves."""
        return now - self._noted_at <= self._expiry <= now - self._noting_since

    async def _note_again(self) -> None:
        """Write and read everything anew: the others took us for gone, or the database lost its unlogged tables."""
        self._noted = set()
        self._have_read(audience.room.id for audience in self._hub.audiences())
        await self._note()

    # Presence elsewhere

    async def load(self, audience: Audience) -> None:
        """Read the presence elsewhere in a room that somebody looks at from now on."""
        await self._read([audience.room.id])

    async def members(self, room_id: int) -> list[Member]:
        """Return the members present elsewhere in a room without an audience here. Raises `StoreUnavailable`."""
        found = await self._lookups.load(str(room_id))
        return found.members if found else []

    async def _look_up(self, room_ids: Sequence[str]) -> Mapping[str, Attendance]:
        found = await self._tables.attendance(self._process_id, [int(room_id) for room_id in room_ids])
        return {str(room_id): attendance for room_id, attendance in found.items()}

    def _heard(self, topic: str, position: int) -> None:
        kind, room_id, _ = topics.split(topic)
        if kind == topics.PRESENCE_KIND:
            audience = self._hub.audience(room_id)
            if audience and position > audience.presence.version:
                self._have_read([room_id])

    def _have_read(self, room_ids: Iterable[int]) -> None:
        self._unread.update(room_ids)
        self._changed.set()

    async def _read_forever(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            room_ids, self._unread = self._unread, set()
            pause = RETRY_SECONDS
            try:
                pause = await self._read(room_ids) / ATTENDANCES_PER_SECOND
            except StoreUnavailable:  # the watchdog logs it
                self._have_read(room_ids)
            except Exception:
                log.exception("not read")
                self._have_read(room_ids)
            await asyncio.sleep(max(pause, TICK_SECONDS))

    async def _read(self, room_ids: Collection[int]) -> int:
        """Read the presence elsewhere in these rooms, and return how many members that are."""
        found = await self._tables.attendance(self._process_id, room_ids)
        for room_id, attendance in found.items():
            if audience := self._hub.audience(room_id):
                audience.presence.set_elsewhere(attendance.members, attendance.version)
        return sum(len(attendance.members) for attendance in found.values())
