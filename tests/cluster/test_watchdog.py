"""The watchdog: polls positions, and knows when it cannot."""

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from app.cluster import watchdog
from app.cluster.bus import LocalBus
from app.cluster.watchdog import Watchdog
from app.metrics import BusMetrics
from app.store.errors import StoreUnavailable
from tests.conftest import Clock
from tests.logs import until

SECONDS = 2.0


class Missing(LocalBus):
    """A bus that can say that it missed something."""

    def on_missed(self, look: Callable[[], None]) -> None:
        self.missed = look


class Database:
    """Knows how far everything has come; tells it where it is not `gone`, and `answering`."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.looks = 0
        self.gone = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def look(self) -> dict[str, int]:
        self.looks += 1
        await self.answering.wait()
        if self.gone:
            raise StoreUnavailable("gone")
        return dict(self.positions)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def bus() -> Missing:
    return Missing()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def watch(database: Database, bus: Missing, clock: Clock, registry: CollectorRegistry) -> Watchdog:
    return Watchdog(database.look, bus, SECONDS, lambda: clock.elapsed, BusMetrics(registry))


async def test_polled_positions_go_to_the_listeners(watch: Watchdog, database: Database, bus: Missing) -> None:
    heard: list[tuple[str, int]] = []
    bus.listen(lambda topic, position: heard.append((topic, position)))
    database.positions = {"room:1": 7, "rooms": 2}
    assert await watch.poll()
    assert heard == [("room:1", 7), ("rooms", 2)]


async def test_the_watchdog_counts_missed_announcements(
    watch: Watchdog, database: Database, bus: Missing, registry: CollectorRegistry
) -> None:
    def looks(found: str) -> float | None:
        return registry.get_sample_value("parlor_looks_total", {"found": found})

    database.positions = {"room:1": 7}
    await watch.poll()
    bus.announce("room:1", 8)
    database.positions = {"room:1": 8, "room:2": 4}
    await watch.poll()
    assert (looks("nothing"), looks("something")) == (2, 0)
    database.positions = {"room:1": 9, "room:2": 4}
    await watch.poll()
    assert (looks("nothing"), looks("something")) == (2, 1)


@pytest.mark.breaks("app/cluster/watchdog.py", "not self._failed and ", "")
async def test_a_watchdog_that_cannot_poll_is_not_current_and_recovers_by_itself(
    watch: Watchdog, database: Database
) -> None:
    assert watch.is_current()
    database.gone = True
    assert not await watch.poll()
    assert not watch.is_current()
    database.gone = False
    assert await watch.poll()
    assert watch.is_current()


@pytest.mark.breaks("app/cluster/watchdog.py", "age <= self._seconds + LATE_SECONDS", "True")
async def test_a_watchdog_that_waits_for_an_answer_is_not_current_either(
    watch: Watchdog, database: Database, clock: Clock
) -> None:
    assert await watch.poll()
    database.answering.clear()
    looking = asyncio.create_task(watch.poll())
    await asyncio.sleep(0)
    clock.advance(seconds=SECONDS + watchdog.LATE_SECONDS)
    assert watch.is_current()
    clock.advance(seconds=0.1)
    assert not watch.is_current()
    assert watch.is_current(grace=SECONDS + 2)
    database.answering.set()
    # When it began is what counts: what was committed since then it did not see.
    assert await looking
    assert not watch.is_current()


async def test_an_answer_that_does_not_come_is_not_waited_for(
    database: Database, bus: Missing, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE_SECONDS", 0)
    watch = Watchdog(database.look, bus, 0.01, lambda: 0.0, BusMetrics(registry))
    database.answering.clear()
    assert not await watch.poll()
    assert not watch.is_current()


async def test_it_polls_regularly_and_at_once_after_a_lost_connection(
    watch: Watchdog, database: Database, bus: Missing
) -> None:
    async with watch.running(on_recovery=lambda: None):
        await until(lambda: database.looks > 0)
        bus.missed()
        await until(lambda: database.looks > 1)


async def test_recovery_is_reported_once(watch: Watchdog, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "RETRY_SECONDS", 0.001)
    sights: list[int] = []
    database.gone = True
    async with watch.running(on_recovery=lambda: sights.append(database.looks)):
        await until(lambda: database.looks > 2)
        assert sights == []
        database.gone = False
        await until(lambda: bool(sights))
        assert await watch.poll()
    assert len(sights) == 1


@pytest.mark.breaks(
    "app/cluster/watchdog.py", "except Exception:  # whatever it is: it has to go on", "except LookupError:"
)
async def test_the_bus_survives_any_error(
    watch: Watchdog, database: Database, bus: Missing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "RETRY_SECONDS", 0.001)

    def fail(topic: str, position: int) -> None:
        raise ValueError(topic)

    bus.listen(fail)
    database.positions = {"room:1": 1}
    async with watch.running(on_recovery=lambda: None):
        await until(lambda: database.looks > 2)
