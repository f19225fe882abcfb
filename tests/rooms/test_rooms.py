"""The crux: whatever happens, a page that was live, one that resumed and one just loaded are the same."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from bs4.element import Tag
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from markupsafe import Markup

from app.chat.changes import Change, Delete, Edit, React, Unreact
from app.chat.frames import Recheck, Resume, parse
from app.chat.limits import Limits
from app.chat.messages import Draft, Member, Refused, Room
from app.chat.timeline import Changes, Entry, Gap
from app.cluster.bus import LocalBus
from app.cluster.cluster import Cluster
from app.delivery.connection import Connection
from app.delivery.hub import Audience, Hub
from app.delivery.transport import AsgiTransport
from app.html.fragments import Fragments
from app.html.views import RoomView
from app.metrics import Metrics
from app.rooms import delivering, reading, resuming
from app.rooms.posting import KEY_LENGTH, KEYS_DRAWN, new_keys
from app.rooms.rooms import Rooms
from app.settings import SQLITE_FILE, Settings
from app.store import topics
from app.store.errors import StoreUnavailable
from app.store.store import Store
from tests.conftest import Clock
from tests.page import Page

PATIENT: dict[str, Any] = {
    "messages_per_second": 1e6,
    "messages_burst": 10**6,
    "address_messages_burst": 10**6,
    "creations_burst": 10**6,
    "rooms_burst": 10**6,
    "max_rooms": 10**6,
}


@lru_cache(maxsize=1)
def generous() -> Settings:
    """Made once: to know a time zone takes longer than most of a test."""
    return Settings(**PATIENT, presence_grace=0)


@lru_cache(maxsize=1)
def fragments() -> Fragments:
    """One for all: what differs between the tests' settings is not shown."""
    return Fragments(Settings(), "")


class World:
    """A process with its rooms, and a clock of its own for pauses."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.fragments = fragments()
        bus, metrics = LocalBus(), Metrics()
        hub = Hub(metrics.fan_out)
        self.rooms = Rooms(
            *(settings, store, Cluster(bus), hub),
            *(self.fragments, metrics, Limits(settings), lambda: clock.elapsed),
        )
        self.is_alone = True  # no other process writes: what is committed is known before it is announced

        def on_commit(room_id: int, changes: Changes) -> None:
            if self.is_alone:
                self.rooms.delivery.committed(room_id, changes)
            bus.announce(topics.log_of(room_id), changes.upto)

        store.writer.on_commit = on_commit

    async def settle(self) -> None:
        """Wait until everything that was stored is shown."""
        while deliveries := [task for task in asyncio.all_tasks() if task.get_name().startswith("deliver")]:
            await asyncio.wait(deliveries)

    async def load(self, room: Room, member: Member | None = None, zone: str = "UTC") -> Page:
        """Load the room's page anew."""
        page = await self.rooms.history.page(room, zone)
        return Page(
            self.fragments.room(
                RoomView(
                    room=room,
                    rooms=self.rooms.directory.all(),
                    members=await self.rooms.present(room),
                    member=member,
                    page=page,
                    cursor=self.rooms.history.cursor(page.position),
                    zone=zone,
                    keys=[],
                    nonce="",
                )
            )
        )

    async def complete(self, page: Page, room: Room, zone: str = "UTC") -> Page:
        """Load on demand whatever `page` says that it lacks: its gaps, and what is older."""
        while filled := await self.filled(page, room, zone):
            page.take(filled)
        while loads := page.loads_older:
            page.answer(loads, await self.older(page, room, zone))
        return page

    async def older(self, page: Page, room: Room, zone: str = "UTC") -> str:
        """Return what a page is answered that asks for older messages."""
        older = await self.rooms.history.page(room, zone, page.before())
        return self.fragments.older(room, older, self.rooms.history.cursor(older.position), zone, "nonce")

    async def filled(self, page: Page, room: Room, zone: str = "UTC") -> str:
        """Return what a page is answered that loads its first gap; nothing if it has none."""
        buttons = page.soup.select(".gap button")
        if not buttons:
            return ""
        gap = Gap(*map(int, str(buttons[0]["value"]).split("-")))
        found, remaining = await self.rooms.history.fill(room, zone, gap)
        cursor = self.rooms.history.cursor(found.position)
        return self.fragments.filled(room, gap, remaining, found, cursor, zone, "nonce")

    async def open(self, room: Room, member: Member | None = None, zone: str = "UTC") -> "Browser":
        """Open the room in a browser."""
        browser = Browser(self, room, await self.load(room, member, zone), member, zone)
        await browser.connect()
        return browser


