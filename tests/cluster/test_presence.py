"""Presence across processes: each writes its own and reads the others'."""

import asyncio
from collections.abc import Collection
from typing import cast

import pytest

from app.chat.messages import Member
from app.cluster import presence
from app.cluster.bus import LocalBus
from app.cluster.cluster import Cluster
from app.cluster.presence import SharedPresence
from app.delivery.hub import Audience, Hub
from app.store.cluster_queries import Attendance, Attended, Seat
from app.store.errors import StoreUnavailable
from app.store.shared_tables import SharedTables
from tests.cast import ANN, BOB, LOBBY, WATERCOOLER
from tests.conftest import Clock
from tests.logs import until

GRACE, PAUSE = 10.0, 2.0
EXPIRY = 8.0


class Shared:
    """What processes share, as far as it is about who is where; `gone` when nothing can be asked."""

    def __init__(self) -> None:
        self.notes: list[tuple[set[Seat], set[Seat], float | None, float]] = []
        self.reads: list[set[int]] = []
        self.is_first = True
        self.elsewhere: dict[int, Attendance] = {}
        self.gone = False

    async def attend(
        self, process_id: str, arrived: Collection[Seat], departed: Collection[Seat], expiry: float | None, ahead: float
    ) -> Attended:
        if self.gone:
            raise StoreUnavailable("gone")
        self.notes.append((set(arrived), set(departed), expiry, ahead))
        is_first, self.is_first = self.is_first, False
        return Attended(is_first, {room_id: 1 for room_id, _ in (*arrived, *departed)})

    async def attendance(self, process_id: str, room_ids: Collection[int]) -> dict[int, Attendance]:
        self.reads.append(set(room_ids))
        if self.gone:
            raise StoreUnavailable("gone")
        return {room_id: self.elsewhere.get(room_id, Attendance(0, [])) for room_id in room_ids}


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def hub() -> Hub:
    return Hub(lambda seconds, recipients: None)


@pytest.fixture
def lobby(hub: Hub) -> Audience:
    return hub.admit(Audience(LOBBY, [], 10))


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture
def roll(shared: Shared, hub: Hub, bus: LocalBus, clock: Clock) -> SharedPresence:
    return SharedPresence(cast(SharedTables, shared), bus, hub, "one", GRACE, PAUSE, lambda: clock.elapsed)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TICK_SECONDS", 0.001)
    monkeypatch.setattr(presence, "RETRY_SECONDS", 0.001)


async def test_arrivals_and_departures_are_written_once_and_announced(
    roll: SharedPresence, shared: Shared, lobby: Audience, bus: LocalBus
) -> None:
    announced: list[str] = []
    bus.listen(lambda topic, position: announced.append(topic))
    lobby.presence.arrive(ANN)
    lobby.presence.arrive(BOB)
    await roll._note()
    await roll._note()
    lobby.presence.depart(BOB.id, now=0)
    lobby.presence.sweep(now=0, grace=0)
    await roll._note()
    assert [note[:2] for note in shared.notes] == [
        ({(1, ANN.id), (1, BOB.id)}, set()),
        (set(), set()),
        (set(), {(1, BOB.id)}),
    ]
    assert announced == ["present:1", "present:1"]


async def test_a_departure_is_written_though_the_room_has_no_audience(
    roll: SharedPresence, shared: Shared, lobby: Audience, hub: Hub
) -> None:
    lobby.presence.arrive(ANN)
    await roll._note()
    lobby.presence.depart(ANN.id, now=0)
    lobby.presence.sweep(now=0, grace=0)
    hub.forget_empty()
    await roll._note()
    assert shared.notes[-1][1] == {(1, ANN.id)}


async def test_presence_that_could_not_be_written_is_written_later(
    roll: SharedPresence, shared: Shared, lobby: Audience
) -> None:
    lobby.presence.arrive(ANN)
    shared.gone = True
    with pytest.raises(StoreUnavailable):
        await roll._note()
    shared.gone = False
    await roll._note()
    assert shared.notes[-1][0] == {(1, ANN.id)}


@pytest.mark.breaks(
    "app/cluster/presence.py", "now - self._noted_at <= self._expiry <= now - self._noting_since", "True"
)
async def test_a_process_that_was_away_does_not_expire_others(
    roll: SharedPresence, shared: Shared, clock: Clock
) -> None:
    """Everybody was, when the database was: whoever notes first must not let go of all others."""

    async def judged() -> list[bool]:
        for _ in range(6):
            await roll._note()
            clock.advance(seconds=PAUSE)
        return [note[2] == EXPIRY for note in shared.notes[-6:]]

    assert await judged() == [False] * 4 + [True] * 2
    assert await judged() == [True] * 6
    clock.advance(seconds=30)
    assert await judged() == [False] * 4 + [True] * 2


