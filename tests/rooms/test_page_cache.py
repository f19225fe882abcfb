"""The newest page of a room: read once, and never older than what was announced."""

import asyncio
from collections.abc import Iterator

import pytest

from app.chat.timeline import Page
from app.rooms.page_cache import MOST_ROOMS, MOST_ZONES, PageCache, Tail

ROOM = 1


class Log:
    """A room's log: how far it goes, and who reads it when."""

    def __init__(self) -> None:
        self.position = 0
        self.reads = 0
        self.broken = False
        self.asked: asyncio.Queue[int] = asyncio.Queue()
        self.answering = asyncio.Event()
        self.answering.set()

    async def read(self, room_id: int) -> Tail:
        """Return what is there now, when it is told to answer."""
        self.reads += 1
        self.asked.put_nowait(room_id)
        position = self.position
        await self.answering.wait()
        if self.broken:
            raise OSError("broken by a test")
        return Tail(lambda zone: Page([], position, None), position)

    async def is_read(self) -> None:
        """Wait until it is asked once more."""
        async with asyncio.timeout(5):
            await self.asked.get()


@pytest.fixture
def log() -> Iterator[Log]:
    yield Log()


@pytest.fixture
def newest(log: Log) -> PageCache:
    return PageCache(log.read)


async def being_read(log: Log, newest: PageCache) -> asyncio.Task[Tail]:
    """Ask for the tail, and return when the log is being read: it answers when it is told to."""
    log.answering.clear()
    reading = asyncio.create_task(newest.of(ROOM))
    await log.is_read()
    return reading


async def test_a_tail_is_read_once(log: Log, newest: PageCache) -> None:
    tails = [await newest.of(ROOM) for _ in range(3)]
    assert tails == [tails[0]] * 3 and log.reads == 1


async def test_concurrent_callers_get_the_same_tail(log: Log, newest: PageCache) -> None:
    log.answering.clear()
    asking = [asyncio.create_task(newest.of(ROOM)) for _ in range(5)]
    await log.is_read()
    asking[0].cancel()
    log.answering.set()
    await asyncio.wait(asking)
    assert asking[0].cancelled() and log.reads == 1
    assert {each.result() for each in asking[1:]} == {newest.known(ROOM)}


@pytest.mark.breaks(
    "app/rooms/page_cache.py",
    "if position > (tail.position if tail else 0):",
    "if False and (tail.position if tail else 0):",
)
async def test_the_next_page_has_every_announced_message(log: Log, newest: PageCache) -> None:
    assert (await newest.of(ROOM)).position == 0
    log.position = 1
    newest.reached(ROOM, 1)
    assert (await newest.of(ROOM)).position == 1


@pytest.mark.breaks(
    "app/rooms/page_cache.py", "position > (tail.position if tail else 0)", "tail and position > tail.position"
)
async def test_a_read_overtaken_by_an_announcement_is_not_cached(log: Log, newest: PageCache) -> None:
    early = await being_read(log, newest)
    log.position = 1
    newest.reached(ROOM, 1)
    late = asyncio.create_task(newest.of(ROOM))
    await log.is_read()
    log.answering.set()
    assert ((await early).position, (await late).position) == (0, 1)
    assert await newest.of(ROOM) is await late


@pytest.mark.breaks(
    "app/rooms/page_cache.py", "position > (tail.position if tail else 0)", "True or (tail.position if tail else 0)"
)
async def test_repeated_announcements_change_nothing(log: Log, newest: PageCache) -> None:
    log.position = 3
    tail = await newest.of(ROOM)
    newest.reached(ROOM, 3)
    newest.reached(ROOM + 1, 9)
    assert newest.known(ROOM) is tail


@pytest.mark.breaks(
    "app/rooms/page_cache.py", "position > (tail.position if tail else 0)", "not tail or position > tail.position"
)
async def test_an_empty_room_that_is_announced_while_it_is_read_is_kept(log: Log, newest: PageCache) -> None:
    reading = await being_read(log, newest)
    newest.reached(ROOM, 0)
    log.answering.set()
    assert await reading is await newest.of(ROOM)
    assert log.reads == 1


@pytest.mark.breaks("app/rooms/page_cache.py", "del self._tails[room_id]\n            raise", "pass\n            raise")
async def test_failed_presence_reads_are_retried(log: Log, newest: PageCache) -> None:
    log.broken = True
    for reads in (1, 2):
        with pytest.raises(OSError, match="broken"):
            await newest.of(ROOM)
        assert log.reads == reads
    log.broken = False
    assert await newest.of(ROOM) is newest.known(ROOM)


@pytest.mark.breaks("app/rooms/page_cache.py", "LRUCache(MOST_ROOMS)", "LRUCache(MOST_ROOMS + 9)")
async def test_the_rooms_that_nobody_asked_for_for_longest_are_forgotten(newest: PageCache) -> None:
    for room_id in range(MOST_ROOMS):
        await newest.of(room_id)
    await newest.of(0)
    await newest.of(MOST_ROOMS)
    assert newest.known(0) and newest.known(MOST_ROOMS) and not newest.known(1)


async def test_a_zone_has_one_page_and_there_are_only_so_many(newest: PageCache) -> None:
    tail = await newest.of(ROOM)
    page = tail.page("UTC")
    assert tail.page("UTC") is page
    for number in range(MOST_ZONES):
        assert tail.page(f"zone {number}") is not page
    assert len(tail._pages) <= MOST_ZONES
