"""Several processes, and a database that is gone, for all of them or for one: nothing is lost, nothing seems well that
is not, and everything is well again by itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic

import pytest

from app.cluster import notify, watchdog
from app.settings import Settings
from app.store import postgres as postgres_engine
from tests.postgres import Cluster
from tests.process import Browser, Process, browsers, process, until, until_async
from tests.proxy import Proxy, proxying

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"


@pytest.fixture
def shared(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(postgres_engine, "LONGEST_READ", 1.0)
    monkeypatch.setattr(notify, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(notify, "CHECK_SECONDS", 0.2)
    return Settings(
        data_dir=tmp_path,
        database_url=postgres_url,
        presence_grace=2,
        poll_seconds=0.25,
        heartbeat=0.25,
        stale_after=2,
        lost_after=4,
        lock_wait_seconds=1,
        allowed_hosts=("testserver",),
    )


@pytest.fixture
async def one(shared: Settings) -> AsyncIterator[Process]:
    async with process(shared) as started:
        yield started


@pytest.fixture
def link(postgres: Cluster) -> Iterator[Proxy]:
    """The network between the other process and the database."""
    with proxying(postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def other(shared: Settings, one: Process, link: Proxy, postgres: Cluster) -> AsyncIterator[Process]:
    """A process that reaches the database over `link`."""
    url = shared.database_url.replace(f":{postgres.port}/", f":{link.port}/")
    async with process(shared.model_copy(update={"database_url": url})) as started:
        yield started


@pytest.fixture
async def both(one: Process, other: Process) -> AsyncIterator[list[Browser]]:
    async with browsers((one, "Ann"), (other, "Bob")) as opened:
        await until(lambda: all(each.members == ["Ann", "Bob"] for each in opened))
        # A connection that is lost while it is made is another story, and asyncpg complains of it to the loop.
        for each in (one, other):
            await until_async(lambda each=each: hears(each))  # type: ignore[misc]
        yield opened


async def hears(process: Process) -> bool:
    return await process.figure("parlor_bus_connected") == 1


async def is_ready(process: Process) -> bool:
    async with process.client() as client:
        return (await client.get("/readyz")).status_code == 200


async def is_out_of_sight(process: Process) -> bool:
    async with process.client() as client:
        answer = await client.get("/readyz")
    return (answer.status_code, answer.text) == (503, "the database cannot be polled\n")


class Frames:
    """When frames came, on the monotonic clock."""

    def __init__(self, *browsers: Browser) -> None:
        self.times = [monotonic()]
        for browser in browsers:
            browser.on_frame = lambda frame: self.times.append(monotonic())

    @property
    def since_the_last(self) -> float:
        """Seconds of silence."""
        return monotonic() - self.times[-1]


async def test_a_database_that_stops_and_starts_again(
    both: list[Browser], one: Process, other: Process, postgres: Cluster
) -> None:
    ann, bob = both
    assert await ann.said("before") == ""
    await until(lambda: bob.bodies == ["before"])
    assert (await ann.request("POST", "/rooms", data={"name": "Tea"})).status_code == 200
    frames = Frames(ann, bob)
    postgres.stop()
    stopped = monotonic()
    for place in (one, other):
        await until_async(lambda place=place: is_out_of_sight(place))  # type: ignore[misc]
    # Readers read what is kept, also of a room at which nobody looks; those whose sockets open are put off.
    reader = Browser(one)
    await reader.load()
    assert reader.bodies == ["before"]
    assert (await reader.request("GET", "/rooms/tea")).status_code == 200
    coming = asyncio.create_task(reader.connect())
    # Nobody who only listens hears anything that looks like life.
    await until(lambda: monotonic() - stopped > 1)
    assert frames.times[-1] < stopped + 0.1
    # Writers are told, and keep their text.
    for each in both:
        assert "cannot store anything" in await each.said("during")
    assert not coming.done()
    postgres.start()
    await coming
    assert await ann.said("during") == ""
    assert await bob.said("after") == ""
    for each in (ann, bob, reader):
        await until(lambda each=each: each.bodies == ["before", "during", "after"])  # type: ignore[misc]
        assert each.members == ["Ann", "Bob"]
    for place in (one, other):
        await until_async(lambda place=place: is_ready(place))  # type: ignore[misc]
    await reader.disconnect()


async def test_connections_that_are_cut_are_noticed_by_nobody(
    both: list[Browser], postgres: Cluster, shared: Settings
) -> None:
    ann, bob = both
    said = []
    for number in range(20):
        if number % 5 == 2:
            await asyncio.to_thread(postgres.sql, END.format(shared.database_url.rpartition("/")[2]))
        answer = await (ann, bob)[number % 2].said(f"{number}")
        if answer:
            # At the very moment of the commit, nobody can say what came of it: said again, it is there once.
            assert "cannot store anything" in answer
            assert await (ann, bob)[number % 2].said(f"{number}") == ""
        said.append(f"{number}")
    for each in both:
        await until(lambda each=each: each.bodies == said)  # type: ignore[misc]


@pytest.mark.breaks("app/rooms/rooms.py", "if await self.cluster.poll():", "if True:")
@pytest.mark.breaks(
    "app/rooms/rooms.py", "if self.cluster.is_current():  # whatever is sent looks like a sign of life", "if True:"
)
async def test_a_process_that_loses_the_database_does_not_look_alive_and_is_well_again_by_itself(
    both: list[Browser], one: Process, other: Process, link: Proxy, shared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE_SECONDS", 0.25)
    ann, bob = both
    carl = Browser(other)
    await carl.take_name("Carl")
    await carl.load()  # they are known here from now on
    dora = Browser(other, "Dora")
    await dora.__aenter__()
    await until(lambda: ann.members == bob.members == ["Ann", "Bob", "Dora"])
    frames = Frames(bob)
    link.stall()
    lost = monotonic()
    await dora.disconnect()
    await until_async(lambda: is_out_of_sight(other))
    await until_async(lambda: is_ready(one))  # with so little patience, a busy machine may keep it waiting, too
    # Those who come are put off, though nobody is told that the link is gone.
    await carl.load()
    coming = asyncio.create_task(carl.connect())
    assert await ann.said("meanwhile") == ""
    await until(lambda: monotonic() - lost > shared.stale_after)
    assert frames.since_the_last > shared.stale_after - 0.1, "the page would not be yellow"
    assert bob.bodies == []
    # What is kept is shown for as long as its reader may take it for what is there.
    await until(lambda: monotonic() - lost > shared.lost_after)
    assert (await carl.request("GET", "/")).status_code == 503
    assert frames.since_the_last > shared.lost_after - 0.1, "the page would not be red"
    link.heal()
    await until(lambda: bob.bodies == ["meanwhile"])
    await until(lambda: frames.since_the_last < 0.5)
    await until_async(lambda: is_ready(other))
    await coming
    assert carl.bodies == ["meanwhile"]
    assert await bob.said("here again") == ""
    await until(lambda: ann.bodies == bob.bodies == carl.bodies == ["meanwhile", "here again"])
    await until(lambda: ann.members == bob.members == carl.members == ["Ann", "Bob", "Carl"])
    await carl.disconnect()


async def test_a_network_that_forgets_its_connections(both: list[Browser], link: Proxy) -> None:
    """A firewall that was started anew: what was open is silent for ever, and what is opened is well."""
    ann, bob = both
    link.lose()
    assert await ann.said("meanwhile") == ""
    await until(lambda: bob.bodies == ["meanwhile"], patience=20)
    await until_async(lambda: stored(bob, "here again"))
    await until(lambda: ann.bodies == ["meanwhile", "here again"])


async def stored(browser: Browser, text: str) -> bool:
    """Say something as if for the first time, and return whether it is stored."""
    return await browser.said(text) == ""
