"""A SQLite file and the threads that work on it. What the log needs of every engine is in `test_store.py`."""

import asyncio
import errno
import gc
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import OperationalError

from app.chat.messages import Member, Room
from app.store import sqlite
from app.store.errors import StoreUnavailable
from app.store.sqlite import READERS, Sqlite, lock
from app.store.store import Store
from app.store.writer import Stored
from tests.conftest import Clock
from tests.logs import HELD_DAYS, Opener, attempted, bodies, locked
from tests.server import ROOT

LOCK_WAIT = 5.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "test.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Sqlite]:
    """A file with a table, in which a value can stand once."""
    database = Sqlite(f"sqlite:///{path}", LOCK_WAIT)
    await database.open(sql("CREATE TABLE things (thing PRIMARY KEY)"))
    yield database
    await database.close()


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'parlor.db'}"


@pytest.fixture
def gate() -> Iterator[Event]:
    """What `waiting` waits for; open at the end, whatever happens."""
    gate = Event()
    yield gate
    gate.set()


def sql(*statements: str) -> Callable[[Connection], list[Any]]:
    """Return the work of running `statements`; it returns what the last one says."""

    def run(connection: Connection) -> list[Any]:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return list(result.scalars()) if result.returns_rows else []

    return run


def waiting(gate: Event, begun: Event, work: Callable[[Connection], Any]) -> Callable[[Connection], Any]:
    """Return the work of telling that it has `begun`, of waiting for `gate`, and then of `work`."""

    def run(connection: Connection) -> Any:
        begun.set()
        assert gate.wait(10)
        return work(connection)

    return run


async def until(event: Event) -> None:
    """Return when `event` has happened, in whichever thread."""
    assert await asyncio.to_thread(event.wait, 10)


async def test_every_connection_commits_to_the_disk_and_lets_others_read(database: Sqlite) -> None:
    for use in (database.read, database.write):
        assert await use(sql("PRAGMA journal_mode")) == ["wal"]
        assert await use(sql("PRAGMA synchronous")) == [2]  # FULL
        assert await use(sql("PRAGMA foreign_keys")) == [1]
        assert await use(sql("PRAGMA busy_timeout")) == [LOCK_WAIT * 1000]


async def test_one_thread_writes_others_read_and_the_loop_does_neither(database: Sqlite, gate: Event) -> None:
    writers = {await database.write(lambda connection: get_ident()) for _ in range(3)}
    begun = [Event() for _ in range(READERS)]
    reads = [asyncio.create_task(database.read(waiting(gate, each, lambda connection: get_ident()))) for each in begun]
    for each in begun:
        await until(each)
    gate.set()
    readers = set(await asyncio.gather(*reads))
    assert (len(writers), len(readers)) == (1, READERS)
    assert len(writers | readers | {get_ident()}) == READERS + 2