async def test_an_expired_process_writes_and_reads_presence_again(
    roll: SharedPresence, shared: Shared, lobby: Audience, impatient: None
) -> None:
    lobby.presence.arrive(ANN)
    async with roll.running():
        await until(lambda: len(shared.notes) == 1)
        shared.is_first = True
        lobby.presence.arrive(BOB)
        await until(lambda: len(shared.notes) == 3)
        assert shared.notes[2][0] == {(1, ANN.id), (1, BOB.id)}
        await until(lambda: {1} in shared.reads)


@pytest.mark.usefixtures("impatient")
async def test_a_stopped_process_keeps_its_members_for_the_grace(
    roll: SharedPresence, shared: Shared, lobby: Audience
) -> None:
    async with roll.running():
        lobby.presence.arrive(ANN)
        await until(lambda: bool(shared.notes))
    arrived, departed, _, ahead = shared.notes[-1]
    assert (departed, ahead) == (set(), GRACE - EXPIRY)
    assert shared.notes[0][0] == {(1, ANN.id)} or arrived == {(1, ANN.id)}


@pytest.mark.usefixtures("impatient")
@pytest.mark.breaks("app/cluster/presence.py", "audience and position > audience.presence.version", "audience")
async def test_presence_elsewhere_is_read_for_all_changed_rooms_at_once(
    roll: SharedPresence, shared: Shared, lobby: Audience, hub: Hub, bus: LocalBus
) -> None:
    cooler = hub.admit(Audience(WATERCOOLER, [], 10))
    shared.elsewhere = {1: Attendance(5, [BOB]), 2: Attendance(6, [ANN, BOB])}
    async with roll.running():
        for topic, version in (("present:1", 5), ("present:2", 6), ("present:3", 7), ("room:1", 8), ("rooms", 9)):
            bus.announce(topic, version)
        await until(lambda: cooler.presence.members() == [ANN, BOB] and lobby.presence.members() == [BOB])
        bus.announce("present:1", 5)
        bus.announce("present:2", 7)
        await until(lambda: len(shared.reads) == 2)
    assert shared.reads == [{1, 2}, {2}]


@pytest.mark.usefixtures("impatient")
@pytest.mark.breaks(
    "app/cluster/presence.py", "await asyncio.sleep(max(pause, TICK_SECONDS))", "await asyncio.sleep(0)"
)
async def test_full_rooms_are_read_seldom(
    roll: SharedPresence, shared: Shared, lobby: Audience, bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [Member(f"{number}", f"Name {number}", "UTC") for number in range(1000)]
    shared.elsewhere = {1: Attendance(1, crowd)}
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(min(seconds, 0.001))

    monkeypatch.setattr("asyncio.sleep", noted)
    async with roll.running():
        bus.announce("present:1", 1)
        async with asyncio.timeout(5):
            while 1000 / presence.ATTENDANCES_PER_SECOND not in pauses:
                await sleep(0.001)
    assert len(lobby.presence.members()) == 1000


@pytest.mark.usefixtures("impatient")
async def test_failed_reads_and_writes_of_presence_are_retried(
    roll: SharedPresence, shared: Shared, lobby: Audience, bus: LocalBus
) -> None:
    shared.gone = True
    shared.elsewhere = {1: Attendance(5, [BOB])}
    async with roll.running():
        bus.announce("present:1", 5)
        await until(lambda: len(shared.reads) > 1)
        shared.gone = False
        await until(lambda: lobby.presence.members() == [BOB])
        await until(lambda: bool(shared.notes))


async def test_lookups_of_presence_elsewhere_share_a_query(roll: SharedPresence, shared: Shared) -> None:
    shared.elsewhere = {1: Attendance(5, [BOB])}
    asked = await asyncio.gather(*(roll.members(room_id) for room_id in (1, 1, 2, 1, 2)))
    assert asked == [[BOB], [BOB], [], [BOB], []]
    assert shared.reads == [{1, 2}]


async def test_a_single_process_is_current_and_knows_of_nobody_elsewhere(lobby: Audience) -> None:
    alone = Cluster()
    async with alone.running(on_recovery=lambda: None):
        assert alone.is_current()
        assert await alone.poll()
        await alone.load_presence(lobby)
        assert await alone.members_elsewhere(1) == []
