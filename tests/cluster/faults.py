"""What may happen to processes and the database, and heals by itself: nothing with a receipt is lost or comes twice."""

import asyncio
import re
from functools import partial
from time import monotonic

from app.settings import Settings
from tests.cluster.cluster import Cluster, eventually
from tests.cluster.talk import closed, insisting, is_told, progress, said
from tests.guarantees.crowd import gathered, request
from tests.guarantees.outcome import Outcome, first

GRACE = float(Settings.model_fields["presence_grace"].default)
LATE_SECONDS = 5.0  # a busy machine's, where nothing is measured
PRESENT = re.compile(r'<li data-member="[^"]*">.*?<bdi>([^<]*)</bdi>', re.DOTALL)


async def killed(cluster: Cluster, grace: float = GRACE, writers: int = 4, readers: int = 8) -> Outcome:
    """Kill a process: after `grace` its people are absent, and nobody elsewhere notices anything else."""
    room = await cluster.room("Killed")
    victim, *others = cluster.processes
    leaving = await cluster.people(room, 2, [victim.host], "Killed")
    staying = await cluster.people(room, writers + readers, [process.host for process in others], "Spared")
    names = {f"Spared {number}" for number in range(len(staying))}
    try:
        async with gathered(staying), insisting(staying[:writers]):
            await asyncio.gather(*(guest.come() for guest in leaving))
            everybody = names | {f"Killed {number}" for number in range(len(leaving))}
            for host in cluster.hosts:
                await eventually(partial(_are_present, host, room, everybody), f"all to be present at {host}")
            began = monotonic()
            await asyncio.to_thread(victim.kill)
            await asyncio.gather(*(guest.go() for guest in leaving))
            for host in cluster.hosts[1:]:
                await eventually(partial(_are_present, host, room, names), f"them to be absent at {host}")
            seconds = monotonic() - began
        failures = await cluster.flaws(room, staying)
    finally:
        await asyncio.to_thread(victim.start)
    failures += closed(staying)
    failures += [f"told {guest.notices}" for guest in staying if guest.notices]
    if seconds > grace + LATE_SECONDS:
        failures.append(f"they were absent only after {seconds:.1f} s")
    return Outcome(f"absent {seconds:.1f} s after the kill, with a grace of {grace:g} s", first(failures))


async def stopped(cluster: Cluster, seconds: float = 10, writers: int = 6, readers: int = 20) -> Outcome:
    """Stop PostgreSQL and start it again `seconds` later: writers are told, readers read on, all of it heals."""
    # Where somebody writes at the very moment, a process may know of a message that it can no longer read.
    room, quiet = await cluster.room("Stopped"), await cluster.room("Quiet")
    guests = await cluster.people(room, writers + readers)
    async with gathered(guests):
        async with insisting(guests[:writers]):
            await progress(guests, writers)
            read_before = [await request(host, "GET", f"/rooms/{quiet}") for host in cluster.hosts]
            await asyncio.to_thread(cluster.database.stop)
            stopped_at = monotonic()
            try:
                await asyncio.gather(*(is_told(guest) for guest in guests[:writers]))
                told_after = monotonic() - stopped_at
                read_on = [await request(host, "GET", f"/rooms/{quiet}") for host in cluster.hosts]
                await asyncio.sleep(stopped_at + seconds - monotonic())
            finally:
                await asyncio.to_thread(cluster.database.start)
            started_at = monotonic()
            await progress(guests, writers)
            healed_after = monotonic() - started_at
        failures = await cluster.flaws(room, guests)
    failures += closed(guests)
    failures += [f"a page is {page[:40]!r}" for page in read_before + read_on if not page.startswith("HTTP/1.1 200 ")]
    return Outcome(
        f"{seconds:g} s without a database, all writers told after {told_after:.1f} s, "
        f"all heard again {healed_after:.1f} s after its return, {said(guests)}",
        first(failures),
    )


async def disconnected(cluster: Cluster, times: int = 20, writers: int = 6, readers: int = 20) -> Outcome:
    """Have PostgreSQL end all connections, again and again."""
    room = await cluster.room("Disconnected")
    guests = await cluster.people(room, writers + readers)
    ended = 0
    async with gathered(guests):
        async with insisting(guests[:writers]):
            for _ in range(times):
                await progress(guests, writers)
                ended += await cluster.database.end_connections()
            await progress(guests, writers)
        failures = await cluster.flaws(room, guests)
    failures += closed(guests)
    return Outcome(f"{ended} connections ended in {times} turns, {said(guests)}", first(failures))


async def _are_present(host: str, room: str, names: set[str]) -> bool:
    """Whether just these `names` are present in the room, as the process at `host` has it."""
    return set(PRESENT.findall(await request(host, "GET", f"/rooms/{room}"))) == names
