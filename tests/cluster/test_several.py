"""Several processes on one database: what people see, whichever process they are at."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from app.cluster.notify import PostgresBus
from app.operations.removing import remove_room
from app.settings import KEY_FILE, Settings
from app.web.cookies import COOKIE
from app.web.identity import Signer
from app.web.keys import read_keys
from tests.page import Page
from tests.postgres import Cluster
from tests.process import Browser, Process, browsers, process, until, until_async

# On a busy machine a poll may come before its notification: not in tests that say which of them it was.
by_bell_alone = pytest.mark.parametrize("shared", [10], indirect=True)


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Settings:
    """Settings of all processes; a parameter is how seldom they look, which they also do before each heartbeat."""
    pause = getattr(request, "param", 0.5)
    return Settings(
        data_dir=tmp_path / "one",
        database_url=postgres_url,
        presence_grace=1,
        poll_seconds=pause,
        heartbeat=pause,
        stale_after=3 * pause,
        lost_after=6 * pause,
        allowed_hosts=("testserver",),
    )


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process that starts after this hears a notification."""
    monkeypatch.setattr(PostgresBus, "_heard", lambda *_: None)


@pytest.fixture
async def one(shared: Settings) -> AsyncIterator[Process]:
    async with process(shared) as started:
        yield started


@pytest.fixture
async def other(shared: Settings, one: Process, tmp_path: Path) -> AsyncIterator[Process]:
    """Another process on another machine."""
    async with process(shared.model_copy(update={"data_dir": tmp_path / "other"})) as started:
        yield started


@pytest.fixture
async def both(one: Process, other: Process) -> AsyncIterator[list[Browser]]:
    """Ann at one process, Bob at the other, and somebody without a name at each, all in the lobby."""
    async with browsers((one, "Ann"), (other, "Bob"), (one, ""), (other, "")) as opened:
        yield opened


async def all_show(opened: list[Browser], *bodies: str) -> None:
    for each in opened:
        await until(lambda each=each: each.bodies == list(bodies))  # type: ignore[misc]


async def test_people_at_different_processes_see_each_other(both: list[Browser]) -> None:
    ann, bob, *_ = both
    assert await ann.said("hello") == ""
    await all_show(both, "hello")
    assert await bob.said("hello yourself") == ""
    await all_show(both, "hello", "hello yourself")


async def test_concurrent_messages_at_all_processes_are_shown_once_in_one_order(both: list[Browser]) -> None:
    ann, bob, *_ = both
    for number in range(10):
        for each in (ann, bob):
            each.say(f"{each.name} {number}")
    for browser in both:
        await until(lambda browser=browser: len(browser.bodies) == 20)  # type: ignore[misc]
    assert all(each.bodies == ann.bodies for each in both)
    for name in ("Ann", "Bob"):
        assert [body for body in ann.bodies if name in body] == [f"{name} {number}" for number in range(10)]


async def test_the_same_submission_at_two_processes_is_one_message(both: list[Browser], other: Process) -> None:
    ann, *_ = both
    async with Browser(other).of(ann) as again:
        ann.say("once", "a-key")
        again.say("once", "a-key")
        await until(lambda: ann.notice == again.notice == "")
        await all_show([*both, again], "once")


async def test_changes_are_shown_at_all_processes(both: list[Browser], one: Process) -> None:
    ann, bob, *_ = both
    await ann.said("helo")
    await all_show(both, "helo")
    ann.send(pick="1", edit="hello")
    await all_show(both, "hello")
    bob.send(pick="1", react="👍")
    for each in both:
        await until(lambda each=each: len(each.page.soup.select(".reaction")) == 1)  # type: ignore[misc]
    fresh = Browser(one).of(ann)
    await fresh.load()
    assert all(each.page.timeline() == fresh.page.timeline() for each in both)
    ann.send(pick="1", delete="yes")
    await all_show(both)