@dataclass
class Browser:
    """A page with a socket that can drop and come back."""

    world: World
    room: Room
    page: Page
    member: Member | None
    zone: str
    frames: int = 0
    audience: Audience | None = None
    connection: Connection | None = None
    writing: asyncio.Task[None] | None = field(default=None, repr=False)
    asked: tuple[Tag, str] | None = field(default=None, repr=False)  # what asked for older messages, and the answer
    filled: str = field(default="", repr=False)  # the answer to what asked for the messages of a gap

    async def connect(self) -> None:
        settings = self.world.settings
        transport = AsgiTransport(self._take)
        self.connection = Connection(self.member, self.zone, transport, settings.outbox_length, settings.stall_seconds)
        self.audience = await self.world.rooms.resumption.enter(self.room, self.connection)
        self.writing = asyncio.create_task(transport.run())
        frame = parse(json.dumps({"cursor": self.page.value("#cursor"), "changes": self.page.unchecked()}), 10**6)
        assert isinstance(frame, Resume)
        await self.world.rooms.resumption.resume(self.audience, self.connection, frame.cursor, frame.since)

    async def scroll_up(self) -> None:
        """Ask for older messages; the answer is on its way."""
        loads = self.page.loads_older
        if loads and not self.asked:
            # As htmx marks an element that has asked.
            loads["class"] = " ".join([*loads.get_attribute_list("class"), "htmx-request"])
            self.asked = loads, await self.world.older(self.page, self.room, self.zone)

    async def ask_for_gap(self) -> None:
        """Ask for the messages of a gap; the answer is on its way."""
        self.filled = self.filled or await self.world.filled(self.page, self.room, self.zone)

    async def take_answers(self) -> None:
        """Take the messages that were asked for over HTTP, and ask what has changed in them since."""
        known = self.page.unchecked()
        if self.asked:
            self.page.answer(*self.asked)
            loads, _ = self.asked
            loads["class"] = str(loads["class"]).removesuffix(" htmx-request")
            self.asked = None
        self.page.take(self.filled)
        self.filled = ""
        for cursor in self.page.unchecked()[len(known) :]:
            frame = parse(json.dumps({"changes": cursor}), 10**6)
            assert isinstance(frame, Recheck)
            if self.audience and self.connection:
                await self.world.rooms.resumption.recheck(self.audience, self.connection, frame.since)

    async def drop(self) -> None:
        assert self.connection and self.audience and self.writing
        self.world.rooms.resumption.leave(self.audience, self.connection)
        self.writing.cancel()
        with suppress(asyncio.CancelledError):
            await self.writing
        self.connection = None

    async def settle(self) -> Page:
        """Wait until this browser has taken everything."""
        await self.world.settle()
        assert self.connection and self.writing
        drained = asyncio.create_task(self.connection.drained())
        await asyncio.wait({drained, self.writing}, return_when=asyncio.FIRST_COMPLETED)
        if self.writing.done():
            self.writing.result()
        return self.page

    async def _take(self, frame: str) -> None:
        self.frames += 1
        self.page.take(frame)


