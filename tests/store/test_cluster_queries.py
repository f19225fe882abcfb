"""What processes share besides the log, as PostgreSQL keeps it."""

import asyncio
from secrets import token_hex

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.chat.messages import Member, Room
from app.store.cluster_queries import Grant, Seat, TokenRequest
from app.store.errors import StoreUnavailable
from app.store.store import Store
from tests.postgres import Cluster

Change = tuple[list[Seat], list[Seat]]  # who arrived, who departed


@pytest.fixture
def store_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def age(postgres: Cluster, postgres_url: str) -> "Age":
    return Age(postgres, postgres_url.rpartition("/")[2])


class Age:
    """Lets a process grow old: as if it had not been seen for so long."""

    def __init__(self, postgres: Cluster, database: str) -> None:
        self._postgres = postgres
        self._database = database

    def __call__(self, process_id: str, seconds: float) -> None:
        when = f"seen_at - interval '{seconds} seconds'"
        self._postgres.sql(f"UPDATE processes SET seen_at = {when} WHERE id = '{process_id}'", self._database)  # noqa: S608


async def here(log: Store, room: Room, process_id: str = "") -> list[str]:
    """Return who is present in `room` for all but this process, by name."""
    found = (await log.shared.attendance(process_id, [room.id]))[room.id]
    return sorted(member.name for member in found.members)


# How far everything has come


async def test_everything_shared_has_a_position(log: Store, ann: Member, lobby: Room) -> None:
    tea = await log.create_room("Tea")
    before = await log.positions({lobby.id: 0, tea.id: 0})
    assert before == {"room:1": 0, f"room:{tea.id}": 0, "rooms": tea.id, "names": 0}
    await log.append(lobby.id, ann, "hello", "k")
    await log.take_name(ann, "Anna", "UTC", 30)
    await log.shared.attend("one", [(tea.id, ann.id)], [])
    after = await log.positions({lobby.id: 1, tea.id: 0, 4711: 0})
    version = after.pop(f"present:{tea.id}")
    assert after == before | {"room:1": 1, "names": 1}
    assert version > 0
    assert await log.positions({}) == {"rooms": tea.id, "names": 1}


@pytest.mark.breaks("app/store/store.py", "or epoch != self.epoch or goes_back", "or goes_back")
@pytest.mark.breaks("app/store/store.py", "or epoch != self.epoch or goes_back", "or epoch != self.epoch")
@pytest.mark.parametrize("change", ["UPDATE log SET epoch = 'another'", "UPDATE rooms SET position = position - 1"])
async def test_another_log_in_the_place_of_the_one_that_was_opened_is_not_taken_for_it(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, postgres_url: str, change: str
) -> None:
    """A replica, say, that lacks the end of what was shown; and not even when it has come as far again."""
    for number in range(3):
        await log.append(lobby.id, ann, f"{number}", f"k{number}")
    await log.positions({lobby.id: 3})
    log.confirm()
    postgres.sql(change, postgres_url.rpartition("/")[2])
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="another log"):
            await log.positions({lobby.id: 3})
        with pytest.raises(StoreUnavailable, match="another log"):
            await log.append(lobby.id, ann, "later", "k9")
        with pytest.raises(StoreUnavailable, match="another log"):
            log.confirm()
        postgres.sql("UPDATE rooms SET position = 9", postgres_url.rpartition("/")[2])


@pytest.mark.breaks("app/store/member_queries.py", "0 if is_new else _next_renaming(connection)", "0")
async def test_renamings_are_numbered_and_new_members_have_none(log: Store, ann: Member, bob: Member) -> None:
    assert await log.renamed_since(0) == (0, [])
    anna = await log.take_name(ann, "Anna", "UTC", 30)
    robert = await log.take_name(bob, "Robert", "UTC", 30)
    assert await log.renamed_since(0) == (2, [anna, robert])
    assert await log.renamed_since(1) == (2, [robert])
    anne = await log.take_name(anna, "Anne", "UTC", 30)
    assert await log.renamed_since(1) == (3, [robert, anne])