@pytest.mark.breaks("app/rooms/typing_notes.py", "self._bus.announce(topics.typing_in", "(topics.typing_in")
async def test_typing_is_shown_at_all_processes(both: list[Browser]) -> None:
    ann, bob, *_ = both
    await until(all_see(both, "Ann", "Bob"))
    ann.send(typing="yes", message="hel")

    def typing(each: Browser) -> str:
        return each.page.show("#typing")

    await until(lambda: all("Ann" in typing(each) for each in both))
    await ann.said("hello")
    await until(lambda: not any("Ann" in typing(each) for each in both))
    bob.send(typing="yes", message="hello @an")
    await until(lambda: all("Bob" in typing(each) for each in both))
    bob.say("hello @an", "a-key")  # who is elsewhere
    await all_show(both, "hello", "hello @Ann")


@by_bell_alone
@pytest.mark.breaks("app/main.py", "bus.announce(topics.log_of(room_id), changes.upto)", "pass")
async def test_a_notification_delivers_it_and_not_the_poll(both: list[Browser], other: Process) -> None:
    ann, *_ = both
    for number in range(5):
        await ann.said(f"{number}")
        # One by one: the first look at a room finds nothing new there, whatever it brings.
        await all_show(both, *map(str, range(number + 1)))
    assert await other.figure('parlor_looks_total{found="something"}') == 0


@pytest.mark.breaks("app/cluster/cluster.py", "store.positions(served())", "store.positions({})")
async def test_a_process_without_notifications_finds_everything_by_polling(
    deaf: None, both: list[Browser], other: Process
) -> None:
    ann, bob, *_ = both
    await ann.said("hello")
    await all_show(both, "hello")
    assert (await ann.request("POST", "/rooms", data={"name": "Tea"})).status_code == 200
    await until(lambda: bob.rooms == ["Lobby", "Tea"])
    old = httpx2.Cookies(ann.cookies)
    await ann.take_name("Anna")
    await until_async(lambda: is_nobody(other, old))


@pytest.mark.breaks("app/rooms/delivering.py", "dict.fromkeys(self._history.newest.rooms(), 0) | shown", "shown")
async def test_a_cached_page_is_invalidated_like_an_open_one(deaf: None, one: Process, other: Process) -> None:
    reader = Browser(other)
    await reader.load()
    async with browsers((one, "Ann")) as (ann,):
        await ann.said("hello")

    async def shows_it() -> bool:
        await reader.load()
        return reader.bodies == ["hello"]

    await until_async(shows_it)


async def test_foreign_notifications_do_no_harm(both: list[Browser], postgres_url: str) -> None:
    ann, bob, *_ = both
    stranger = await asyncpg.connect(postgres_url)
    notes = (
        "",
        "room:1",
        "room:1 999999999",
        "rooms 999999999",
        "names 999999999",
        "present:1 99",
        "room:99 9",
        "x" * 7999,
    )
    for note in notes:
        await stranger.execute("SELECT pg_notify('parlor', $1)", note)
    await stranger.close()
    await ann.said("hello")
    await all_show(both, "hello")
    assert (await ann.request("POST", "/rooms", data={"name": "Tea"})).status_code == 200
    await until(lambda: bob.rooms == ["Lobby", "Tea"])


# Pages are the same