@asynccontextmanager
async def world(folder: Path, clock: Clock | None = None, **settings: object) -> AsyncIterator[World]:
    clock = clock or Clock()
    chosen = generous().model_copy(update={"data_dir": folder, **settings})
    store = Store(chosen.store_url, clock)
    async with store.opened("Lobby"):
        made = World(chosen, store, clock)
        async with made.rooms.running():
            yield made


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a log with its tables, and nothing in it: to be copied."""
    folder = tmp_path_factory.mktemp("migrated")

    async def make() -> None:
        async with world(folder):
            pass

    asyncio.run(make())
    return folder / SQLITE_FILE


async def members(here: World, *names: str) -> list[Member]:
    return [await here.rooms.creation.take_name(None, name, "UTC", "") for name in names]


async def say(
    here: World, room: Room, member: Member, text: str, key: str | None = None, reply_to: int | None = None
) -> None:
    await here.rooms.posting.post(room, member, Draft(text, key or new_keys(1)[0], reply_to), "")


async def alter(here: World, room: Room, member: Member, back: int, change: Change) -> None:
    """Change the message that was said so many messages ago, where `member` may do so."""
    with suppress(Refused):
        await here.rooms.changing.change(room, member, await found(here, room, back), change, "")


async def found(here: World, room: Room, back: int) -> int:
    """Return the position of what was said so many messages ago; of the first, if there are fewer."""
    messages = (await here.store.before(room.id, reading.NEWEST, back)).messages
    return messages[0].position if messages else 1


# Who looks at which room: one stays in each, the others drop and come back.
PAGES = (("Ann", "lobby"), ("Ann", "lobby"), ("Bob", "lobby"), ("Bob", "garden"), ("Ann", "garden"))
DROPPERS = (1, 2, 4)

CHANGES = st.sampled_from(
    [Edit("edited"), Edit("again"), Delete(), React("👍"), React("🎉"), Unreact("👍"), Unreact("🎉")]
)

TEXTS = ("hi", "<b>", "a\nb", "www.x.org", "@an")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(["Ann", "Bob"]), st.sampled_from(TEXTS)),
        st.tuples(st.just("reply"), st.sampled_from(["Ann", "Bob"]), st.integers(1, 12)),
        st.tuples(st.just("wait"), st.sampled_from([1, 4, 6, 60 * 11, 60 * 24])),
        st.tuples(st.just("set the clock"), st.sampled_from([-60 * 24, -60, -1, 60, 60 * 24])),
        st.tuples(st.just("say elsewhere"), st.sampled_from(["hi", "there"])),
        st.tuples(st.just("burst"), st.integers(2, 12)),
        st.tuples(st.just("change"), st.sampled_from(["Ann", "Bob"]), st.integers(1, 12), CHANGES),
        st.tuples(st.just("change at once"), st.lists(st.tuples(st.integers(1, 4), CHANGES), min_size=2, max_size=8)),
        st.tuples(st.just("drop"), st.sampled_from(DROPPERS)),
        st.tuples(st.just("return"), st.sampled_from(DROPPERS)),
        st.tuples(st.just("rename"), st.sampled_from(["Ann", "Bob"])),
        st.tuples(st.just("make a room")),
        st.tuples(st.just("join")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("tick")),
        st.tuples(st.just("scroll up"), st.sampled_from(range(len(PAGES)))),
        st.tuples(st.just("load the gap"), st.sampled_from(range(len(PAGES)))),
        st.tuples(st.just("answer"), st.sampled_from(range(len(PAGES)))),
        st.tuples(st.just("scroll down"), st.sampled_from(range(len(PAGES)))),
    ),
    min_size=1,
    max_size=25,
)


@given(
    steps=STEPS,
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/St_Johns"]),
    frame=st.sampled_from([1, 3, 100]),
    characters=st.sampled_from([1, 10, 20_000]),
    sizes=st.sampled_from([(500, 50, 200), (3, 2, 4), (0, 1, 1), (6, 4, 5)]),
    is_alone=st.booleans(),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.timeout(1200)
@pytest.mark.breaks("app/rooms/resuming.py", "while position < audience.position:", "if position < audience.position:")
async def test_live_resumed_and_reloaded_pages_are_the_same(
    steps: list[tuple[Any, ...]],
    zone: str,
    frame: int,
    characters: int,
    sizes: tuple[int, int, int],
    is_alone: bool,
    log: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """G2: whatever happens, each page shows the same in the end, at once or after its gaps were loaded."""
    folder, clock = tmp_path_factory.mktemp("log"), Clock()
    copyfile(log, folder / SQLITE_FILE)
    resume_limit, page_size, open_page_size = sizes
    options: dict[str, Any] = {"clock": clock, "resume_limit": resume_limit, "page_size": page_size}
    options["open_page_size"] = open_page_size
    with pytest.MonkeyPatch.context() as patch:
        for module in (delivering, resuming):
            patch.setattr(module, "FRAME_MESSAGES", frame)
        for module in (delivering, reading, resuming):
            patch.setattr(module, "RENDERED_CHARACTERS", characters)
        patch.setattr("app.store.migrations.upgrade", lambda _: None)  # the file has its tables
        async with AsyncExitStack() as process:
            here = await process.enter_async_context(world(folder, **options))
            here.is_alone = is_alone
            people = dict(zip(("Ann", "Bob"), await members(here, "Ann", "Bob"), strict=True))
            rooms = {
                "lobby": here.rooms.directory.oldest,
                "garden": await here.rooms.creation.create(people["Ann"], "Garden", ""),
            }
            browsers = [await here.open(rooms[slug], people[name], zone) for name, slug in PAGES]
            for number, step in enumerate(steps):
                match step:
                    case "say", name, text:
                        await say(here, rooms["lobby"], people[name], text)
                    case "say elsewhere", text:
                        await say(here, rooms["garden"], people["Bob"], text)
                    case "burst", count:
                        texts = (f"{place} of {number}" for place in range(count))
                        await asyncio.gather(*(say(here, rooms["lobby"], people["Ann"], text) for text in texts))
                    case "reply", name, back:
                        original = await found(here, rooms["lobby"], back)
                        await say(here, rooms["lobby"], people[name], f"{number}", reply_to=original)
                    case "change", name, back, change:
                        await alter(here, rooms["lobby"], people[name], back, change)
                    case "change at once", changes:
                        each = (alter(here, rooms["lobby"], people["Ann"], back, change) for back, change in changes)
                        await asyncio.gather(*each)
                    case "wait", minutes:
                        here.clock.advance(minutes=float(minutes))
                    case "set the clock", minutes:
                        here.clock.jump(minutes=float(minutes))
                    case "drop", which if browsers[which].connection:
                        await browsers[which].drop()
                    case "return", which if not browsers[which].connection:
                        await browsers[which].connect()
                    case "rename", name:
                        people[name] = await here.rooms.creation.take_name(people[name], f"{name} {number}", "UTC", "")
                        for (called, _), browser in zip(PAGES, browsers, strict=False):
                            if called == name:
                                browser.member = people[name]
                                if browser.connection:  # it was ended, and comes back with the new cookie
                                    assert browser.connection.cut_off == "session-ended"
                                    await browser.drop()
                                    await browser.connect()
                    case ("make a room",):
                        await here.rooms.creation.create(people["Bob"], f"Room {number}", "")
                    case ("join",):
                        (new,) = await members(here, f"New {number}")
                        browsers.append(await here.open(rooms["lobby"], new, zone))
                    case ("restart",):
                        open_ones = [browser for browser in browsers if browser.connection]
                        for browser in open_ones:
                            await browser.drop()
                        await process.aclose()
                        here = await process.enter_async_context(world(folder, **options))
                        for browser in browsers:
                            browser.world = here
                        for browser in open_ones:
                            await browser.connect()
                    case ("tick",):
                        here.rooms.tick()
                    case "scroll up", which:
                        await browsers[which].scroll_up()
                    case "load the gap", which:
                        await browsers[which].ask_for_gap()
                    case "answer", which:
                        await browsers[which].take_answers()
                    case "scroll down", which:
                        browsers[which].page.returns()
            for browser in browsers:
                await browser.take_answers()
                if not browser.connection:
                    await browser.connect()
            await here.settle()
            here.rooms.tick()
            for room in rooms.values():
                pages = [await browser.settle() for browser in browsers if browser.room == room]
                pages.append(await here.load(room, people["Ann"], zone))
                first, *others = [await here.complete(page, room, zone) for page in pages]
                for page in others:
                    assert page.timeline() == first.timeline()
                    for selector in ("#cursor", "#rooms", "#members"):
                        assert page.show(selector) == first.show(selector)


def rendered(here: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each frame and page by how many characters of messages are rendered for it."""
    counts: list[int] = []
    render = here.fragments._messages

    def count(entries: Sequence[Entry], zone: str, room: Room) -> Markup:
        counts.append(sum(len(entry.message.body) for entry in entries))
        return render(entries, zone, room)

    monkeypatch.setattr(here.fragments, "_messages", count)
    return counts


