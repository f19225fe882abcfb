"""Checks a PostgreSQL server: reachable, new enough, and durable."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import asyncpg
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.operations.commands import reason
from app.operations.doctor.checks import Check, ok, warning, wrong
from app.store.postgres import BATCHES, READERS, WRITERS

LONGEST_CONNECT = 5.0  # seconds
LONGEST_ROUND_TRIP = 5.0  # seconds, for a notification
OLDEST = 15  # version of the server
CONNECTIONS = BATCHES + READERS + WRITERS + 1  # of each process; one hears the notifications
MOST_SKEW = timedelta(seconds=1)
LARGEST_QUEUE = 0.5  # of the room that there is for notifications


def examine(url: str, tables: Callable[[Connection], Iterator[Check]]) -> list[Check]:
    """Return what is found of the database at `url`, and of its `tables`."""
    return asyncio.run(_examine(url, tables))


async def _examine(url: str, tables: Callable[[Connection], Iterator[Check]]) -> list[Check]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url, timeout=LONGEST_CONNECT, server_settings={"application_name": "doctor"})

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )
    try:
        async with engine.connect() as connection:
            findings = await connection.run_sync(lambda sync: [*server(sync), *tables(sync)])
            return [*findings, await notifications(connection)]
    except (OSError, DBAPIError) as error:
        remedy = "Look at PARLOR_DATABASE_URL, and at the server."
        return [wrong(f"the database cannot be reached: {reason(error)}.", remedy)]


def server(connection: Connection) -> Iterator[Check]:
    """Yield what is found of the server itself."""
    yield version(connection)
    yield role(connection)
    yield from durability(connection)
    yield encoding(connection)
    yield room_for_connections(connection)
    yield clock(connection)
    yield queue(connection)


def version(connection: Connection) -> Check:
    """Return whether the server is new enough."""
    number = int(_setting(connection, "server_version_num")) // 10_000
    if number < OLDEST:
        return wrong(f"PostgreSQL is of version {number}.", f"Upgrade it to {OLDEST} or newer.")
    return ok(f"PostgreSQL {number} answers.")


def role(connection: Connection) -> Check:
    """Return whether this server may be written to."""
    if _ask(connection, "SELECT pg_is_in_recovery()"):
        return wrong("this is a replica: nothing can be written.", "Lead PARLOR_DATABASE_URL to the primary.")
    if _setting(connection, "default_transaction_read_only") == "on":
        return wrong("the database may only be read.", "Set default_transaction_read_only to off.")
    replicas = _ask(connection, "SELECT count(*) FROM pg_stat_replication")
    return ok(f"this is the primary; replicas connected: {replicas}.")


def durability(connection: Connection) -> Iterator[Check]:
    """Yield whether what was committed survives a power cut: that is what a receipt says."""
    found = {name: _setting(connection, name) for name in ("fsync", "full_page_writes", "synchronous_commit")}
    for name in (name for name, value in found.items() if value == "off"):
        yield wrong(f"{name} is off: messages with a receipt can be lost.", f"Set {name} to on.")
    if "off" not in found.values():
        yield ok(f"what is committed is on the disk (synchronous_commit is {found['synchronous_commit']}).")


def encoding(connection: Connection) -> Check:
    """Return whether every text can be stored."""
    found = _setting(connection, "server_encoding")
    if found != "UTF8":
        return wrong(f"the database stores {found}, not UTF8.", "Make another: CREATE DATABASE … ENCODING 'UTF8'.")
    return ok("texts are stored as UTF8.")


def room_for_connections(connection: Connection) -> Check:
    """Return for how many processes there are connections."""
    most = int(_setting(connection, "max_connections")) - int(_setting(connection, "superuser_reserved_connections"))
    used = _ask(connection, "SELECT sum(numbackends) FROM pg_stat_database")
    ours = _ask(connection, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'parlor%'")
    free = most - used
    seen = f"of {most} connections {used} are taken, {ours} of them by Parlor; each process has up to {CONNECTIONS}."
    if free < CONNECTIONS:
        return warning(seen, "Raise max_connections: there is no room for one more process, nor for a restart.")
    return ok(seen)


def clock(connection: Connection) -> Check:
    """Return whether the server's clock goes as ours."""
    before = datetime.now(UTC)
    theirs = _ask(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    skew = max(before - theirs, theirs - after, timedelta())
    if skew > MOST_SKEW:
        return warning(f"its clock and ours differ by {skew.total_seconds():.1f} s.", "Have both set by NTP.")
    return ok("its clock and ours agree.")


def queue(connection: Connection) -> Check:
    """Return whether somebody who listens does not read: once the queue is full, nobody can notify any more."""
    usage = _ask(connection, "SELECT pg_notification_queue_usage()")
    if usage > LARGEST_QUEUE:
        return warning(f"the queue of notifications is full to {usage:.0%}.", "End the session that does not read.")
    return ok(f"the queue of notifications is full to {usage:.0%}.")


async def notifications(connection: AsyncConnection) -> Check:
    """Return whether one who listens here is notified."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    heard, channel = asyncio.Event(), f"doctor_{token_hex(4)}"
    await driver.add_listener(channel, lambda *_: heard.set())
    await driver.execute(f"NOTIFY {channel}")
    try:
        await asyncio.wait_for(heard.wait(), LONGEST_ROUND_TRIP)
    except TimeoutError:
        return wrong("notifications do not arrive.", "Connect to PostgreSQL itself, not to a pool of transactions.")
    return ok("notifications arrive.")


def _ask(connection: Connection, question: str) -> Any:
    return connection.exec_driver_sql(question).scalar_one()


def _setting(connection: Connection, name: str) -> str:
    return str(_ask(connection, f"SHOW {name}"))
