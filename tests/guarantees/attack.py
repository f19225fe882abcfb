"""G7: attackers without an account do what they can, and ten neighbours talk on.

What is judged is the neighbours' longest silence (from when one of them says something until all have it), how much
memory the server takes for it and gives back, that nobody is left behind in the room, and that a stop is quick while
attackers wait for their turn.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import monotonic

from tests.guarantees.attackers import ATTACKS
from tests.guarantees.crowd import PATIENCE, Guest, allow_many_files, figures, gathered, sign_in
from tests.guarantees.outcome import Outcome, first
from tests.server import ROOT, Server, serving

NEIGHBOURS = 10
BEAT = 0.06  # seconds between two messages of the neighbours: as many frames as a browser may send
SILENCE = 0.1  # seconds for which a neighbour may hear nothing of what was said
GROWTH = 50_000_000  # bytes of memory, for 200 sockets
STOP_SECONDS = 0.5  # for a stop, of which 0.3 are the promise and the rest the end of the process
# Neighbours may say more than people do: they are what is measured with. Attackers meet the limits as they are.
SETTINGS: dict[str, object] = {
    "messages_per_second": 1_000,
    "address_messages_per_second": 1_000,
    "presence_grace": 0,
}


async def attack(data: Path, sockets: int = 200, names: Sequence[str] = tuple(ATTACKS), timed: bool = True) -> Outcome:
    """Have `sockets` attackers play each attack that is named. `timed`: also judge times (on a quiet machine)."""
    allow_many_files()
    failures: list[str] = []
    silences: dict[str, float] = {}
    growths: dict[str, int] = {}
    with serving(data, **SETTINGS) as server:
        cookies = [await sign_in(server.host, f"Attacker {number}", "127.9.0.2") for number in range(25)]
        neighbours = [Guest(server.host, address=f"127.8.0.{number + 1}") for number in range(NEIGHBOURS)]
        neighbours[0].cookie = await sign_in(server.host, "Neighbour", "127.8.0.1")
        async with gathered(neighbours):
            async with measured(neighbours) as quiet:
                await asyncio.sleep(2)
            for name in names:
                before = server.memory
                async with measured(neighbours) as silence:
                    growths[name] = await played(server, name, sockets, cookies) - before
                silences[name] = max(silence)
                if await here(server) > NEIGHBOURS:
                    failures.append(f"after {name}, {await here(server)} sockets are open a second later")
                if timed and silences[name] > SILENCE:
                    failures.append(f"{name}: a neighbour heard nothing for {silences[name] * 1000:.0f} ms")
                if growths[name] > GROWTH:
                    failures.append(f"{name}: {growths[name] / 1e6:.0f} MB more memory")
            failures += [f"a neighbour was closed by {guest.closings}" for guest in neighbours if guest.closings]
            failures += [f"a neighbour was told: {notice}" for guest in neighbours for notice in guest.notices]
        seconds = await stopped(server, sockets)
        if timed and seconds > STOP_SECONDS:
            failures.append(f"a stop took {seconds:.1f} s")
        failures += server.complaints
    worst = max(silences, key=lambda name: silences[name])
    heaviest = max(growths, key=lambda name: growths[name])
    each = ", ".join(f"{name} {silences[name] * 1000:.0f} ms {growths[name] / 1e6:.0f} MB" for name in names)
    return Outcome(
        f"longest silence {silences[worst] * 1000:.0f} ms ({worst}), without attackers {max(quiet) * 1000:.0f} ms; "
        f"most memory {growths[heaviest] / 1e6:.0f} MB ({heaviest}); a stop {seconds:.1f} s; {each}",
        first(failures),
    )


@asynccontextmanager
async def measured(neighbours: Sequence[Guest]) -> AsyncIterator[list[float]]:
    """Have the first of them talk meanwhile; gives how long each message took to come to the last of them."""
    speaker = neighbours[0]
    said: dict[str, float] = {}
    times: list[float] = []

    async def talk() -> None:
        for turn in count(len(speaker.said)):
            text = f"beat {turn}"
            said[text] = monotonic()
            await speaker.say(text)
            await asyncio.sleep(BEAT)

    talking = asyncio.create_task(talk())
    try:
        yield times
    finally:
        talking.cancel()
        await asyncio.wait({talking})
    await speaker.settled()
    last = max(speaker.shown)
    await asyncio.gather(*(guest.reaches(last) for guest in neighbours))
    positions = {text: position for position, text in speaker.shown.items()}
    times += [
        max(guest.shown_at[positions[text]] for guest in neighbours) - moment
        for text, moment in said.items()
        if text in positions
    ]


async def played(server: Server, name: str, sockets: int, cookies: Sequence[str]) -> int:
    """Have an attack played; returns the most memory that the server held meanwhile."""
    command = [sys.executable, "-m", "tests.guarantees.attackers", server.host, name, str(sockets), *cookies]
    attackers = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    most = server.memory
    while attackers.returncode is None:
        most = max(most, server.memory)
        await asyncio.sleep(BEAT)
    assert attackers.returncode == 0, name
    await asyncio.sleep(1)  # in which all that they left is noticed
    return most


async def here(server: Server) -> float:
    """Return how many sockets the server holds open."""
    return (await figures(server.host))["parlor_connections"]


async def stopped(server: Server, sockets: int) -> float:
    """Stop the server while attackers wait for their turn; returns the seconds it takes."""
    command = [sys.executable, "-m", "tests.guarantees.attackers", server.host, "waiting", str(sockets)]
    attackers = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    async with asyncio.timeout(PATIENCE):
        while await here(server) < sockets / 2:  # noqa: ASYNC110 (the server is another process: we can but ask)
            await asyncio.sleep(BEAT)
    began = monotonic()
    await asyncio.to_thread(server.stop)
    seconds = monotonic() - began
    await attackers.wait()
    return seconds