async def test_a_renaming_is_announced_and_one_that_is_refused_is_not(log: Store, ann: Member, bob: Member) -> None:
    announced: list[int] = []
    log.on_renamed = announced.append
    with pytest.raises(Exception, match="is taken"):
        await log.take_name(ann, "Bob", "UTC", 30)
    await log.take_name(ann, "Anna", "UTC", 30)
    assert announced == [1]


# Who is where


async def test_members_are_present_for_other_processes(log: Store, ann: Member, bob: Member, lobby: Room) -> None:
    is_first, versions = await log.shared.attend("one", [(lobby.id, ann.id), (lobby.id, bob.id)], [])
    assert is_first
    assert list(versions) == [lobby.id]
    assert await here(log, lobby, "one") == []
    assert await here(log, lobby, "other") == ["Ann", "Bob"]


@pytest.mark.breaks("app/store/cluster_queries.py", "greatest(known.version + 1, excluded.version)", "known.version")
async def test_attend_raises_the_version_only_for_real_changes(log: Store, ann: Member, lobby: Room) -> None:
    seat = (lobby.id, ann.id)
    there, gone, nothing = ([seat], []), ([], [seat]), ([], [])  # type: tuple[Change, Change, Change]
    versions = [
        (await log.shared.attend("one", *change)).versions.get(lobby.id)
        for change in (there, there, nothing, gone, gone, there)
    ]
    made = [version for version in versions if version]
    assert [version is not None for version in versions] == [True, False, False, True, False, True]
    assert made == sorted(set(made))
    assert (await log.shared.attendance("", [lobby.id]))[lobby.id].version == made[-1]


async def test_somebody_at_two_processes_is_present_once_and_until_both_have_let_go(
    log: Store, ann: Member, lobby: Room
) -> None:
    seat = (lobby.id, ann.id)
    for process_id in ("one", "other"):
        await log.shared.attend(process_id, [seat], [])
    assert await here(log, lobby) == ["Ann"]
    await log.shared.attend("one", [], [seat])
    assert await here(log, lobby, "one") == ["Ann"]
    await log.shared.attend("other", [], [seat])
    assert await here(log, lobby, "one") == []


@pytest.mark.breaks(
    "app/store/cluster_queries.py",
    "DELETE FROM attendance USING gone WHERE process_id = gone.id",
    "SELECT NULL::int AS",
)
async def test_a_process_that_was_not_seen_takes_its_people_with_it(
    log: Store, ann: Member, bob: Member, lobby: Room, age: Age
) -> None:
    await log.shared.attend("one", [(lobby.id, ann.id)], [])
    first = (await log.shared.attend("other", [(lobby.id, bob.id)], [])).versions[lobby.id]
    age("one", 9)
    assert await log.shared.attend("other", [], [], expiry=10) == (False, {})
    age("one", 9)
    assert await log.shared.attend("other", [], []) == (False, {})
    assert await here(log, lobby) == ["Ann", "Bob"]
    is_first, versions = await log.shared.attend("other", [], [], expiry=10)
    assert not is_first
    assert versions[lobby.id] > first
    assert await here(log, lobby) == ["Bob"]


async def test_a_process_that_was_taken_for_gone_is_told(log: Store, ann: Member, lobby: Room, age: Age) -> None:
    assert (await log.shared.attend("one", [(lobby.id, ann.id)], [])).is_first
    assert not (await log.shared.attend("one", [], [])).is_first
    age("one", 11)
    await log.shared.attend("other", [], [], expiry=10)
    assert (await log.shared.attend("one", [], [])).is_first


async def test_a_process_that_stops_is_seen_for_as_long_as_it_says(
    log: Store, ann: Member, lobby: Room, age: Age
) -> None:
    await log.shared.attend("one", [(lobby.id, ann.id)], [], ahead=5)
    age("one", 14)
    await log.shared.attend("other", [], [], expiry=10)
    assert await here(log, lobby) == ["Ann"]
    age("one", 2)
    await log.shared.attend("other", [], [], expiry=10)
    assert await here(log, lobby) == []


