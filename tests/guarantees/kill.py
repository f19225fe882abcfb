"""G1: the server is killed in the middle of load, again and again, and keeps every message that had a receipt."""

import asyncio
import random
from pathlib import Path

from tests.guarantees import ledger
from tests.guarantees.crowd import CROWD, gathered, members, talking
from tests.guarantees.outcome import Outcome, first
from tests.server import serving


async def kill(data: Path, times: int = 20, writers: int = 10, readers: int = 10) -> Outcome:
    """Kill a server `times` times while `writers` talk without a pause; each time all come back by themselves."""
    failures: list[str] = []
    with serving(data, **CROWD) as server:
        guests = await members(server.host, (f"Guest {number}" for number in range(writers + readers)))
        async with gathered(guests):
            async with talking(guests[:writers], pause=0):
                for turn in range(times):
                    await guests[0].reaches(max(guests[0].shown, default=0) + writers)
                    await asyncio.sleep(random.random() / 10)  # noqa: S311
                    await asyncio.to_thread(server.kill)
                    log = ledger.read(data)
                    failures += [f"after kill {turn + 1}: {flaw}" for flaw in ledger.flaws(log, guests)]
                    backs = [guest.comes_back() for guest in guests]
                    await asyncio.to_thread(server.start)
                    await asyncio.gather(*backs)
            await asyncio.gather(*(guest.settled() for guest in guests))
            log = ledger.read(data)
            await asyncio.gather(*(guest.reaches(len(log)) for guest in guests))
    failures += ledger.flaws(log, guests) + ledger.differences(log, guests)
    receipts = len(ledger.receipts(guests))
    return Outcome(f"{times} kills, {receipts:,} receipts, {len(log):,} messages", first(failures))