async def test_pages_that_were_live_that_moved_and_that_are_loaded_now_are_the_same(
    both: list[Browser], one: Process, other: Process
) -> None:
    ann, bob, _, moving = both
    for number in range(12):
        if number % 3 == 0:
            await moving.disconnect()
        await (ann, bob)[number // 2 % 2].said(f"message {number}")
        if number % 3 == 1:
            await moving.connect((one, other)[number % 2])
        if number == 5:
            await ann.take_name("Anna")
            await ann.closed.wait()
            await ann.connect()
        if number == 7:
            await bob.request("POST", "/rooms", data={"name": "Tea"})
    await all_show(both, *(f"message {number}" for number in range(12)))
    for each in both:
        await until(lambda each=each: each.rooms == ["Lobby", "Tea"])  # type: ignore[misc]
    loaded = [Browser(one), Browser(other)]
    for browser in loaded:
        await browser.load()
    shown = [[*each.page.timeline(), each.page.show("#cursor")] for each in (*both, *loaded)]
    assert all(each == shown[0] for each in shown)


# Rooms


@by_bell_alone
@pytest.mark.breaks("app/rooms/creating.py", "self._bus.announce(topics.ROOMS, room.id)", "pass")
async def test_a_room_that_is_made_elsewhere_is_in_everybodys_list(both: list[Browser], other: Process) -> None:
    ann, *_ = both
    for name in ("Tea", "Cake"):
        assert (await ann.request("POST", "/rooms", data={"name": name})).status_code == 200
    for each in both:
        await until(lambda each=each: each.rooms == ["Lobby", "Tea", "Cake"])  # type: ignore[misc]
    assert await other.figure('parlor_looks_total{found="something"}') == 0
    loaded = Browser(other)
    await loaded.load()
    assert loaded.rooms == ["Lobby", "Tea", "Cake"]


async def test_a_room_is_found_at_once_though_nobody_has_heard_of_it(
    deaf: None, both: list[Browser], other: Process
) -> None:
    ann, bob, *_ = both
    await ann.request("POST", "/rooms", data={"name": "Tea"})
    await bob.load("/rooms/tea")
    await ann.request("POST", "/rooms", data={"name": "Cake"})
    visitor = Browser(other)
    await visitor.load("/")
    await visitor.connect(slug="cake")
    assert visitor.is_connected
    await visitor.disconnect()
    assert (await bob.request("GET", "/rooms/none")).status_code == 404


async def test_concurrent_creations_at_several_processes_make_one_room(both: list[Browser]) -> None:
    ann, bob, *_ = both
    made = [each.request("POST", "/rooms", data={"name": name}) for name in ("Tea", "TEA!") for each in (ann, bob)]
    answers = await asyncio.gather(*made)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert {answer.url.path for answer in answers} == {"/rooms", "/rooms/tea", "/rooms/tea-2"}
    for each in both:
        await until(lambda each=each: len(each.rooms) == 3)  # type: ignore[misc]
    loaded = Browser(bob.process)
    await loaded.load()
    addresses = [[link["href"] for link in each.page.soup.select("#rooms a")] for each in (*both, loaded)]
    assert all(each == addresses[0] for each in addresses)


# Names


async def is_nobody(process: Process, cookies: httpx2.Cookies) -> bool:
    """Whether `process` takes `cookies` for nobody's."""
    async with process.client(cookies) as client:
        return 'id="join"' in (await client.get("/")).text


@by_bell_alone
@pytest.mark.breaks("app/main.py", "authenticator.forget(member)\n", "pass\n")
async def test_a_cookie_from_before_a_renaming_is_nobodys_in_any_process(both: list[Browser], other: Process) -> None:
    ann, *_ = both
    old = httpx2.Cookies(ann.cookies)
    assert not await is_nobody(other, old)
    assert await ann.take_name("Anna") == 200
    await until_async(lambda: is_nobody(other, old))
    assert await other.figure('parlor_looks_total{found="something"}') == 0
    assert not await is_nobody(other, ann.cookies)


@by_bell_alone
@pytest.mark.breaks("app/main.py", "rooms.creation.rename(member)", "pass")
async def test_after_a_renaming_elsewhere_only_the_new_cookie_works(both: list[Browser], other: Process) -> None:
    ann, bob, *_ = both
    async with Browser(other).of(ann) as own, Browser(other).of(ann) as copied:
        await ann.take_name("Anna")
        await until(lambda: "Anna" in bob.members)
        for each in (ann, own, copied):
            await until(each.closed.is_set)
            assert each.code == 1012  # come back
        for each in (ann, own.of(ann), copied):
            await each.connect()
        assert await own.said("who am I") == ""
        await all_show(both, "who am I")
        assert [name.text for name in bob.page.soup.select(".message__author")] == ["Anna"]
        assert "Your session in this browser has ended" in copied.notice
        assert "Choose a name" in await copied.said("and I")
        await all_show(both, "who am I")


@by_bell_alone
async def test_signing_out_reaches_every_process(both: list[Browser], other: Process) -> None:
    ann, bob, *_ = both
    async with Browser(other).of(ann) as copied:
        old = httpx2.Cookies(ann.cookies)
        assert 'id="join"' in (await ann.request("POST", "/sign-out", data={})).text
        await until(copied.closed.is_set)
        assert copied.code == 1012
        assert "You signed out" in copied.notice
        await copied.connect()
        assert "Choose a name" in await copied.said("still Ann")
        assert await is_nobody(other, old)
        assert bob.bodies == []


async def test_a_removed_room_is_closed_in_every_process(
    both: list[Browser], one: Process, other: Process, shared: Settings
) -> None:
    ann, *_ = both
    await ann.request("POST", "/rooms", data={"name": "Tea"})
    in_tea = [Browser(one), Browser(other)]
    for each in in_tea:
        await each.load("/rooms/tea")
        await each.connect(slug="tea")
    await asyncio.to_thread(lambda: list(remove_room(shared, "tea")))
    for each in in_tea:
        await until(each.closed.is_set)
        assert each.code == 1008  # stay away
        assert each.notice == "This room was removed."
    for each in both:
        await until(lambda each=each: each.rooms == ["Lobby"])  # type: ignore[misc]
        assert (await each.request("GET", "/rooms/tea")).status_code == 404


async def test_a_name_that_two_take_at_once_is_given_to_one(one: Process, other: Process) -> None:
    contenders = [Browser(process) for process in (one, other) * 3]
    answers = await asyncio.gather(*(each.take_name("Ann") for each in contenders))
    assert sorted(answers) == [200, *[409] * 5]


# Keys


async def test_the_first_to_start_makes_a_key_for_all_and_later_ones_take_it(
    shared: Settings, one: Process, other: Process
) -> None:
    async with browsers((one, "Ann")) as (ann,):
        assert not await is_nobody(other, ann.cookies)
    async with process(shared) as later:
        assert not await is_nobody(later, ann.cookies)
    assert not shared.key_file.exists()


@pytest.mark.breaks(
    "app/web/keys.py", "settings.key_file.read_text() if settings.key_file.exists() else new_key()", "new_key()"
)
async def test_a_copied_key_file_keeps_all_sessions(shared: Settings, tmp_path: Path) -> None:
    key_file = tmp_path / "one" / KEY_FILE
    (key,) = read_keys(key_file)
    key_file.write_text(f"{key}\nnewer\n")
    async with process(shared) as one:
        ann = Browser(one)
        await ann.take_name("Ann")
        member = Signer(["newer"], shared.session_lifetime).read(ann.cookies[COOKIE])
        assert member
        old = httpx2.Cookies({COOKIE: Signer([key], shared.session_lifetime).sign(member.member)})
    key_file.unlink()
    async with process(shared) as other:
        for cookies in (ann.cookies, old):
            assert not await is_nobody(other, cookies)


async def test_a_key_that_is_set_counts_alone(shared: Settings, one: Process) -> None:
    ann = Browser(one)
    await ann.take_name("Ann")
    async with process(shared.model_copy(update={"secret_key": SecretStr("another key, of 16")})) as other:
        assert await is_nobody(other, ann.cookies)


# Open drafts


@pytest.mark.breaks(
    "app/rooms/posting.py", "await self._shared.recall(self._sent, author, drafts, self._now())", "pass"
)
@pytest.mark.breaks("app/rooms/posting.py", "self._shared.share(self._sent.lingering(self._now()))", "pass")
async def test_text_typed_after_enter_joins_the_next_message_at_another_process(
    both: list[Browser], other: Process, postgres: Cluster, postgres_url: str
) -> None:
    ann, *_ = both
    database = postgres_url.rpartition("/")[2]
    ann.send(message="first", key="a", open="yes")
    await all_show(both, "first")

    async def is_shared() -> bool:
        return postgres.sql("SELECT body FROM drafts", database) == ["first"]

    await until_async(is_shared)
    await ann.disconnect()
    for place in (other, other):  # whoever did not get the receipt asks again
        await ann.connect(place, message=["firsts", "econd"], key=["a", "b"])
        await until(lambda: ann.bodies == ["first", "second"])
        await ann.disconnect()
    await all_show(both[1:], "first", "second")


@pytest.mark.breaks("app/rooms/posting.py", "self._sent.release(author, draft)", "pass")
async def test_released_drafts_are_not_shared(both: list[Browser], postgres: Cluster, postgres_url: str) -> None:
    ann, bob, *_ = both
    for number in range(3):
        ann.send(message=f"{number}", key=f"k{number}", open="yes")
        ann.send(message=f"{number}", key=f"k{number}")
    bob.send(message="left open", key="k", open="yes")

    async def is_shared() -> bool:
        return bool(postgres.sql("SELECT body FROM drafts WHERE body = 'left open'", database))

    database = postgres_url.rpartition("/")[2]
    await until_async(is_shared)
    assert postgres.sql("SELECT count(*) FROM drafts", database) == ["1"]


# Limits


@pytest.fixture
async def strict(shared: Settings) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes of a chat in which little is allowed, and nothing comes back meanwhile."""
    little = {"messages_burst": 6, "messages_per_second": 1e-6, "creations_burst": 3, "creations_per_minute": 1e-6}
    settings = shared.model_copy(update=little | {"address_messages_burst": 10, "address_messages_per_second": 1e-6})
    async with process(settings) as one, process(settings) as other:
        yield one, other


@pytest.mark.breaks(
    "app/rooms/limiting.py", "(denial := await self._shared.message(member.id, address))", "(denial := None)"
)
async def test_a_burst_that_is_spread_over_processes_is_no_larger(strict: tuple[Process, Process]) -> None:
    one, other = strict
    async with browsers((one, "Ann")) as (ann,), Browser(other).of(ann) as again:
        answers = [await (ann, again)[number % 2].said(f"message {number}") for number in range(12)]
        assert [bool(answer) for answer in answers] == [False] * 6 + [True] * 6
        assert all("too fast. Wait" in answer for answer in answers[6:])
        await until(lambda: len(ann.bodies) == len(again.bodies) == 6)


async def test_message_limits_hold_across_processes(strict: tuple[Process, Process]) -> None:
    one, other = strict
    async with browsers((one, "Ann"), (other, "Bob")) as (ann, bob):
        answers = [await each.said(f"{number}{each.name}") for number in range(6) for each in (ann, bob)]
        assert [bool(answer) for answer in answers] == [False] * 10 + [True] * 2
        assert "from your address. Wait" in answers[-1]


@pytest.mark.breaks("app/rooms/limiting.py", "self._shared.refund_message(member.id, address)", "pass")
async def test_the_same_submission_again_counts_once(strict: tuple[Process, Process]) -> None:
    one, other = strict
    async with browsers((one, "Ann")) as (ann,), Browser(other).of(ann) as again:
        for each in (ann, again) * 8:
            each.say("once", "a-key")
            await until(lambda each=each: each.notice != "?")  # type: ignore[misc]
            assert each.notice == ""
        assert [await ann.said(f"{number}") for number in range(5)] == [""] * 5


@pytest.mark.breaks("app/rooms/limiting.py", "(denial := await self._shared.creation(address))", "(denial := None)")
async def test_creation_limits_hold_across_processes(strict: tuple[Process, Process]) -> None:
    one, other = strict
    answers = [await Browser(place).take_name(f"Name {number}") for number, place in enumerate((one, other) * 3)]
    assert answers == [200] * 3 + [429] * 3


# Presence


def all_see(opened: list[Browser], *names: str) -> Callable[[], bool]:
    return lambda: all(each.members == list(names) for each in opened)


async def test_the_member_list_covers_all_processes(both: list[Browser], one: Process, other: Process) -> None:
    await until(all_see(both, "Ann", "Bob"))
    async with browsers((other, "Carl")):
        await until(all_see(both, "Ann", "Bob", "Carl"))
    await until(all_see(both, "Ann", "Bob"))
    for place in (one, other):
        loaded = Browser(place)
        await loaded.load()
        assert loaded.members == ["Ann", "Bob"]


@pytest.mark.breaks("app/rooms/rooms.py", "return await self.cluster.members_elsewhere(room.id)", "return []")
@pytest.mark.breaks("app/rooms/resuming.py", "await self._cluster.load_presence(audience)", "pass")
async def test_a_first_page_shows_members_at_other_processes(one: Process, other: Process) -> None:
    async with browsers((one, "Ann")):
        reader = Browser(other)

        async def sees_her() -> bool:
            await reader.load()
            return reader.members == ["Ann"]

        await until_async(sees_her)
        reader.page = Page(reader.page.soup.decode().replace(">Ann<", ">Nobody<"))
        await reader.connect()
        assert reader.members == ["Ann"]
        await reader.disconnect()


async def test_moving_to_another_process_is_no_absence(both: list[Browser], one: Process, other: Process) -> None:
    ann, _, *readers = both
    await until(all_see(both, "Ann", "Bob"))
    frames = [list[str]() for _ in readers]
    for reader, noted in zip(readers, frames, strict=True):
        reader.on_frame = noted.append
    for place in (other, one, other):
        await ann.disconnect()
        await ann.connect(place)
    async with browsers((one, "Carl")):
        await until(all_see(readers, "Ann", "Bob", "Carl"))
    await until(all_see(readers, "Ann", "Bob"))
    lists = [frame for noted in frames for frame in noted if 'id="members"' in frame]
    assert lists
    assert all("<bdi>Ann</bdi>" in frame for frame in lists)


async def test_a_process_that_stops_leaves_its_people_for_the_grace_in_which_they_come_back(
    shared: Settings, one: Process
) -> None:
    async with browsers((one, "Bob")) as (bob,):
        async with process(shared) as stopping:
            ann = Browser(stopping, "Ann")
            await ann.__aenter__()
            await until(lambda: bob.members == ["Ann", "Bob"])
            lists: list[str] = []
            bob.on_frame = lists.append
            await ann.disconnect()
        await ann.connect(one)
        await ann.said("here again")
        await asyncio.sleep(shared.presence_grace + 2 * shared.poll_seconds)
        assert bob.members == ["Ann", "Bob"]
        assert all("<bdi>Ann</bdi>" in frame for frame in lists if 'id="members"' in frame)
        await ann.disconnect()


@pytest.mark.breaks(
    "app/cluster/presence.py", "expiry = self._expiry if self._may_judge(began) else None", "expiry = None"
)
async def test_a_process_that_is_killed_takes_its_people_with_it(
    one: Process, other: Process, postgres: Cluster, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    async with browsers((one, "Bob"), (other, "Carl")) as both:
        await Browser(one).take_name("Ann")
        # What one that was killed leaves behind.
        postgres.sql("INSERT INTO processes VALUES ('killed', now())", database)
        postgres.sql("INSERT INTO attendance SELECT 1, 'killed', id FROM members WHERE name = 'Ann'", database)
        postgres.sql("UPDATE presence SET version = version + 1", database)
        await until(all_see(both, "Ann", "Bob", "Carl"))
        await until(all_see(both, "Bob", "Carl"))
        assert postgres.sql("SELECT count(*) FROM processes", database) == ["2"]


async def test_presence_is_written_again_after_the_database_lost_it(
    both: list[Browser], postgres: Cluster, postgres_url: str
) -> None:
    await until(all_see(both, "Ann", "Bob"))
    postgres.sql("TRUNCATE presence, attendance, processes", postgres_url.rpartition("/")[2])
    async with browsers((both[0].process, "Carl")):
        await until(all_see(both, "Ann", "Bob", "Carl"))
    await until(all_see(both, "Ann", "Bob"))
