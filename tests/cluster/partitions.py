"""What the network may do to a cluster whose parts have a machine each, up to the loss of the database."""

import asyncio
from dataclasses import replace
from functools import partial
from time import monotonic

from tests.cluster.cluster import DATABASE, Apart, eventually
from tests.cluster.talk import closed, insisting, is_told, progress, said
from tests.guarantees.crowd import gathered
from tests.guarantees.outcome import Outcome, first

SIGHT_SECONDS = 6.0  # until a process knows that it is cut off, a busy machine's time included


async def cut(cluster: Apart, seconds: float = 30, writers: int = 4, readers: int = 8) -> Outcome:
    """Cut the first process off from the database for `seconds`: its pages fall silent, and no others."""
    room = await cluster.room("Cut")
    near, *far = cluster.hosts
    lonely = await cluster.people(room, writers + readers, [near], "Alone")
    others = await cluster.people(room, writers + readers, far, "Among others")
    guests = [*lonely, *others]
    async with gathered(guests):
        async with insisting([*lonely[:writers], *others[:writers]]):
            await progress(guests, writers)
            cluster.network.cut(cluster.machines[0], cluster.database.machine)
            cut_at = monotonic()
            try:
                await asyncio.gather(*(is_told(guest) for guest in lonely[:writers]))
                told_after = monotonic() - cut_at
                await progress(others, writers)
                await asyncio.sleep(cut_at + seconds - monotonic())
                failures = [f"{guest} was told something" for guest in others if guest.notices]
                silent = monotonic() - max(guest.heard_at for guest in lonely[writers:])
                heard = monotonic() - min(guest.heard_at for guest in others)
                gone = monotonic() - cut_at
            finally:
                cluster.network.heal(cluster.machines[0], cluster.database.machine)
            healed_at = monotonic()
            await progress(guests, writers)
            healed_after = monotonic() - healed_at
        failures += await cluster.flaws(room, guests)
    failures += closed(others)
    if silent < gone - SIGHT_SECONDS:
        failures.append(f"the pages that were cut off were silent for {silent:.1f} s only")
    if heard >= silent:
        failures.append(f"the pages of the others were silent for {heard:.1f} s, too")
    return Outcome(
        f"cut off for {gone:.1f} s, silent for {silent:.1f} s of it, the others for {heard:.1f} s; "
        f"writers told after {told_after:.1f} s, heard again {healed_after:.1f} s after it healed, {said(guests)}",
        first(failures),
    )


async def lagging(cluster: Apart, seconds: float = 15, writers: int = 6, readers: int = 20) -> Outcome:
    """Cut the copy off from the database for `seconds`: until it has a message, nobody has a receipt for that."""
    room = await cluster.room("Lagging")
    guests = await cluster.people(room, writers + readers)
    async with gathered(guests):
        async with insisting(guests[:writers]):
            await progress(guests, writers)
            cluster.network.cut(cluster.database.machine, cluster.copy.machine)
            cut_at = monotonic()
            try:
                await asyncio.gather(*(is_told(guest) for guest in guests[:writers]))
                before = sum(len(guest.receipts) for guest in guests)
                await asyncio.sleep(cut_at + seconds - monotonic())
                early = sum(len(guest.receipts) for guest in guests) - before
            finally:
                cluster.network.heal(cluster.database.machine, cluster.copy.machine)
            healed_at = monotonic()
            await progress(guests, writers)
            healed_after = monotonic() - healed_at
        failures = await cluster.flaws(room, guests)
        await eventually(partial(_has_all, cluster, room), "the copy to have everything")
    if early:
        failures.append(f"{early} receipts came before the copy had what they are for")
    return Outcome(
        f"{seconds:g} s without a copy, all heard again {healed_after:.1f} s after it was back, {said(guests)}",
        first(failures),
    )


async def failover(cluster: Apart, silently: bool = True, writers: int = 6, readers: int = 20) -> Outcome:
    """Lose the database, promote its copy, and let the database's name point there.

    It is killed, or `silently` its machine is cut off from all others, as when its power or its network is gone.
    """
    room = await cluster.room("Failover")
    guests = await cluster.people(room, writers + readers)
    async with gathered(guests):
        async with insisting(guests[:writers]):
            await progress(guests, writers)
            if silently:
                for machine in (*cluster.machines, cluster.copy.machine):
                    cluster.network.cut(machine, cluster.database.machine)
            else:
                await asyncio.to_thread(cluster.database.kill)
            lost_at = monotonic()
            await asyncio.to_thread(cluster.copy.promote)
            for machine in cluster.machines:
                cluster.network.point(machine, {DATABASE: cluster.copy.machine.address})
            await progress(guests, writers)
            healed_after = monotonic() - lost_at
        failures = await replace(cluster, database=cluster.copy).flaws(room, guests)
    return Outcome(
        f"the database {'gone' if silently else 'killed'}, all heard again {healed_after:.1f} s later, {said(guests)}",
        first(failures),
    )


async def _has_all(cluster: Apart, room: str) -> bool:
    """Whether the copy has all of the log."""
    return await cluster.copy.log(room) == await cluster.database.log(room)
