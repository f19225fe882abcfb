"""The bus of several processes: LISTEN and NOTIFY, on a connection that heals itself."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from app.cluster import notify
from app.cluster.notify import PostgresBus
from app.metrics import BusMetrics
from app.store import topics
from tests.logs import until
from tests.postgres import Cluster

END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parlor bus' AND datname = '{}'"


class Ear:
    """One process' bus, and what it has heard."""

    def __init__(self, url: str) -> None:
        self.registry = CollectorRegistry()
        self.bus = PostgresBus(url, BusMetrics(self.registry))
        self.heard: list[tuple[str, int]] = []
        self.missed = 0
        self.bus.listen(lambda topic, position: self.heard.append((topic, position)))
        self.bus.on_missed(self._miss)

    def _miss(self) -> None:
        self.missed += 1

    def figure(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"parlor_bus_{name}")


@pytest.fixture
async def ears(postgres_url: str) -> AsyncIterator[list[Ear]]:
    one, other = Ear(postgres_url), Ear(postgres_url)
    async with one.bus.running(), other.bus.running():
        await until(lambda: bool(one.missed and other.missed))
        yield [one, other]


@pytest.fixture
def database(postgres_url: str) -> str:
    return postgres_url.rpartition("/")[2]


async def test_each_announcement_is_heard_once_in_every_other_process(ears: list[Ear]) -> None:
    one, other = ears
    one.bus.announce("room:1", 7)
    assert one.heard == [("room:1", 7)]
    await until(lambda: other.heard == [("room:1", 7)])
    other.bus.announce("rooms", 2)
    await until(lambda: len(one.heard) == 2)
    assert one.heard == other.heard == [("room:1", 7), ("rooms", 2)]


async def test_the_last_messages_are_reported_after_the_connection_closed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver tells in the loop's next turn."""
    listeners: list[tuple[asyncpg.Connection, Callable[..., None]]] = []

    async def listen(connection: asyncpg.Connection, channel: str, listener: Callable[..., None]) -> None:
        listeners.append((connection, listener))

    monkeypatch.setattr(asyncpg.Connection, "add_listener", listen)
    ear = Ear(postgres_url)
    async with ear.bus.running():
        await until(lambda: bool(ear.missed))
    ((connection, listener),) = listeners
    assert connection.is_closed()
    listener(connection, 0, notify.CHANNEL, *topics.write({"room:1": 7}))
    assert ear.heard == [("room:1", 7)]


async def test_lookups_do_not_notify_others(ears: list[Ear]) -> None:
    one, other = ears
    one.bus.hear("room:1", 7)
    one.bus.announce("rooms", 2)
    await until(lambda: bool(other.heard))
    assert one.heard == [("room:1", 7), ("rooms", 2)]
    assert other.heard == [("rooms", 2)]


@pytest.mark.breaks(
    "app/cluster/notify.py",
    "positions, self._waiting = self._waiting, {}",
    "positions = dict([self._waiting.popitem()])",
)
async def test_announcements_of_one_turn_are_merged(ears: list[Ear]) -> None:
    one, other = ears
    for position in range(1, 1001):
        one.bus.announce(f"room:{position % 10}", position)
    await until(lambda: len(other.heard) == 10)
    assert dict(other.heard) == {f"room:{position % 10}": position for position in range(991, 1001)}
    assert other.figure("notifications_received_total") == 1
    await until(lambda: one.figure("notifications_sent_total") == 1)


async def test_large_announcements_are_split(ears: list[Ear]) -> None:
    one, other = ears
    for room in range(1, 1001):
        one.bus.announce(f"room:{room}", 10**12)
    await until(lambda: len(other.heard) == 1000)
    assert other.figure("notifications_received_total") == 3