@pytest.mark.breaks(
    "app/chat/timeline.py", "while len(new) > (count := min(portion(new, most_characters), most)):", "while False:"
)
@pytest.mark.breaks(
    "app/rooms/reading.py", "portion(messages[: -most - 1 : -1], RENDERED_CHARACTERS)", "len(messages[-most:])"
)
async def test_no_frame_and_no_page_renders_more_characters_than_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long messages, live, resumed and loaded: each rendering is bounded, so that others are served in between."""
    async with world(tmp_path, resume_limit=500, page_size=50, open_page_size=500) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        live, away = await here.open(room, ann), await here.open(room, ann)
        await say(here, room, ann, "before")
        await away.settle()
        await away.drop()
        counts = rendered(here, monkeypatch)
        await asyncio.gather(*(say(here, room, ann, f"{number} " + "x" * 3_900) for number in range(120)))
        page = await live.settle()
        await away.connect()
        assert (await away.settle()).timeline() == page.timeline()
        complete = await here.complete(await here.load(room, ann), room)
        assert complete.timeline() == page.timeline()
        assert sum(counts) > 120 * 3_900 * 3
        assert max(counts) <= 20_000


@pytest.mark.breaks(
    "app/chat/timeline.py", "new[count - 1].position, new[count:], ()", "new[count - 1].position, new[-1:], ()"
)
async def test_long_messages_are_shown_a_few_at_a_time_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        page = await here.open(here.rooms.directory.oldest, ann)
        changes, read = here.store.changes, list[int]()

        async def count(*args: int) -> Changes:
            found = await changes(*args)
            read.append(len(found.new))
            return found

        monkeypatch.setattr(here.store, "changes", count)
        await asyncio.gather(*(say(here, here.rooms.directory.oldest, ann, f"{n} " + "x" * 3_900) for n in range(100)))
        assert len((await page.settle()).timeline()) == 101  # with the day
        assert sum(read) <= 100


async def test_a_hundred_reactions_at_once_cost_one_frame_per_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        crowd = await members(here, *(f"Guest {number}" for number in range(100)))
        room = here.rooms.directory.oldest
        reader = await here.open(room, crowd[0])
        await say(here, room, crowd[0], "lunch?")
        await reader.settle()
        batches: list[int] = []
        here.store.writer.on_batch = lambda size, seconds: batches.append(size)
        frames: list[str] = []
        take = reader.page.take

        def note(frame: str) -> None:
            frames.append(frame)
            take(frame)

        monkeypatch.setattr(reader.page, "take", note)
        await asyncio.gather(*(here.rooms.changing.change(room, each, 1, React("👍"), "") for each in crowd))
        page = await reader.settle()
        assert sum(batches) == 100
        assert len([frame for frame in frames if 'id="content-1"' in frame]) == len(batches) <= 3
        (reaction,) = page.soup.select(".reaction")
        assert len(str(reaction["data-by"]).split()) == 100


@pytest.mark.breaks("app/rooms/delivering.py", "self._fragments.forget_rooms(self._unwatched)", "pass")
async def test_a_message_deleted_elsewhere_leaves_the_cache_of_an_empty_room(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        await say(here, room, ann, "a secret")
        await here.load(room)
        assert any("a secret" in str(html) for html in here.fragments._cache.values())
        here.is_alone = False  # another process commits it
        await here.rooms.changing.change(room, ann, 1, Delete(), "")
        here.rooms.beat()
        assert not any("a secret" in str(html) for html in here.fragments._cache.values())


async def test_a_gap_that_is_filled_makes_the_page_whole(tmp_path: Path) -> None:
    async with world(tmp_path, resume_limit=5, page_size=4) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        away = await here.open(room, ann)
        whole = await here.open(room, ann)
        await say(here, room, ann, "before")
        await away.settle()
        await away.drop()
        for number in range(11):
            here.clock.advance(minutes=number)
            await say(here, room, ann, f"message {number}")
            await here.settle()
        await away.connect()
        page = await away.settle()
        await here.complete(page, room)
        assert page.timeline() == (await whole.settle()).timeline()


@asynccontextmanager
async def talking(folder: Path) -> AsyncIterator[tuple[World, Room, Callable[[int], Awaitable[None]]]]:
    """A room whose open pages keep eight messages, and how many more are said there, one a day."""
    async with world(folder, page_size=4, open_page_size=8) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest

        async def talk(count: int) -> None:
            for number in range(count):
                here.clock.advance(minutes=24 * 60)
                await say(here, room, ann, f"message {number}")
                await here.settle()

        yield here, room, talk


def positions(page: Page) -> list[int]:
    return [int(each.removeprefix("message-")) for each in page.ids()]


@pytest.mark.breaks("app/rooms/delivering.py", "self._hub.publish(audience, in_any_zone(frame))", "pass")
@pytest.mark.breaks("templates/partials/frames/trimmed.html", ":not(.day:has(+ #message-{{ first }}))", "")
async def test_an_open_page_keeps_its_newest_messages_and_loads_the_others_again(tmp_path: Path) -> None:
    async with talking(tmp_path) as (here, room, talk):
        reader = await here.open(room)
        longest = 0
        for _ in range(50):
            await talk(1)
            longest = max(longest, len((await reader.settle()).ids()))
        assert positions(reader.page)[-8:] == list(range(43, 51))
        assert longest <= 10
        loaded = await here.complete(await here.load(room), room)
        assert positions(loaded) == list(range(1, 51))
        assert (await here.complete(reader.page, room)).timeline() == loaded.timeline()


@pytest.mark.breaks("app/rooms/resuming.py", "Frame(resumed + self._delivery.trimmed(audience))", "Frame(resumed)")
async def test_a_page_that_missed_much_keeps_no_more_than_another(tmp_path: Path) -> None:
    async with talking(tmp_path) as (here, room, talk):
        reader = await here.open(room)
        await talk(3)
        await reader.settle()
        await reader.drop()
        await talk(40)
        await reader.connect()
        assert positions(await reader.settle()) == list(range(36, 44))


@pytest.mark.breaks("templates/partials/frames/trimmed.html", "#history:empty + #older", "#history + #older")
@pytest.mark.breaks(
    "templates/partials/frames/trimmed.html", "#messages:has(> #message-{{ first }}) ~ #forget", "#nowhere"
)
async def test_a_scrolled_up_page_is_not_trimmed_until_it_is_back(tmp_path: Path) -> None:
    async with talking(tmp_path) as (here, room, talk):
        await talk(20)
        reader = await here.open(room)
        await reader.scroll_up()
        await reader.take_answers()
        assert positions(reader.page) == list(range(13, 21))
        await talk(40)
        assert positions(await reader.settle()) == list(range(13, 61))
        reader.page.returns()
        assert positions(reader.page) == list(range(17, 61))
        await talk(2)
        assert positions(await reader.settle()) == list(range(55, 63))


async def test_a_small_page_keeps_its_older_messages_while_scrolled_up(tmp_path: Path) -> None:
    """A window so high that all of it is in view."""
    async with talking(tmp_path) as (here, room, talk):
        await talk(20)
        reader = await here.open(room)
        await reader.scroll_up()
        await reader.take_answers()
        await talk(3)
        (await reader.settle()).returns()
        assert positions(reader.page) == list(range(13, 24))


@pytest.mark.breaks("templates/partials/frames/trimmed.html", ":not(:has(.htmx-request))", "")
async def test_older_messages_that_come_late_leave_no_hole(tmp_path: Path) -> None:
    async with talking(tmp_path) as (here, room, talk):
        await talk(20)
        reader = await here.open(room)
        await talk(3)
        await reader.settle()
        await reader.scroll_up()
        await talk(20)
        await reader.settle()
        await reader.take_answers()
        assert positions(reader.page) == list(range(13, 44))


@pytest.mark.parametrize("missed", [10, 11, 60])
async def test_many_that_were_missed_are_counted_and_not_read_out(tmp_path: Path, missed: int) -> None:
    async with world(tmp_path, resume_limit=50) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        reader = await here.open(room)
        await say(here, room, ann, "before")
        await reader.settle()
        await reader.drop()
        for number in range(missed):
            await say(here, room, ann, f"message {number}")
        await reader.connect()
        page = await reader.settle()
        read_out = page.soup.select("#messages > .message:not([aria-live])")
        assert len(read_out) == (11 if missed == 10 else 1)
        assert page.soup.select("#missed")[0].text == ("" if missed == 10 else f"{missed} new messages")
        await say(here, room, ann, "live")
        await reader.settle()
        assert len(page.soup.select("#messages > .message:not([aria-live])")) == len(read_out) + 1


async def test_history_joined_to_a_page_is_the_log(tmp_path: Path) -> None:
    async with world(tmp_path, page_size=3) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        whole = await here.open(room, ann)
        for number in range(10):
            here.clock.advance(minutes=2)
            await say(here, room, ann, f"message {number}")
            await here.settle()
        page = await here.load(room, ann)
        assert page.loads_older
        await here.complete(page, room)
        assert page.timeline() == (await whole.settle()).timeline()


async def test_a_page_ahead_of_its_audience_gets_nothing_twice(tmp_path: Path) -> None:
    """A page is read from the log, which may be further than the room's audience."""
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        await here.open(room)
        await say(here, room, ann, "hello")  # stored, and not shown yet: nothing has waited for the delivery
        ahead = await here.open(room)
        assert (await ahead.settle()).ids() == ["message-1"]


