"""From SQLite to PostgreSQL: everything that a log can hold arrives as it was, or nothing does."""

import asyncio
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from app.chat.messages import Refused, clean
from app.chat.names import clean_name
from app.main import create_app
from app.operations import copy_to_postgresql
from app.operations.commands import alone
from app.settings import Settings
from app.store import migrations, search_queries, tables
from app.store.store import Store, utc_now
from app.web.keys import read_keys
from tests.normalise import normalise
from tests.operating import bodies, parlor, sqlite_url, talk
from tests.postgres import Cluster
from tests.server import serving

HELD_DAYS = 30.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def rows(url: str) -> dict[str, list[Any]]:
    """Return all that is stored, table by table; of the search index only which messages: its form is the engine's."""

    def read(connection: Connection) -> dict[str, list[Any]]:
        index = tables.search_index.c
        columns: dict[Any, Any] = {each: each.c for each in tables.metadata.sorted_tables}
        columns[tables.search_index] = (index.room_id, index.position, index.created_at)
        found = {table: connection.execute(select(*shown)) for table, shown in columns.items()}
        return {table.name: sorted(map(tuple, result), key=repr) for table, result in found.items()}

    return alone(url, read)


def test_everything_arrives_and_the_chat_goes_on_from_there(data: Path, postgres_url: str) -> None:
    epoch = talk(sqlite_url(data), ["one", "two"])
    before = rows(sqlite_url(data))
    said = parlor(data, "copy", "--to", postgres_url).done
    assert "messages: 2 rows" in said and "2 messages, 1 room, 1 member" in said
    assert rows(postgres_url) == rows(sqlite_url(data)) == before
    # A submission that was known is known there, and a new one takes the next position of the same log.
    assert talk(postgres_url, ["one", "two", "three"], "Bob") == epoch
    assert bodies(postgres_url) == ["one", "two", "one", "two", "three"]


@pytest.mark.breaks(
    "app/operations/copy_to_postgresql.py", "target.execute(select(func.setval(sequence, last)))", "pass"
)
async def test_the_next_room_has_a_number_of_its_own(data: Path, postgres_url: str) -> None:
    async with Store(sqlite_url(data), utc_now).opened("Lobby") as store:
        numbers = [(await store.create_room(name)).id for name in ("Garden", "Attic")]
    await asyncio.to_thread(lambda: parlor(data, "copy", "--to", postgres_url).done)
    async with Store(postgres_url, utc_now).opened("Lobby") as store:
        assert (await store.create_room("Cellar")).id > max(numbers)


async def test_a_submission_from_before_is_known_after(data: Path, postgres_url: str) -> None:
    async with Store(sqlite_url(data), utc_now).opened("Lobby") as store:
        lobby, *_ = await store.rooms()
        ann = await store.take_name(None, "Ann", "UTC", HELD_DAYS)
        said = await store.append(lobby.id, ann, "hello", "key")
    await asyncio.to_thread(lambda: parlor(data, "copy", "--to", postgres_url).done)
    async with Store(postgres_url, utc_now).opened("Lobby") as store:
        again = await store.append(lobby.id, ann, "hello", "key")
        assert (again.is_new, again.message) == (False, said.message)
        with pytest.raises(Refused):
            await store.take_name(None, "ANN", "UTC", HELD_DAYS)


def test_cookies_hold_whichever_process_starts_first(data: Path, tmp_path: Path, postgres_url: str) -> None:
    """Also one that has no key file, or one of its own."""
    hosts = ("testserver",)
    with TestClient(create_app(Settings(data_dir=data, allowed_hosts=hosts))) as client:
        client.post("/name", data={"name": "Ann"})
        cookies = client.cookies
    assert "The key that signs" in parlor(data, "copy", "--to", postgres_url).done
    elsewhere = Settings(data_dir=tmp_path / "elsewhere", database_url=postgres_url, allowed_hosts=hosts)
    with TestClient(create_app(elsewhere), cookies=cookies) as client:
        assert "textarea" in client.get("/").text


def test_a_key_that_is_set_stays_out_of_the_database(data: Path, postgres_url: str) -> None:
    talk(sqlite_url(data))
    read_keys(data / "secret.key")
    said = parlor(data, "copy", "--to", postgres_url, secret_key="set, and long enough").done  # noqa: S106
    assert "The key that signs" not in said
    assert rows(postgres_url) == rows(sqlite_url(data))


def cleaned(text: str) -> str:
    """Return `text` as it would be stored, or something else where it never would be."""
    try:
        return clean(text, 4000)
    except Refused:
        return "-"


def named(text: str) -> str:
    """Return `text` as a name, or another where it can be none."""
    try:
        return clean_name(text, 40)
    except Refused:
        return "Somebody"


names = st.text(max_size=12).map(named)
talks = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.text(max_size=60).map(cleaned)), max_size=12)


@hypothesis_settings(max_examples=12)
@given(people=st.lists(names, min_size=4, max_size=4), rooms=st.lists(names, min_size=3, max_size=3), said=talks)
def test_a_copied_log_equals_its_source(
    postgres: Cluster, people: list[str], rooms: list[str], said: list[tuple[int, int, str]]
) -> None:
    async def fill(url: str) -> None:
        async with Store(url, utc_now).opened(rooms[0]) as store:
            places = [
                *await store.rooms(),
                *[await store.create_room(f"{number} {name}") for number, name in enumerate(rooms)],
            ]
            calls = [f"{number} {name}" for number, name in enumerate(people)]
            members = [await store.take_name(None, name, "UTC", HELD_DAYS) for name in calls]
            for number, (place, member, body) in enumerate(said):
                await store.append(places[place].id, members[member], body, f"key {number}")
            await store.take_name(members[0], "Renamed", "Europe/Berlin", HELD_DAYS)

    database = postgres.create()
    with TemporaryDirectory() as folder:
        source, target = sqlite_url(Path(folder)), postgres.url(database)
        asyncio.run(fill(source))
        assert parlor(Path(folder), "copy", "--to", target).done
        assert rows(target) == rows(source)
    postgres.drop(database)