async def test_unreadable_notes_are_ignored_and_counted(ears: list[Ear], postgres_url: str) -> None:
    one, other = ears
    stranger = await asyncpg.connect(postgres_url)
    for note in ("", "hello", "room:1 x,room:2 2", "'; DROP TABLE rooms; --"):
        await stranger.execute("SELECT pg_notify('parlor', $1)", note)
    await stranger.close()
    one.bus.announce("rooms", 3)
    await until(lambda: ("rooms", 3) in other.heard)
    assert other.heard == [("room:2", 2), ("rooms", 3)]
    assert other.figure("notifications_unreadable_total") == 4


async def test_a_connection_that_ends_is_replaced_and_positions_are_polled(
    ears: list[Ear], postgres: Cluster, database: str
) -> None:
    one, other = ears
    await asyncio.to_thread(postgres.sql, END.format(database))
    await until(lambda: one.missed == other.missed == 2)
    assert one.figure("reconnects_total") == 1
    assert one.figure("connected") == 1
    one.bus.announce("room:1", 8)
    await until(lambda: other.heard == [("room:1", 8)])


@pytest.mark.breaks("app/cluster/notify.py", "except LOST as error:", "except LookupError as error:")
async def test_announcements_without_a_connection_are_sent_on_reconnect(
    ears: list[Ear], postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ears
    monkeypatch.setattr(notify, "LONGEST_PAUSE", 0.2)
    postgres.stop()
    try:
        one.bus.announce("room:1", 7)
        await until(lambda: one.figure("connected") == other.figure("connected") == 0)
        one.bus.announce("room:1", 8)
    finally:
        postgres.start()  # here: what a thread has started ends with it
    # The other hears of it, or knows that it may have missed something.
    # On a busy machine a connection may be given up and made once more, and all of this be told again.
    await until(lambda: bool(one.figure("notifications_sent_total")) and other.missed >= 2)
    assert set(other.heard) <= {("room:1", 8)}


@pytest.mark.breaks("app/cluster/notify.py", ", asyncpg.InternalClientError)", ")")
async def test_a_connection_that_ends_while_it_is_asked_is_replaced(
    ears: list[Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has been seen to raise its internal error then, when the database was stopped."""
    one, other = ears
    execute = asyncpg.Connection.execute

    async def end(*_: object) -> None:
        monkeypatch.setattr(asyncpg.Connection, "execute", execute)
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    monkeypatch.setattr(asyncpg.Connection, "execute", end)
    one.bus.announce("room:1", 7)
    await until(lambda: other.heard == [("room:1", 7)])
    assert one.figure("reconnects_total") == 1


class Broken:
    """A connection that breaks when it is used."""

    async def execute(self, *_: object) -> None:
        raise OSError("broken by a test")


@pytest.mark.breaks(
    "app/cluster/notify.py", "topics.raise_to(self._waiting, topic, position)\n            raise", "raise"
)
async def test_unsent_announcements_wait_for_the_next_connection(postgres_url: str) -> None:
    ear = Ear(postgres_url)
    ear.bus.announce("room:1", 7)
    ear.bus.announce("rooms", 2)
    with pytest.raises(OSError, match="broken"):
        await ear.bus._ring(Broken())
    assert ear.bus._waiting == {"room:1": 7, "rooms": 2}


async def test_announcements_during_a_stop_are_sent(ears: list[Ear], postgres_url: str) -> None:
    one, _ = ears
    last = Ear(postgres_url)
    async with last.bus.running():
        await until(lambda: last.missed == 1)
        last.bus.announce("room:1", 9)
    await until(lambda: one.heard == [("room:1", 9)])


@pytest.mark.breaks("app/cluster/notify.py", "metrics.connected.set(0)  # not yet\n", "pass\n")
async def test_a_bus_without_a_connection_reports_none() -> None:
    assert Ear("postgresql://parlor@127.0.0.1:1/parlor").figure("connected") == 0


async def test_the_end_waits_for_no_database_that_is_gone() -> None:
    nowhere = Ear("postgresql://parlor@127.0.0.1:1/parlor")
    async with asyncio.timeout(2 * notify.ANSWER_SECONDS), nowhere.bus.running():
        nowhere.bus.announce("room:1", 9)
    assert nowhere.heard == [("room:1", 9)]