async def test_concurrent_messages_are_shown_to_all_in_one_order(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann, bob) = await members(here, "Ann", "Bob")
        room = here.rooms.directory.oldest
        readers = [await here.open(room) for _ in range(3)]
        await asyncio.gather(*(say(here, room, who, f"{n}") for n in range(40) for who in (ann, bob)))
        pages = [await reader.settle() for reader in readers]
        assert pages[0].ids() == [f"message-{position}" for position in range(1, 81)]
        assert pages[0].timeline() == pages[1].timeline() == pages[2].timeline()
        # What was committed together came as one frame.
        assert readers[0].frames < 40


async def test_a_page_opened_under_load_misses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest

        enough = asyncio.Event()

        async def write() -> None:
            while not enough.is_set():
                await say(here, room, ann, "hello")

        writing = asyncio.create_task(write())
        browsers = [await here.open(room) for _ in range(10)]
        enough.set()
        await writing
        head = await here.store.head(room.id)
        for browser in browsers:
            positions = [int(each.removeprefix("message-")) for each in (await browser.settle()).ids()]
            assert positions == list(range(positions[0], head + 1))


@pytest.mark.breaks("app/rooms/delivering.py", " or changes.after != audience.position", "")
async def test_the_next_commit_is_shown_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        browser = await here.open(here.rooms.directory.oldest, ann)
        announce, here.store.writer.on_commit = here.store.writer.on_commit, lambda room_id, changes: None
        await say(here, here.rooms.directory.oldest, ann, "one")  # by another process, and not announced yet
        here.store.writer.on_commit = announce
        await say(here, here.rooms.directory.oldest, ann, "two")
        shown = (await browser.settle()).soup.select(".message__body")
        assert [body.text for body in shown] == ["one", "two"]
        await say(here, here.rooms.directory.oldest, ann, "three")
        # Nobody had to read the log, nor wait for somebody who does.
        assert not here.rooms.delivery._deliveries
        assert [body.text for body in (await browser.settle()).soup.select(".message__body")] == ["one", "two", "three"]


