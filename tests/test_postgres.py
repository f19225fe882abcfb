"""PostgreSQL's connections, and several processes. What the log needs of every engine is in `test_store.py`."""

import asyncio

import pytest
from sqlalchemy import Connection

from app.messages import Member, Room
from app.store import Store, StoreUnavailable
from tests.logs import bodies
from tests.postgres import Cluster

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = '{}'"


@pytest.fixture
def store_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def database(postgres_url: str) -> str:
    """The name of the database."""
    return postgres_url.rpartition("/")[2]


async def test_connections_that_were_ended_are_replaced_and_nobody_notices(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, database: str
) -> None:
    for n in range(3):
        await log.append(lobby.id, ann, f"{n}", f"k{n}")
        await asyncio.gather(*(log.head(lobby.id) for _ in range(9)))
        await asyncio.to_thread(postgres.sql, TERMINATE.format(database))
    assert await bodies(log, lobby) == ["0", "1", "2"]


async def test_a_connection_that_is_ended_in_the_middle_of_a_batch_is_replaced_too(
    log: Store, ann: Member, lobby: Room, postgres: Cluster, database: str
) -> None:
    times = 0

    def work(connection: Connection) -> int:
        nonlocal times
        times += 1
        if times == 1:
            postgres.sql(TERMINATE.format(database))
        return int(connection.exec_driver_sql("UPDATE rooms SET position = position RETURNING 1").scalar_one())

    assert await log._write(work) == 1
    assert times == 2


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
