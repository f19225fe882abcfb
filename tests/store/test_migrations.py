"""The database's shape, step by step, on each engine."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.store import migrations, tables


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Connection], Any]], Any]:
    """Do something with an empty database, in a transaction each."""
    if request.param == "sqlite":
        return lambda task: in_sqlite(f"sqlite:///{tmp_path / 'migrated.db'}", task)
    url = request.getfixturevalue("postgres_url").replace("postgresql:", "postgresql+asyncpg:")
    return lambda task: asyncio.run(in_postgres(url, task))


def in_sqlite(url: str, task: Callable[[Connection], Any]) -> Any:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            return task(connection)
    finally:
        engine.dispose()


async def in_postgres(url: str, task: Callable[[Connection], Any]) -> Any:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(task)
    finally:
        await engine.dispose()


def differences(connection: Connection) -> list[Any]:
    expected = MetaData(naming_convention=tables.metadata.naming_convention)
    is_shared = connection.dialect.name == "postgresql"
    for table in (*tables.metadata.sorted_tables, *(tables.shared.sorted_tables if is_shared else ())):
        table.to_metadata(expected)
    context = MigrationContext.configure(connection, opts={"include_object": None if is_shared else is_known})
    return list(compare_metadata(context, expected))


def is_known(_thing: object, name: str | None, _kind: str, *_: object) -> bool:
    """Whether SQLAlchemy can compare it: not the full-text tables of SQLite, which stand for PostgreSQL's index."""
    return not str(name).startswith(("search_words", "ix_search_index_words"))


def migrate(connection: Connection, revision: str) -> None:
    """Bring an empty database up to `revision`, a migrated one down to it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    is_empty = MigrationContext.configure(connection).get_current_revision() is None
    (command.upgrade if is_empty else command.downgrade)(config, revision)


def test_the_migrations_make_the_tables_that_the_code_uses(database: Callable[..., Any]) -> None:
    assert database(differences)
    database(migrations.upgrade)
    assert database(differences) == []


def test_migrating_again_changes_nothing(database: Callable[..., Any]) -> None:
    database(migrations.upgrade)
    database(migrations.upgrade)
    assert database(differences) == []


def test_the_way_back_leaves_nothing_and_the_way_forth_goes_again(database: Callable[..., Any]) -> None:
    database(migrations.upgrade)
    database(lambda connection: migrate(connection, "base"))
    assert set(database(lambda connection: inspect(connection).get_table_names())) <= {"alembic_version"}
    database(migrations.upgrade)
    assert database(differences) == []


@pytest.mark.breaks("app/store/migrations/versions/0002_look_alikes.py", ".desc()", "")
def test_the_migration_keeps_a_name_for_the_member_seen_last(database: Callable[..., Any]) -> None:
    database(lambda connection: migrate(connection, "0001"))
    lookalike = "\N{CYRILLIC CAPITAL LETTER A}nn"
    rows = [
        ("first", "Ann", "ann", 1),
        ("last", lookalike, lookalike.casefold(), 3),
        ("between", "\N{GREEK CAPITAL LETTER ALPHA}nn", "\N{GREEK SMALL LETTER ALPHA}nn", 2),
        ("bob", "Bob", "bob", 1),
        ("gone", "Carl", None, 9),
        ("carl", "Carl", "carl", 1),
    ]
    add = text("INSERT INTO members VALUES (:id, :name, :key, 'UTC', :seen)")
    columns = ("id", "name", "key", "seen")
    database(lambda connection: connection.execute(add, [dict(zip(columns, row, strict=True)) for row in rows]))
    database(migrations.upgrade)
    query = text("SELECT id, name, name_key IS NOT NULL, name_skeleton FROM members ORDER BY id")
    assert database(lambda connection: connection.execute(query).all()) == [
        ("between", "\N{GREEK CAPITAL LETTER ALPHA}nn", 0, None),
        ("bob", "Bob", 1, "bob"),
        ("carl", "Carl", 1, "carl"),
        ("first", "Ann", 0, None),
        ("gone", "Carl", 0, None),
        ("last", lookalike, 1, "ann"),
    ]
    database(lambda connection: migrate(connection, "0001"))
    assert "name_skeleton" not in database(lambda connection: str(inspect(connection).get_columns("members")))


def test_the_migration_gives_a_shared_name_to_the_oldest_room(database: Callable[..., Any]) -> None:
    database(lambda connection: migrate(connection, "0004"))
    called = ("Lobby", "Tea", "Lobby", "L\N{CYRILLIC SMALL LETTER O}bby", "TEA", "Cake")
    add = text("INSERT INTO rooms (id, slug, name, position, created_at) VALUES (:id, :slug, :name, 0, 0)")
    rows = [{"id": number, "slug": f"room-{number}", "name": name} for number, name in enumerate(called, start=1)]
    database(lambda connection: connection.execute(add, rows))
    member = text("INSERT INTO members (id, name, time_zone, seen_at) VALUES ('a', 'Ann', 'UTC', 0)")
    database(lambda connection: connection.execute(member))
    database(migrations.upgrade)
    query = text("SELECT slug, name, name_key, name_skeleton IS NOT NULL FROM rooms ORDER BY id")
    assert [tuple(row) for row in database(lambda connection: connection.execute(query).all())] == [
        ("room-1", "Lobby", "lobby", 1),
        ("room-2", "Tea", "tea", 1),
        ("room-3", "Lobby", None, 0),
        ("room-4", "L\N{CYRILLIC SMALL LETTER O}bby", None, 0),
        ("room-5", "TEA", None, 0),
        ("room-6", "Cake", "cake", 1),
    ]
    session = text("SELECT session FROM members")
    assert database(lambda connection: connection.scalar(session)) == 0  # what cookies without a version are of