async def test_a_delivery_that_the_store_fails_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.rooms.delivering.RETRY_SECONDS", 0)
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        reader = await here.open(room)
        changes, failures = here.store.changes, iter(range(3))

        async def fail_at_first(*position: int) -> object:
            if next(failures, None) is not None:
                raise StoreUnavailable
            return await changes(*position)

        monkeypatch.setattr(here.store, "changes", fail_at_first)
        await say(here, room, ann, "hello")
        assert (await reader.settle()).ids() == ["message-1"]


async def test_a_message_is_stored_though_its_sender_leaves(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        room = here.rooms.directory.oldest
        reader = await here.open(room)
        saying = asyncio.create_task(say(here, room, ann, "my last words"))
        await asyncio.sleep(0)
        saying.cancel()
        while not reader.page.ids():
            await here.settle()
            await asyncio.sleep(0.001)  # the database has a thread of its own, which wants to run as well
        assert "my last words" in reader.page.show("#messages")


async def test_presence_counts_people_and_not_windows(tmp_path: Path) -> None:
    async with world(tmp_path, presence_grace=10) as here:
        (ann, bob) = await members(here, "Ann", "Bob")
        room = here.rooms.directory.oldest
        reader = await here.open(room)
        tabs = [await here.open(room, ann) for _ in range(2)]
        await here.open(room, bob)

        async def shown() -> list[str]:
            here.rooms.tick()
            return [name.text for name in (await reader.settle()).soup.select("#members bdi")]

        assert await shown() == ["Ann", "Bob"]
        await tabs[0].drop()
        here.clock.advance(seconds=11)
        assert await shown() == ["Ann", "Bob"]
        await tabs[1].drop()
        here.clock.advance(seconds=5)
        assert await shown() == ["Ann", "Bob"]  # grace: a reload is not an absence
        await tabs[1].connect()
        here.clock.advance(seconds=11)
        assert await shown() == ["Ann", "Bob"]
        await tabs[1].drop()
        here.clock.advance(seconds=11)
        assert await shown() == ["Bob"]


@pytest.mark.breaks("app/rooms/resuming.py", "if audience.resumed_frame is None:", "if True:")
async def test_concurrent_resumes_share_one_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G5: after a restart everybody resumes within seconds, and each of them changes the list of who is here."""
    async with world(tmp_path) as here:
        people = await members(here, "Ann", "Bob", "Cem")
        resumed, rendered = here.fragments.resumed, []

        def count(*values: object) -> str:
            rendered.append(values)
            return resumed(*values)  # type: ignore[arg-type]

        monkeypatch.setattr(here.fragments, "resumed", count)
        browsers = [await here.open(here.rooms.directory.oldest, person) for person in people]
        assert len(rendered) == 1
        here.rooms.tick()
        for browser in browsers:
            assert [name.text for name in (await browser.settle()).soup.select("#members bdi")] == ["Ann", "Bob", "Cem"]


@pytest.mark.breaks("app/rooms/rooms.py", " and self._now() >= audience.members_due", "")
async def test_a_full_room_gets_the_member_list_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand who come back within seconds are no thousand lists to each of a thousand."""
    monkeypatch.setattr("app.rooms.rooms.MEMBER_LISTS_PER_SECOND", 1)
    async with world(tmp_path) as here:
        reader = await here.open(here.rooms.directory.oldest)
        shown = []
        for person in await members(here, "Ann", "Bob", "Cem"):
            await here.open(here.rooms.directory.oldest, person)
            here.rooms.tick()
            shown.append(len((await reader.settle()).soup.select("#members bdi")))
        assert shown == [1, 1, 1]
        here.clock.advance(seconds=2)
        here.rooms.tick()
        assert len((await reader.settle()).soup.select("#members bdi")) == 3


async def test_an_audience_without_browsers_is_forgotten(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        browser = await here.open(here.rooms.directory.oldest, ann)
        await say(here, here.rooms.directory.oldest, ann, "hello")
        await browser.settle()
        await browser.drop()
        here.clock.advance(hours=1)
        here.rooms.tick()
        here.rooms.beat()
        assert here.rooms.hub.audiences() == []
        assert len(here.rooms.limits._limits) == 0


@pytest.mark.parametrize("waits", ["a second", "2 seconds"])
async def test_a_refusal_says_how_long_to_wait(tmp_path: Path, waits: str) -> None:
    rate = {"a second": 1.0, "2 seconds": 0.5}[waits]
    async with world(tmp_path, messages_burst=1, messages_per_second=rate) as here:
        (ann,) = await members(here, "Ann")
        await say(here, here.rooms.directory.oldest, ann, "one")
        with pytest.raises(Refused, match=f"Wait {waits}, then"):
            await say(here, here.rooms.directory.oldest, ann, "two")


async def test_a_repeated_submission_costs_no_patience(tmp_path: Path) -> None:
    async with world(tmp_path, messages_burst=2, messages_per_second=0.001) as here:
        (ann,) = await members(here, "Ann")
        for _ in range(5):
            await say(here, here.rooms.directory.oldest, ann, "one", key="k")
        await say(here, here.rooms.directory.oldest, ann, "two")


async def test_texts_longer_than_a_message_are_not_remembered(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        page = await here.open(here.rooms.directory.oldest, ann)
        assert page.audience and page.connection
        drafts = [Draft("hello", "k"), Draft(" " * 40_000, "spaces")]
        await here.rooms.posting.say(page.audience, page.connection, drafts, is_open=True)
        assert [here.rooms.posting._sent.sent_text(ann.id, draft) for draft in drafts] == ["hello", None]
        here.clock.advance(hours=25)
        here.rooms.beat()
        assert len(here.rooms.posting._sent) == 0


async def test_a_store_that_fails_refuses_and_gives_the_token_back(tmp_path: Path) -> None:
    async with world(tmp_path, messages_burst=1, messages_per_second=0.001) as here:
        (ann,) = await members(here, "Ann")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(here.store, "append", _unavailable)
            with pytest.raises(Refused) as refused:
                await say(here, here.rooms.directory.oldest, ann, "hello")
            assert refused.value.reason == "unavailable"
        await say(here, here.rooms.directory.oldest, ann, "hello")


async def _unavailable(*_: object) -> None:
    raise StoreUnavailable


async def test_a_store_that_fails_while_somebody_enters_leaves_nobody_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        with monkeypatch.context() as patch:
            patch.setattr(here.store, "head", _unavailable)
            with pytest.raises(StoreUnavailable):
                await here.open(here.rooms.directory.oldest, ann)
        here.rooms.tick()
        here.rooms.beat()
        assert here.rooms.hub.audiences() == []


async def test_a_failed_delivery_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.rooms.delivering.RETRY_SECONDS", 0)
    async with world(tmp_path) as here:
        (ann,) = await members(here, "Ann")
        reader = await here.open(here.rooms.directory.oldest)
        changes, failures = here.fragments.changes, iter(range(2))

        def fail_at_first(*values: Any, **others: Any) -> str:
            if next(failures, None) is not None:
                raise RuntimeError
            return changes(*values, **others)

        monkeypatch.setattr(here.fragments, "changes", fail_at_first)
        await say(here, here.rooms.directory.oldest, ann, "hello")
        assert (await reader.settle()).ids() == ["message-1"]


async def test_a_gap_is_never_smaller_than_the_page_that_follows_it(tmp_path: Path) -> None:
    async with world(tmp_path, resume_limit=2, page_size=10) as here:
        (ann,) = await members(here, "Ann")
        away = await here.open(here.rooms.directory.oldest, ann)
        await away.drop()
        for number in range(8):
            await say(here, here.rooms.directory.oldest, ann, f"message {number}")
        await here.settle()
        await away.connect()
        page = await away.settle()
        assert page.ids() == [f"message-{position}" for position in range(1, 9)]
        assert not page.soup.select(".gap")


def test_each_key_is_drawn_once() -> None:
    keys = [key for count in (1, 3, KEYS_DRAWN, 0, 1) for key in new_keys(count)]
    assert len(set(keys)) == len(keys) == KEYS_DRAWN + 5
    assert {len(key) for key in keys} == {KEY_LENGTH}
