"""How soon people on different processes see each other's messages, from the database's commit on."""

import asyncio
import time
from collections.abc import Sequence

from tests.cluster.cluster import Cluster
from tests.guarantees import ledger
from tests.guarantees.crowd import Guest, figures
from tests.guarantees.outcome import Outcome, first, percentile

MOST_SECONDS = 0.020  # of half the messages, between their commit and a browser on another process
COMMITS = """
SELECT messages.position, extract(epoch FROM pg_xact_commit_timestamp(messages.xmin))::float8 AS seconds
FROM messages JOIN rooms ON rooms.id = room_id WHERE slug = $1
"""


async def near(cluster: Cluster, messages: int = 500, pause: float = 0.05, judged: bool = True) -> Outcome:
    """Have people come to the site until each process has two of them, and the first of each talk in turn.

    `judged`: also judge how soon all others see it.
    """
    room = await cluster.room(f"Near {len(cluster.processes)}")
    guests = await cluster.people(room, 2 * len(cluster.processes), [cluster.site])
    try:
        places = [await _place(cluster, guest) for guest in guests]
        writers = [guests[places.index(host)] for host in dict.fromkeys(places)]
        for turn in range(messages):
            writer = writers[turn % len(writers)]
            await writer.receipt(await writer.say(f"message {turn}"))
            await asyncio.sleep(pause)
        log = await cluster.database.log(room)
        await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
    finally:
        await asyncio.gather(*(guest.go() for guest in guests))
    failures = ledger.flaws(log, guests) + ledger.differences(log, guests)
    if set(places) != set(cluster.hosts):
        failures.append(f"the site leads to {set(places)} only")
    here, elsewhere = await _delays(cluster, room, guests, places)
    if judged and percentile(elsewhere, 0.5) > MOST_SECONDS:
        failures.append("half of them took longer")
    return Outcome(
        f"{len(cluster.processes)} processes, {len(log):,} messages; from commit to another process' browser "
        f"{_times(elsewhere)}, to one on the same {_times(here)}",
        first(failures),
    )


async def _place(cluster: Cluster, guest: Guest) -> str:
    """Have `guest` come to the site, and return the host to which that led."""
    known = [await _connections(host) for host in cluster.hosts]
    await guest.come()
    (place,) = [host for host, count in zip(cluster.hosts, known, strict=True) if await _connections(host) > count]
    return place


async def _connections(host: str) -> float:
    return (await figures(host))["parlor_connections"]


async def _delays(
    cluster: Cluster, room: str, guests: Sequence[Guest], places: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Return the seconds from each commit to each page: to those on the sender's process, and to all others."""
    offset = time.time() - time.monotonic()  # the database tells the time of day
    committed = {row["position"]: row["seconds"] - offset for row in await cluster.database.ask(COMMITS, room)}
    origins = {text: place for guest, place in zip(guests, places, strict=True) for text in guest.said.values()}
    here: list[float] = []
    elsewhere: list[float] = []
    for guest, place in zip(guests, places, strict=True):
        for position, text in guest.shown.items():
            delays = here if origins[text] == place else elsewhere
            delays.append(guest.shown_at[position] - committed[position])
    return here, elsewhere


def _times(seconds: Sequence[float]) -> str:
    half, most = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return f"p50 {half * 1000:.1f} ms, p99 {most * 1000:.1f} ms"
