"""What a notification costs PostgreSQL, by how many hear it: each process of Parlor hears all of them."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from bench import machine, postgres
from bench.servers import BUILD, free_ports

CHANNEL = "bell"
RING = "SELECT pg_notify($1, note) FROM unnest($2::text[]) AS note"  # as app/cluster/notify.py does


def cost(listeners: int, count: int) -> float:
    """Return the CPU seconds of all of PostgreSQL's processes for one of `count` notifications, one by one."""
    BUILD.mkdir(exist_ok=True)
    with (
        TemporaryDirectory(dir=BUILD, prefix="run-") as name,
        postgres.running(Path(name) / "postgres", free_ports(1)) as database,
    ):
        return asyncio.run(_cost(database, listeners, count))


async def _cost(database: postgres.Database, listeners: int, count: int) -> float:
    heard = 0
    done = asyncio.Event()

    def hear(*_: object) -> None:
        nonlocal heard
        heard += 1
        if heard == listeners * count:
            done.set()

    ringer, *connections = [await asyncpg.connect(database.url) for _ in range(1 + listeners)]
    for connection in connections:
        await connection.add_listener(CHANNEL, hear)
    before = machine.cpu_of_family(database.pid)
    for number in range(count):
        await ringer.execute(RING, CHANNEL, [f"room:1 {number}"])
    await done.wait()
    used = machine.cpu_of_family(database.pid) - before
    for connection in (ringer, *connections):
        connection.terminate()
    return used / count