async def test_processes_that_note_the_same_rooms_at_once_wait_for_nobody_for_ever(
    log: Store, ann: Member, bob: Member, lobby: Room
) -> None:
    rooms = [lobby, *[await log.create_room(f"Room {number}") for number in range(9)]]
    seats = [(room.id, member.id) for room in rooms for member in (ann, bob)]
    for _ in range(5):
        orders = (seats, seats[::-1], seats, seats[::-1])
        await asyncio.gather(*(log.shared.attend(f"{number}", order, []) for number, order in enumerate(orders)))
        await asyncio.gather(*(log.shared.attend(f"{number}", [], order) for number, order in enumerate(orders)))
    assert await here(log, lobby) == []


async def test_versions_grow_though_a_crash_empties_the_tables(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, postgres_url: str
) -> None:
    seat = (lobby.id, ann.id)
    before = (await log.shared.attend("one", [seat], [])).versions[lobby.id]
    postgres.sql("TRUNCATE presence, attendance, processes", postgres_url.rpartition("/")[2])
    is_first, versions = await log.shared.attend("one", [seat], [])
    assert is_first
    assert versions[lobby.id] > before


# How fast one may speak


async def take(log: Store, tokens: int, bucket: str = "somebody", rate: float = 1, burst: float = 20) -> Grant:
    return (await log.shared.take_tokens({bucket: TokenRequest(tokens, rate, burst)}))[bucket]


async def test_a_bucket_starts_full_and_gives_all_its_tokens(log: Store) -> None:
    assert await take(log, 15) == (15, 0)
    tokens, wait = await take(log, 15)
    assert tokens == 5
    assert 0.9 < wait <= 1
    assert (await take(log, 1)).tokens == 0
    assert (await take(log, 3, "somebody else")).tokens == 3
    assert (await take(log, 30, "who wants too much")).tokens == 20


async def test_a_bucket_refills_and_holds_no_more_than_its_burst(
    log: Store, postgres: Cluster, postgres_url: str
) -> None:
    def pass_by(seconds: float) -> None:
        postgres.sql(f"UPDATE buckets SET full_at = full_at - {seconds}", postgres_url.rpartition("/")[2])  # noqa: S608

    assert (await take(log, 20, rate=0.5)).tokens == 20
    pass_by(5)
    assert (await take(log, 9, rate=0.5)).tokens == 2
    pass_by(1000)
    assert (await take(log, 99, rate=0.5)).tokens == 20


async def test_refunded_tokens_can_be_taken_again(log: Store) -> None:
    assert (await take(log, 20)).tokens == 20
    assert (await take(log, -3)).tokens == -3
    assert (await take(log, 9)).tokens == 3
    assert (await take(log, -99)).tokens == -99
    assert (await take(log, 99)).tokens == 20


@pytest.mark.breaks(
    "app/store/cluster_queries.py", "least(\n    excluded.granted,", "least(\n    excluded.granted, excluded.granted -"
)
@given(requests=st.lists(st.integers(-3, 9), max_size=8))
@hypothesis_settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_shared_bucket_behaves_like_a_local_one(log: Store, requests: list[int]) -> None:
    """As long as no time passes: with a rate at which nothing comes back meanwhile."""
    name, rate, burst = token_hex(4), 1e-6, 10
    left = burst
    for tokens in requests:
        granted = (await take(log, tokens, name, rate, burst)).tokens
        assert granted == min(tokens, left)
        left = min(burst, left - granted)


async def test_concurrent_requests_never_get_more_than_the_burst(log: Store) -> None:
    names = [f"{number}" for number in range(20)]

    async def one(order: int) -> dict[str, Grant]:
        return await log.shared.take_tokens({name: TokenRequest(3, 1e-6, 20) for name in names[::order]})

    granted = await asyncio.gather(*(one((-1) ** number) for number in range(12)))
    assert {name: sum(each[name].tokens for each in granted) for name in names} == dict.fromkeys(names, 20)


async def test_full_buckets_are_forgotten_and_others_are_not(log: Store, postgres: Cluster, postgres_url: str) -> None:
    await take(log, 1, "fast", rate=1e6)
    await take(log, 1, "slow", rate=1e-6)
    await log.shared.forget_full_buckets()
    assert postgres.sql("SELECT id FROM buckets", postgres_url.rpartition("/")[2]) == ["slow"]