def test_a_page_is_the_same_before_and_after(data: Path, postgres_url: str) -> None:
    talk(sqlite_url(data), ["one", "two & three", "https://example.org"])

    def page(url: str) -> str:
        with TestClient(create_app(Settings(data_dir=data, database_url=url, allowed_hosts=("testserver",)))) as client:
            return normalise(client.get("/").text)

    before = page(sqlite_url(data))
    assert parlor(data, "copy", "--to", postgres_url).done
    assert "two &amp; three" in before and page(postgres_url) == before


def test_more_than_one_chunk_arrives(data: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_to_postgresql, "CHUNK", 2)
    talk(sqlite_url(data), [f"message {number}" for number in range(5)])
    assert "messages: 5 rows" in parlor(data, "copy", "--to", postgres_url).done
    assert rows(postgres_url) == rows(sqlite_url(data))


@pytest.mark.breaks(
    "app/operations/copy_to_postgresql.py", "if target.scalar(select(func.count()).select_from(table)):", "if False:"
)
def test_a_database_that_is_in_use_is_left_alone(data: Path, postgres_url: str) -> None:
    talk(postgres_url, ["theirs"])
    talk(sqlite_url(data), ["ours"])
    assert "Copy into a new database" in parlor(data, "copy", "--to", postgres_url).refusal
    assert bodies(postgres_url) == ["theirs"]


def test_a_database_that_was_only_migrated_is_empty(data: Path, postgres_url: str) -> None:
    assert "from revision none" in parlor(data, "migrate", database_url=postgres_url).done
    talk(sqlite_url(data), ["ours"])
    assert parlor(data, "copy", "--to", postgres_url).done
    assert bodies(postgres_url) == ["ours"]


@pytest.mark.breaks("app/operations/copy_to_postgresql.py", "if str(sent) != str(arrived):", "if False:")
@pytest.mark.parametrize("loss", ["NEW.body := upper(NEW.body); RETURN NEW;", "RETURN NULL;"])
def test_a_copy_with_differences_is_discarded(postgres: Cluster, data: Path, postgres_url: str, loss: str) -> None:
    """A trigger stands for whatever may change a row on its way, or lose it."""
    parlor(data, "migrate", database_url=postgres_url)
    function = f"CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {loss} END $$;"
    trigger = "CREATE TRIGGER lose BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION lose()"
    postgres.sql(function + trigger, postgres_url.rpartition("/")[2])
    talk(sqlite_url(data), ["one", "two"])
    assert "Nothing was copied" in parlor(data, "copy", "--to", postgres_url).refusal
    assert not any(rows(postgres_url).values())


def test_an_old_file_is_to_be_migrated_first(data: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(sqlite_url(data))
    monkeypatch.setattr(migrations, "revisions", lambda: ("9999", "0002"))
    assert "Migrate it first" in parlor(data, "copy", "--to", postgres_url).refusal


def test_a_file_can_be_named_where_the_settings_lead_elsewhere(data: Path, postgres_url: str) -> None:
    talk(sqlite_url(data), ["one"])
    elsewhere = {"database_url": postgres_url}
    assert "--from FILE" in parlor(data, "copy", "--to", postgres_url, **elsewhere).refusal
    assert parlor(data, "copy", "--to", postgres_url, "--from", data / "parlor.db", **elsewhere).done
    assert bodies(postgres_url) == ["one"]


@pytest.mark.breaks(
    "app/operations/copy_to_postgresql.py",
    "with locked(source), opened(source) as here:",
    "with opened(source) as here:",
)
def test_a_file_that_is_served_is_left_alone(data: Path, postgres_url: str) -> None:
    """What was said meanwhile would stay behind."""
    with serving(data):
        assert "is open in another process" in parlor(data, "copy", "--to", postgres_url).refusal


def test_copies_go_to_postgres(data: Path, postgres_url: str) -> None:
    talk(sqlite_url(data), ["one"])
    assert "Copies go to PostgreSQL" in parlor(data, "copy", "--to", "sqlite:///other.db").refusal
    assert parlor(data, "copy", "--to", postgres_url.replace("postgresql:", "postgres:")).done
    assert bodies(postgres_url) == ["one"]


def test_a_database_of_a_newer_parlor_is_left_alone(
    data: Path, postgres: Cluster, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parlor(data, "migrate", database_url=postgres_url)
    postgres.sql("UPDATE alembic_version SET version_num = '9999'", postgres_url.rpartition("/")[2])
    talk(sqlite_url(data), ["one"])
    assert "A newer Parlor has migrated" in parlor(data, "copy", "--to", postgres_url).refusal


def test_copying_needs_a_source_database(data: Path, postgres_url: str) -> None:
    assert "There is no database at" in parlor(data, "copy", "--to", postgres_url).refusal


@pytest.mark.breaks("app/operations/copy_to_postgresql.py", "yield_per=CHUNK", "yield_per=1_000_000")
def test_memory_does_not_grow_with_the_log(data: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_to_postgresql, "CHUNK", 20)
    monkeypatch.setattr(search_queries, "INDEXED_AT_ONCE", 20)
    size, number = 20_000, 1000
    talk(sqlite_url(data), [str(each) * (size // len(str(each))) for each in range(number)])
    tracemalloc.start()
    try:
        assert parlor(data, "copy", "--to", postgres_url).done
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < size * number / 4
