"""G5: a restart under full load loses nothing, doubles nothing, and is over soon."""

import asyncio
from pathlib import Path
from time import monotonic

from tests.guarantees import ledger
from tests.guarantees.crowd import CROWD, allow_many_files, gathered, members, talking
from tests.guarantees.outcome import Outcome, first, percentile
from tests.server import serving

HALF_SECONDS, ALMOST_ALL_SECONDS = 1.5, 5.0  # from the moment the server listens again
STOP_SECONDS = 10  # `shutdown_seconds`
RESTART = 1012


async def restart(data: Path, guests: int = 1000, writers: int = 10, pause: float = 1.0, timed: bool = True) -> Outcome:
    """Stop a server with SIGTERM while `writers` of its `guests` talk, and start it again.

    Each writer talks as fast as the settings let a member talk in the long run, once in `pause` seconds. `timed`: also
    judge how soon all are back.
    """
    allow_many_files()
    with serving(data, **CROWD, shutdown_seconds=STOP_SECONDS) as server:
        people = await members(server.host, (f"Guest {number}" for number in range(guests)))
        async with gathered(people):
            async with talking(people[:writers], pause):
                await people[0].reaches(3 * writers)
                returning = [guest.comes_back() for guest in people]  # some are back before `start` says so
                began = monotonic()
                await asyncio.to_thread(server.stop)
                stop_seconds = monotonic() - began
                stored = ledger.read(data)
                failures = [f"after the stop: {flaw}" for flaw in ledger.flaws(stored, people)]
                await asyncio.to_thread(server.start)
                returned = monotonic()
                for each in returning:
                    await each
                backs = [guest.resumed_at[-1] - returned for guest in people]
                await people[0].reaches(len(stored) + 3 * writers)
            await asyncio.gather(*(guest.settled() for guest in people[:writers]))
            log = ledger.read(data)
            await asyncio.gather(*(guest.reaches(len(log)) for guest in people))
    failures += ledger.flaws(log, people) + ledger.differences(log, people)
    failures += [f"closed by {guest.closings}, not by {RESTART}" for guest in people if guest.closings != [RESTART]]
    if stop_seconds >= STOP_SECONDS:
        failures.append(f"the stop took {stop_seconds:.1f} s")
    half, almost_all = percentile(backs, 0.5), percentile(backs, 0.99)
    if timed and half > HALF_SECONDS:
        failures.append(f"half were back after {half:.2f} s")
    if timed and almost_all > ALMOST_ALL_SECONDS:
        failures.append(f"99 % were back after {almost_all:.2f} s")
    figures = (
        f"{guests:,} connections, {len(log):,} messages, half back after {half:.2f} s, 99 % after {almost_all:.2f} s, "
        f"stopped in {stop_seconds:.1f} s"
    )
    return Outcome(figures, first(failures))
