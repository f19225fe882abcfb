"""PostgreSQL's connections, and several processes. What the log needs of every engine is in `test_store.py`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, Engine, event

from app.chat.messages import Member, Room
from app.store import postgres as engine
from app.store.errors import StoreUnavailable
from app.store.postgres import BATCHES, LONGEST_READ, READERS, WRITERS
from app.store.store import Store
from tests.logs import HELD_DAYS, Opener, bodies, locked
from tests.postgres import Cluster
from tests.proxy import Proxy, proxying
from tests.server import ROOT

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE {} ORDER BY pid"
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}"
OURS = "datname = '{}' AND pid <> pg_backend_pid()"
PROCESSES = 3
EACH = 400  # messages


@pytest.fixture
def link(postgres: Cluster) -> Iterator[Proxy]:
    """The link to the database."""
    with proxying(postgres.port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has a second to spare."""
    monkeypatch.setattr(engine, "LONGEST_SILENCE", 0.2)


@pytest.fixture
def store_url(postgres: Cluster, postgres_url: str, link: Proxy) -> str:
    """The address of an empty database, over the link."""
    return postgres_url.replace(f":{postgres.port}/", f":{link.port}/")


@pytest.fixture
def ours(postgres_url: str) -> str:
    """Which of the server's processes are those of our connections."""
    return OURS.format(postgres_url.rpartition("/")[2])


def sql(statement: str) -> Callable[[Connection], list[object]]:
    """Return the work of running `statement`; it returns what that says."""
    return lambda connection: list(connection.exec_driver_sql(statement).scalars())


