"""G1 and G2 on bad links: everybody is dropped for seconds, again and again, while some write.

As AnyCable's test of delivery: what counts is how much of what was said is shown to everybody in the end.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.guarantees import ledger
from tests.guarantees.crowd import CROWD, Guest, allow_many_files, gathered, members, talking
from tests.guarantees.outcome import Outcome, first
from tests.proxy import Proxy, proxying
from tests.server import serving


async def drops(
    data: Path, clients: int = 100, writers: int = 10, times: int = 10, away: float = 2.0, pause: float = 0.25
) -> Outcome:
    """Drop each of `clients` for `away` seconds, `times` times, while `writers` of them talk."""
    allow_many_files()
    with ExitStack() as stack:
        server = stack.enter_context(serving(data, **CROWD))
        guests = await members(server.host, (f"Guest {number}" for number in range(clients)))
        links = [stack.enter_context(proxying(server.port)) for _ in guests]
        for guest, link in zip(guests, links, strict=True):
            guest.host = link.url.removeprefix("http://")
        async with gathered(guests):
            async with talking(guests[:writers], pause):
                dropping = (_drop(guest, link, times, away) for guest, link in zip(guests, links, strict=True))
                await asyncio.gather(*dropping)
            await asyncio.gather(*(guest.settled() for guest in guests))
            log = ledger.read(data)
            await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
    failures = ledger.flaws(log, guests) + ledger.differences(log, guests)
    failures += [f"dropped {len(guest.closings)} times only" for guest in guests if len(guest.closings) < times]
    return Outcome(_figures(log, guests), first(failures))


async def _drop(guest: Guest, link: Proxy, times: int, away: float) -> None:
    for _ in range(times):
        await asyncio.sleep(random.uniform(0.5, 1.5) * away)  # noqa: S311
        link.cut()
        await asyncio.sleep(away)
        back = guest.comes_back()
        link.heal()
        await back


def _figures(log: dict[int, str], guests: Sequence[Guest]) -> str:
    wanted = len(log) * len(guests)
    shown = sum(len(log.items() & guest.shown.items()) for guest in guests)
    doubled = sum(len(guest.wrong) for guest in guests)
    dropped = sum(len(guest.closings) for guest in guests)
    resumed = sum(len(guest.resumed_at) - 1 for guest in guests)
    return (
        f"{len(guests)} clients, {dropped:,} drops, {resumed:,} resumes, "
        f"{shown:,} of {wanted:,} deliveries = {100 * shown / wanted:.1f} %, {doubled} doubled or out of order"
    )