async def test_failed_work_is_rolled_back(database: Sqlite) -> None:
    with pytest.raises(OperationalError):
        await database.write(sql("INSERT INTO things VALUES (1)", "INSERT INTO nonsense VALUES (1)"))
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda connection: sql("INSERT INTO things VALUES (2)")(connection)[1 // 0])
    await database.write(sql("INSERT INTO things VALUES (3)"))
    assert await database.read(sql("SELECT thing FROM things")) == [3]


async def test_tails_are_read_again_after_an_announcement(database: Sqlite) -> None:
    """No reader stays in a transaction of its own, where time stands still."""
    for count in range(5):
        seen = await asyncio.gather(*(database.read(sql("SELECT count(*) FROM things")) for _ in range(2 * READERS)))
        assert seen == [[count]] * (2 * READERS)
        await database.write(sql("INSERT INTO things VALUES (random())"))


@pytest.mark.breaks(
    "app/store/sqlite.py",
    "writing.add_done_callback(lambda _: loop.call_soon_threadsafe(self._turn.release))",
    "self._turn.release()",
)
async def test_a_cancelled_write_keeps_its_turn_until_it_is_done(database: Sqlite, gate: Event) -> None:
    """Else the next would have its turn, and wait behind the one who left for longer than it may."""
    begun = Event()
    leaving = asyncio.create_task(database.write(waiting(gate, begun, sql("INSERT INTO things VALUES ('left')"))))
    await until(begun)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(LOCK_WAIT):
        with pytest.raises(TimeoutError):
            await database.write(sql("INSERT INTO things VALUES ('late')"), asyncio.get_running_loop().time() + 0.05)
    gate.set()
    await database.write(sql("INSERT INTO things VALUES ('next')"))
    assert await database.read(sql("SELECT thing FROM things")) == ["left", "next"]


@pytest.mark.breaks("app/store/sqlite.py", "async with asyncio.timeout(LONGEST_READ):", "if True:")
async def test_a_read_that_does_not_end_is_given_up(
    database: Sqlite, gate: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LONGEST_READ", 0.05)
    async with asyncio.timeout(LOCK_WAIT):
        for _ in range(READERS + 1):  # the last does not even begin
            with pytest.raises(TimeoutError):
                await database.read(waiting(gate, Event(), sql("SELECT 1")))
    monkeypatch.undo()
    gate.set()
    assert await database.read(sql("SELECT 1")) == [1]


async def test_pending_work_finishes_before_the_file_is_closed(path: Path, gate: Event) -> None:
    database, begun = Sqlite(f"sqlite:///{path}", LOCK_WAIT), Event()
    await database.open(sql("CREATE TABLE things (thing PRIMARY KEY)"))
    writing = asyncio.create_task(database.write(waiting(gate, begun, sql("INSERT INTO things VALUES (1)"))))
    await until(begun)
    closing_it = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(writing, closing_it)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT thing FROM things").fetchall() == [(1,)]
    assert not path.with_name("test.db-wal").exists()  # the last one to close it leaves it whole


# Another process on the same file


@pytest.mark.breaks("app/store/sqlite.py", "self._lock = lock(self._file)", "pass")
async def test_a_second_process_on_the_same_file_is_refused_under_any_path(database: Sqlite, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    for name in (path, link):
        another = Sqlite(f"sqlite:///{name}", LOCK_WAIT)
        with pytest.raises(OSError, match=r"test.db is open in another process.*PARLOR_DATABASE_URL"):
            await another.open(sql("SELECT 1"))
        await another.close()
    assert await database.read(sql("SELECT 1")) == [1]
    await database.close()
    another = Sqlite(f"sqlite:///{path}", LOCK_WAIT)
    assert await another.open(sql("SELECT 1")) == [1]
    await another.close()


async def test_a_process_that_is_killed_holds_the_file_no_longer(path: Path) -> None:
    path.parent.mkdir()
    holding = (
        "import sys; from app.store import sqlite; it = sqlite.lock(sys.argv[1]); print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", holding, f"{path}"]
    holder = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(OSError, match="open in another process"):
        lock(f"{path}")
    holder.kill()
    await holder.communicate()
    held = lock(f"{path}")
    assert held
    held.close()


def test_a_file_system_without_locks_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    path.parent.mkdir()
    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="SQLite needs a disk of this machine"):
        lock(f"{path}")


# A disk that is full, a file that is locked or gone


@pytest.mark.breaks(
    "app/store/errors.py", "except (DBAPIError, OSError, UnknownRevision) as error:", "except OSError as error:"
)
async def test_a_full_disk_refuses_to_write_and_recovers_when_there_is_room(
    log: Store, ann: Member, lobby: Room, tmp_path: Path
) -> None:
    long = "x" * 4000
    pages = await log._write(lambda connection: connection.scalar(_pragma("page_count")))
    await log._write(lambda connection: connection.scalar(_pragma(f"max_page_count={pages + 8}")))
    said = await asyncio.gather(
        *(log.append(lobby.id, ann, f"{n}{long}", f"k{n}") for n in range(20)), return_exceptions=True
    )
    said += [await attempted(log.append(lobby.id, ann, f"{n}{long}", f"k{n}")) for n in range(20, 40)]
    stored = [each.message.body for each in said if isinstance(each, Stored)]
    assert stored
    assert {type(each) for each in said if not isinstance(each, Stored)} == {StoreUnavailable}
    with pytest.raises(StoreUnavailable):
        await log.create_room(long)
    with pytest.raises(StoreUnavailable):
        await log.take_name(None, long, "UTC", HELD_DAYS)
    assert await bodies(log, lobby) == stored
    await log.check()
    await log._write(lambda connection: connection.scalar(_pragma(f"max_page_count={2**32 - 2}")))
    again = [await log.append(lobby.id, ann, f"{n}{long}", f"k{n}") for n in range(40)]
    assert [each.is_new for each in again] == [not isinstance(each, Stored) for each in said]
    assert sorted(each.message.position for each in again) == list(range(1, 41))
    assert await log._read(lambda connection: connection.scalar(_pragma("integrity_check"))) == "ok"


@pytest.mark.parametrize("lock_wait", [0.1])
async def test_a_file_that_is_locked_cannot_be_opened_and_later_it_can(opening: Opener, store_url: str) -> None:
    async with opening():
        pass
    async with locked(store_url):
        with pytest.raises(StoreUnavailable):
            async with opening():
                pass
    gc.collect()  # what was left open says so now, and not in another test
    async with opening() as log:
        await log.check()


@pytest.mark.breaks("app/store/sqlite.py", "if self._file_identity and", "if False and")
async def test_a_file_that_is_taken_away_is_missed_and_found_again(
    log: Store, ann: Member, lobby: Room, tmp_path: Path
) -> None:
    """SQLite itself writes on into a file that is gone, and a receipt would be a lie."""
    file, aside = tmp_path / "parlor.db", tmp_path / "aside.db"
    await log.append(lobby.id, ann, "before", "k0")
    file.rename(aside)
    with pytest.raises(StoreUnavailable):
        await log.append(lobby.id, ann, "1", "k1")
    with pytest.raises(StoreUnavailable):
        await log.changes(lobby.id, 0, 9, 9)
    with pytest.raises(StoreUnavailable):
        await log.check()
    assert not file.exists()
    aside.rename(file)
    assert (await log.append(lobby.id, ann, "1", "k1")).message.position == 2
    assert await bodies(log, lobby) == ["before", "1"]


@pytest.mark.breaks("app/store/sqlite.py", "if self._file_identity and", "if False and")
async def test_another_file_in_its_place_is_never_taken_for_the_same_log(
    log: Store, ann: Member, lobby: Room, tmp_path: Path, clock: Clock
) -> None:
    async with Store(f"sqlite:///{tmp_path / 'another.db'}", clock).opened("Lobby") as another:
        bob = await another.take_name(None, "Bob", "UTC", HELD_DAYS)
        await another.append(lobby.id, bob, "elsewhere", "k")
    (tmp_path / "another.db").replace(tmp_path / "parlor.db")
    with pytest.raises(StoreUnavailable):
        await log.append(lobby.id, ann, "hello", "k")
    with pytest.raises(StoreUnavailable):
        await log.changes(lobby.id, 0, 9, 9)


def _pragma(name: str) -> TextClause:
    return text(f"PRAGMA {name}")