@asynccontextmanager
async def elsewhere(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of somebody else's, in a transaction that comes to nothing."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def until_one_waits(other: asyncpg.Connection) -> None:
    """Return when somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass


@pytest.mark.breaks("app/store/postgres.py", '"synchronous_commit": "on",', "")
async def test_sessions_have_durable_commits_and_a_tcp_timeout(
    opening: Opener, postgres: Cluster, postgres_url: str
) -> None:
    postgres.sql(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off")
    async with opening() as log:
        for use in (log._read, log._write):
            assert await use(sql("SHOW application_name")) == ["parlor"]
            assert await use(sql("SHOW synchronous_commit")) == ["on"]
            assert await use(sql("SHOW tcp_keepalives_idle")) == ["30"]
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                assert await use(sql(f"SHOW {limit}")) == [f"{LONGEST_READ + 1:.0f}s"]
        assert await log._write(sql("SHOW transaction_isolation")) == ["read committed"]


async def test_a_process_has_so_many_connections_however_much_it_asks(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, ours: str
) -> None:
    await asyncio.gather(
        *(log.head(lobby.id) for _ in range(50)),
        *(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(50)),
        *(log.create_room(f"{n}") for n in range(20)),
    )
    assert len(postgres.sql(BACKENDS.format(ours))) == BATCHES + READERS + WRITERS


async def test_renaming_does_not_wait_for_appends(
    log: Store, ann: Member, bob: Member, lobby: Room, store_url: str
) -> None:
    async with elsewhere(store_url) as other:
        await other.execute("UPDATE rooms SET position = position")
        said = asyncio.create_task(log.append(lobby.id, ann, "waits", "k"))
        await until_one_waits(other)
        assert (await log.take_name(bob, "Bobby", "UTC", HELD_DAYS)).name == "Bobby"
    assert (await said).is_new


# Connections that end


@contextmanager
def before(word: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """Have `act` called before each statement that begins with `word`; yield those statements."""
    met: list[str] = []

    def note(connection: Connection, cursor: object, statement: str, *rest: object) -> None:
        if statement.split()[0] == word:
            met.append(statement)
            act()

    event.listen(Engine, "before_cursor_execute", note)
    yield met
    event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.breaks("app/store/postgres.py", "if connection.driver_connection.is_closed():", "if False:")
async def test_connections_that_were_ended_are_replaced_and_nobody_notices(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, ours: str
) -> None:
    for n in range(3):
        await log.append(lobby.id, ann, f"{n}", f"k{n}")
        await asyncio.gather(*(log.head(lobby.id) for _ in range(9)))
        await asyncio.to_thread(postgres.sql, TERMINATE.format(ours))
        await asyncio.sleep(0.05)  # nobody can know of what is on its way
    assert await bodies(log, lobby) == ["0", "1", "2"]


@pytest.mark.breaks("app/store/postgres.py", "is_lost = error.connection_invalidated or ", "is_lost = ")
async def test_a_transaction_is_retried_when_its_connection_ends_before_the_commit(
    log: Store, postgres: Cluster, ours: str
) -> None:
    acts = [partial(postgres.sql, TERMINATE.format(ours))]
    with before("INSERT", lambda: acts and acts.pop()()) as inserts:
        assert (await log.create_room("Tea")).slug == "tea"
    assert len(inserts) == 2


@pytest.mark.breaks("app/store/postgres.py", " and error.statement is not None", "")
async def test_a_transaction_is_not_retried_when_its_connection_ends_during_the_commit(
    log: Store, postgres: Cluster, ours: str
) -> None:
    """Nobody can say whether it was done."""
    commits: list[Connection] = []

    def end_it(connection: Connection) -> None:
        commits.append(connection)
        postgres.sql(TERMINATE.format(ours))

    event.listen(Engine, "commit", end_it)
    with pytest.raises(StoreUnavailable):
        await log.create_room("Tea")
    event.remove(Engine, "commit", end_it)
    assert len(commits) == 1


@pytest.mark.breaks("app/store/postgres.py", " and not commits", "")
async def test_a_message_is_not_retried_when_the_connection_is_lost_during_its_commit(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, ours: str
) -> None:
    """Nobody can say whether it was stored. Who sends it again, with the same key, is shown what is there."""
    with before("WITH", partial(postgres.sql, TERMINATE.format(ours))) as commits, pytest.raises(StoreUnavailable):
        await log.append(lobby.id, ann, "hello", "k")
    assert len(commits) == 1
    assert (await log.append(lobby.id, ann, "hello", "k")).is_new
    assert await bodies(log, lobby) == ["hello"]


@pytest.mark.parametrize("lock_wait", [1.5])
async def test_a_message_resent_after_a_lost_answer_is_stored_once(
    log: Store, ann: Member, lobby: Room, link: Proxy
) -> None:
    await log.append(lobby.id, ann, "before", "k0")  # from here on the statement is known, and takes a single trip
    with before("WITH", link.mute), pytest.raises(StoreUnavailable):
        await log.append(lobby.id, ann, "hello", "k")
    again = await log.append(lobby.id, ann, "hello", "k")
    assert (again.is_new, again.message.position) == (False, 2)
    assert await bodies(log, lobby) == ["before", "hello"]


async def test_a_server_that_is_started_again_is_found_again(
    log: Store, ann: Member, lobby: Room, postgres: Cluster
) -> None:
    await log.append(lobby.id, ann, "before", "k0")
    postgres.stop()
    try:
        for attempt in (log.append(lobby.id, ann, "1", "k1"), log.check(), log.create_room("Tea")):
            with pytest.raises(StoreUnavailable):
                await attempt
    finally:
        postgres.start()
    assert (await log.append(lobby.id, ann, "1", "k1")).message.position == 2
    assert await bodies(log, lobby) == ["before", "1"]


async def test_a_server_that_is_not_there_cannot_be_opened(opening: Opener, link: Proxy) -> None:
    link.cut()
    with pytest.raises(StoreUnavailable):
        async with opening():
            pass
    link.heal()
    async with opening() as log:
        await log.check()


# A network that is gone without a word


@pytest.mark.parametrize("lock_wait", [1.5])
@pytest.mark.breaks("app/store/postgres.py", 'if record.info["opened"] < self._doubted:', "if False:")
async def test_connections_that_nobody_answers_are_given_up_together(
    log: Store, ann: Member, lobby: Room, link: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody answers is enough to doubt them all: else each would cost somebody the whole wait."""
    monkeypatch.setattr(engine, "LONGEST_READ", 1)  # enough to connect anew, on a busy machine
    await asyncio.gather(*(log.head(lobby.id) for _ in range(READERS)), log.append(lobby.id, ann, "before", "k0"))
    link.lose()
    with pytest.raises(StoreUnavailable):
        await log.append(lobby.id, ann, "1", "k1")
    assert await asyncio.gather(*(log.head(lobby.id) for _ in range(READERS))) == [1] * READERS
    assert (await log.append(lobby.id, ann, "1", "k1")).message.position == 2


@pytest.mark.parametrize("lock_wait", [1.5])
async def test_nobody_waits_longer_than_they_may_where_nobody_answers(
    log: Store, ann: Member, lobby: Room, link: Proxy, lock_wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LONGEST_READ", 0.3)
    clock = asyncio.get_running_loop().time
    link.stall()  # new connections as well
    started = clock()
    outcomes = await asyncio.gather(
        *(log.append(lobby.id, ann, f"{n}", f"k{n}") for n in range(3)),
        *(log.head(lobby.id) for _ in range(3 * READERS)),
        *(log.create_room(f"{n}") for n in range(3)),
        return_exceptions=True,
    )
    assert {type(each) for each in outcomes} == {StoreUnavailable}
    assert clock() - started < lock_wait + 0.5
    link.heal()
    assert (await log.append(lobby.id, ann, "later", "k")).is_new


@pytest.mark.breaks("app/store/postgres.py", "self._is_closing = True", "pass")
async def test_a_stop_takes_no_longer_where_nobody_answers(opening: Opener, link: Proxy) -> None:
    async with asyncio.timeout(2):
        async with opening() as log:
            await log.check()
            link.stall()


@pytest.mark.breaks("app/store/postgres.py", "if seconds >= LONGEST_SILENCE:", "if True:")
async def test_a_missed_deadline_does_not_mark_the_store_as_failing(
    log: Store, ann: Member, lobby: Room, store_url: str, postgres: Cluster, ours: str
) -> None:
    await asyncio.gather(*(log.head(lobby.id) for _ in range(READERS)))
    before = postgres.sql(BACKENDS.format(f"{ours} AND query LIKE '%rooms.position%'"))
    async with locked(store_url):
        with pytest.raises(StoreUnavailable):
            await log.saw([ann.id], wait=0.05)
    await asyncio.gather(*(log.head(lobby.id) for _ in range(READERS)))
    assert len(before) == READERS
    assert postgres.sql(BACKENDS.format(f"{ours} AND query LIKE '%rooms.position%'")) == before


async def test_a_cancelled_read_returns_its_connection(log: Store, lobby: Room, postgres: Cluster, ours: str) -> None:
    await asyncio.gather(*(log.head(lobby.id) for _ in range(READERS)))
    before = postgres.sql(BACKENDS.format(ours))
    reading = [asyncio.create_task(log._read(sql("SELECT pg_sleep(0.05)"))) for _ in range(READERS)]
    await asyncio.sleep(0.01)
    for each in reading:
        each.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    assert await log.head(lobby.id) == 0
    assert postgres.sql(BACKENDS.format(ours)) == before


async def test_a_cancelled_query_ends_on_the_server(
    log: Store, postgres: Cluster, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LONGEST_READ", 0.1)
    with pytest.raises(StoreUnavailable):
        await log._read(sql("SELECT pg_sleep(60)"))
    async with asyncio.timeout(10):
        while await asyncio.to_thread(postgres.sql, BACKENDS.format(f"{ours} AND state = 'active'")):
            pass


# Others who write


@pytest.mark.breaks("app/store/postgres.py", ', "40P01"}', "}")
async def test_a_deadlock_victim_is_retried(log: Store, ann: Member, lobby: Room, store_url: str) -> None:
    tea = await log.create_room("Tea")
    async with elsewhere(store_url) as other:
        await other.execute("SET deadlock_timeout = '1min'")  # who looks for one first is ended: the store
        await other.execute("UPDATE rooms SET position = position WHERE id = $1", tea.id)
        said = asyncio.gather(*(log.append(room.id, ann, "hello", "k") for room in (lobby, tea)))
        await until_one_waits(other)
        await other.execute("UPDATE rooms SET position = position WHERE id = $1", lobby.id)
    assert [each.message.position for each in await said] == [1, 1]


async def test_a_primary_that_has_become_a_replica_is_written_to_no_more(
    log: Store, ann: Member, lobby: Room, postgres: Cluster
) -> None:
    def set_read_only(value: str) -> None:
        postgres.sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        postgres.sql("SELECT pg_reload_conf()")

    await log.append(lobby.id, ann, "before", "k0")
    set_read_only("on")
    try:
        async with asyncio.timeout(10):
            while await log._read(sql("SHOW default_transaction_read_only")) == ["off"]:
                pass
        with pytest.raises(StoreUnavailable, match="target attribute"):
            await log.append(lobby.id, ann, "1", "k1")
        with pytest.raises(StoreUnavailable, match="target attribute"):
            await log.check()  # another connection: all are doubted
    finally:
        set_read_only("off")
    assert (await log.append(lobby.id, ann, "1", "k1")).message.position == 2


# Several processes


@pytest.mark.breaks(
    "app/store/postgres.py", 'connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({OPENING})")', "pass"
)
async def test_concurrent_starts_create_the_tables_once(opening: Opener) -> None:
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        entering = (stack.enter_async_context(opening()) for _ in range(5))
        logs = [each for each in await asyncio.gather(*entering, return_exceptions=True) if isinstance(each, Store)]
        assert len(logs) == 5
        assert len({log.epoch for log in logs}) == 1
        assert [len(await log.rooms()) for log in logs] == [1] * 5


@pytest.mark.breaks("app/store/postgres.py", "SET LOCAL lock_timeout = '{OPENING_SECONDS}s'", "SELECT 1")
async def test_opening_waits_a_limited_time_for_a_lock(
    opening: Opener, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "OPENING_SECONDS", 1)
    other = await asyncpg.connect(postgres_url)
    await other.execute(f"SELECT pg_advisory_lock({engine.OPENING})")
    async with asyncio.timeout(20):
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await opening().__aenter__()
        await other.close()
        async with opening() as log:
            assert len(await log.rooms()) == 1


@pytest.mark.parametrize("rooms", [1, 3])
async def test_processes_that_append_at_once_leave_no_gap_and_nothing_twice(
    log: Store, ann: Member, postgres_url: str, rooms: int
) -> None:
    """To one room, and to several: a batch takes all of its rooms, and others take the same at the same time."""
    room_ids = [(await log.create_room(f"{number}")).id for number in range(rooms)]
    command = [sys.executable, "-m", "tests.appending", postgres_url, ann.id, ",".join(map(str, room_ids))]
    running = [
        await asyncio.create_subprocess_exec(
            *command, f"{number}", f"{EACH}", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for number in range(PROCESSES)
    ]
    for each in running:
        assert each.stdout
        assert await each.stdout.readline() == b"ready\n"
    ended = asyncio.gather(*(each.communicate(b"\n") for each in running))
    found = await asyncio.gather(*(follow(log, room_id, ended) for room_id in room_ids))
    said = [outcome for output, _ in await ended for outcome in json.loads(output)]
    assert len(said) == PROCESSES * EACH
    # The same submission is one message, whoever was first.
    in_log = {(room_id, body): place for room_id, bodies in zip(room_ids, found, strict=True) for body, place in bodies}
    assert {(room_id, body): position for room_id, body, position, _ in said} == in_log
    assert sum(is_new for *_, is_new in said) == len(in_log) == sum(map(len, found))


async def follow(log: Store, room_id: int, ended: asyncio.Future[Any]) -> list[tuple[str, int]]:
    """Read what is said in a room as it comes, until all have ended, and see that nothing ever comes before another."""
    found: list[tuple[str, int]] = []
    is_last = False
    while not is_last:
        is_last = ended.done()
        head = await log.head(room_id)
        new = (await log.changes(room_id, len(found), head, 10_000)).new
        assert [message.position for message in new] == list(range(len(found) + 1, head + 1))
        found += [(message.body, message.position) for message in new]
    return found
