"""The guarantees with people spread over processes."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from time import monotonic

from tests.cluster.cluster import Cluster
from tests.guarantees import ledger
from tests.guarantees.crowd import Guest, gathered, talking
from tests.guarantees.once import submit
from tests.guarantees.outcome import Outcome, first

RESTART = 1012


async def drops(
    cluster: Cluster, clients: int = 100, writers: int = 10, times: int = 10, away: float = 2.0, pause: float = 0.25
) -> Outcome:
    """G1 and G2: drop each of `clients` every `away` seconds or so, `times` times; it comes back to another process."""
    room = await cluster.room("Drops")
    guests = await cluster.people(room, clients)
    async with gathered(guests):
        async with talking(guests[:writers], pause):
            await asyncio.gather(*(_wander(guest, cluster.hosts, times, away) for guest in guests))
        failures = await cluster.flaws(room, guests)
    failures += [f"dropped {len(guest.closings)} times only" for guest in guests if len(guest.closings) < times]
    return Outcome(f"{len(guests)} clients, {_counted(guests)}", first(failures))


async def _wander(guest: Guest, hosts: Sequence[str], times: int, away: float) -> None:
    for _ in range(times):
        await asyncio.sleep(random.uniform(0.5, 1.5) * away)  # noqa: S311
        await _drop(guest, random.choice([host for host in hosts if host != guest.host]))  # noqa: S311


async def _drop(guest: Guest, host: str) -> None:
    """Break the link of `guest`, and have the page completed at `host`."""
    assert guest.link
    guest.host = host
    back = guest.comes_back()
    guest.link.transport.abort()
    await back


async def kills(cluster: Cluster, times: int = 20, writers: int = 10, readers: int = 30) -> Outcome:
    """G1: kill one process after the other under load; the site leads its people to those that are left."""
    room = await cluster.room("Kills")
    guests = await cluster.people(room, writers + readers, [cluster.site])
    async with gathered(guests):
        async with talking(guests[:writers], pause=0):
            for turn in range(times):
                await guests[0].reaches(max(guests[0].shown, default=0) + writers)
                process = cluster.processes[turn % len(cluster.processes)]
                await asyncio.to_thread(process.kill)
                await guests[0].reaches(max(guests[0].shown, default=0) + writers)
                await asyncio.to_thread(process.start)
        failures = await cluster.flaws(room, guests)
    return Outcome(f"{times} kills, {_counted(guests)}", first(failures))


async def rolling(cluster: Cluster, guests: int = 300, writers: int = 10, pause: float = 1.0) -> Outcome:
    """G5: stop and start one process after the other, as for an upgrade, while `writers` of `guests` talk."""
    room = await cluster.room("Rolling")
    people = await cluster.people(room, guests, [cluster.site])
    async with gathered(people):
        async with talking(people[:writers], pause):
            began = monotonic()
            for process in cluster.processes:
                await people[0].reaches(max(people[0].shown, default=0) + writers)
                await asyncio.to_thread(process.stop)
                await asyncio.to_thread(process.start)
                await asyncio.gather(*(guest.until(lambda guest=guest: guest.link, "its link") for guest in people))
            seconds = monotonic() - began
        failures = await cluster.flaws(room, people)
    failures += [f"closed by {guest.closings}" for guest in people if set(guest.closings) - {RESTART}]
    return Outcome(
        f"{len(cluster.processes)} processes in {seconds:.0f} s, {guests:,} connections, {_counted(people)}",
        first(failures),
    )


async def once(cluster: Cluster) -> Outcome:
    """G1 and G3: submit one message again and again to all processes at once, also after restarts."""
    room = await cluster.room("Once")
    ann, bob = await cluster.people(room, 2)
    windows = [Guest(host, room, ann.cookie, ann.backoff) for host in cluster.hosts]
    guests = [*windows, bob]
    async with gathered(guests):
        for process, end in zip(cluster.processes, ("kill", "stop"), strict=False):
            await submit(*windows)
            backs = [guest.comes_back() for guest in guests if guest.host == process.host]
            await asyncio.to_thread(getattr(process, end))
            await asyncio.to_thread(process.start)
            await asyncio.gather(*backs)
        submissions = await submit(*windows)
        # Another author's is another message.
        await bob.receipt(await bob.say("same", "key"))
        log = await cluster.database.log(room)
        await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
    failures = [] if Counter(log.values()) == Counter({"same": 2}) else [f"stored are {list(log.values())}"]
    failures += ledger.differences(log, guests)
    return Outcome(f"{3 * submissions} submissions of one message, {len(log) - 1} stored", failures)


def _counted(guests: Sequence[Guest]) -> str:
    """Return what happened to `guests`, in figures."""
    dropped = sum(len(guest.closings) for guest in guests)
    receipts = sum(len(guest.receipts) for guest in guests)
    doubled = sum(len(guest.wrong) for guest in guests)
    shown = sum(len(guest.shown) for guest in guests)
    return f"{dropped:,} drops, {receipts:,} receipts, {shown:,} deliveries, {doubled} doubled or out of order"
